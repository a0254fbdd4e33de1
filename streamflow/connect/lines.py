"""Files made of lines: cut into blocks of whole records, which a format decodes at once.

A position is `{"byte": b, "line": l, "row": r}`: a block starts at byte b (of the decompressed file), after l lines,
and r of the rows from there on were delivered. So reading goes on without decoding what lies before, and does not
depend on block sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np
import pyarrow as pa

from streamflow.connect.files import FileReader, Files, reading
from streamflow.connect.source import Position
from streamflow.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

START: Position = {"byte": 0, "line": 0, "row": 0}

_BLOCK = 1 << 18
"""Bytes decoded at once: small enough for the cache, large enough to make up for what a call of a parser costs."""
_NEWLINE = ord("\n")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineDecoder(Protocol):
    """Turns blocks of one file into rows."""

    quote: str | None
    """Newlines between two of these belong to a value; None where a newline always ends a record."""

    header: bool
    """The first record names the columns; it is given to `on_header` and decoded no more."""

    def on_header(self, record: bytes) -> None:
        """Called before `decode` for each file, if `header`; raises ValueError if the file does not fit."""
        ...

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The rows of whole records. Raises ValueError, as ArrowInvalid is one, if one is malformed."""
        ...


OpenDecoder: TypeAlias = Callable[[], LineDecoder]


def line_reader(files: Files, splits: Mapping[str, Position | None], decoder: OpenDecoder) -> FileReader:
    """A reader over files of lines; `.gz` and `.zst` files are decompressed. Each file has a decoder of its own."""

    def open_file(name: str, position: Position) -> LineRows:
        return LineRows(name, open_bytes(files, name), decoder(), position)

    return FileReader(splits, START, open_file)


def open_bytes(files: Files, name: str) -> pa.NativeFile:
    """The decompressed bytes of a file; can be positioned if the file is not compressed."""
    filesystem, path = files.locate(name)
    if _is_compressed(path):
        return filesystem.open_input_stream(path, compression="detect")
    return filesystem.open_input_file(path)


def _is_compressed(path: str) -> bool:
    return path.endswith((".gz", ".zst", ".bz2", ".lz4"))


@dataclass(frozen=True, slots=True)
class _Block:
    """Whole records: where they start, after how many lines of the file, and how many lines they are."""

    content: bytes
    byte: int
    line: int
    lines: int


class _Blocks:
    """Cuts a stream of bytes, which stands at its beginning, into blocks from a place on."""

    def __init__(self, stream: pa.NativeFile, quote: str | None) -> None:
        self._stream = stream
        self._quote = None if quote is None else ord(quote)
        self._carry = b""
        self._byte = 0
        self._line = 0
        self._started = False

    def skip_to(self, byte: int, line: int) -> None:
        """Go on at this byte, which is past all records that were given."""
        ahead = byte - self._byte
        if ahead <= len(self._carry):
            self._carry = self._carry[ahead:]
        elif self._stream.seekable():
            self._stream.seek(byte)
            self._carry = b""
        else:
            self._discard(ahead - len(self._carry))
            self._carry = b""
        self._byte, self._line, self._started = byte, line, True

    def _discard(self, count: int) -> None:
        while count > 0 and (discarded := len(self._stream.read(min(count, 1 << 20)))):
            count -= discarded

    def first_record(self) -> bytes:
        """The file's first record, taken out of the stream."""
        block = self.next()
        if block is None:
            return b""
        end = int(record_ends(block.content, self._quote)[0]) + 1
        record = block.content[:end]
        self._carry = block.content[end:] + self._carry
        self._byte = block.byte + end
        self._line = block.line + record.count(b"\n")
        return record

    def next(self) -> _Block | None:
        content, ends = self._carry, 0
        while not ends:
            more = self._read()
            if not more and not content:
                return None
            if more and self._quote is None and (ends := more.rfind(b"\n") + 1):
                # The usual case, in one copy.
                self._carry = more[ends:]
                content = b"".join((content, memoryview(more)[:ends]))
            else:
                content += more
                ends = _last_end(content, self._quote) if more else len(content)
                self._carry = content[ends:]
                content = content[:ends] if ends else content
        lines = int(np.count_nonzero(np.frombuffer(content, np.uint8) == _NEWLINE))
        block = _Block(content, self._byte, self._line, lines)
        self._byte += len(content)
        self._line += lines
        return block

    def _read(self) -> bytes:
        more: bytes = self._stream.read(_BLOCK)
        if not self._started and more.startswith(_BYTE_ORDER_MARK):
            more = more[len(_BYTE_ORDER_MARK) :]
            self._byte = len(_BYTE_ORDER_MARK)
        self._started = True
        return more


def _last_end(content: bytes, quote: int | None) -> int:
    """The number of leading bytes that are whole records."""
    if quote is None or quote not in content:
        return content.rfind(b"\n") + 1
    quotes = np.frombuffer(content, np.uint8) == quote
    end = content.rfind(b"\n") + 1
    before = int(np.count_nonzero(quotes[:end]))
    while end and before % 2:
        # This newline is within quotes; the one before it may not be.
        previous = content.rfind(b"\n", 0, end - 1) + 1
        before -= int(np.count_nonzero(quotes[previous:end]))
        end = previous
    return end


def record_ends(content: bytes, quote: int | None) -> npt.NDArray[np.int64]:
    """The index of the last byte of each record: its newline, or the end of the content.

    >>> record_ends(b'a,"b\\n"\\nc', ord('"')).tolist()
    [6, 7]
    """
    array = np.frombuffer(content, np.uint8)
    newlines = array == _NEWLINE
    if quote is not None and quote in content:
        newlines &= np.cumsum(array == quote) % 2 == 0
    ends = np.flatnonzero(newlines)
    if len(content) and (not len(ends) or ends[-1] != len(content) - 1):
        ends = np.append(ends, len(content) - 1)
    return ends


class LineRows:
    """The rows of one file of lines, from a position on."""

    def __init__(self, name: str, stream: pa.NativeFile, decoder: LineDecoder, position: Position) -> None:
        start = cast("Mapping[str, int]", position)
        self._name = name
        self._stream = stream
        self._decoder = decoder
        self._blocks = _Blocks(stream, decoder.quote)
        if decoder.header:
            self._read_header()
        if start["byte"]:
            self._blocks.skip_to(start["byte"], start["line"])
        self._byte, self._line = start["byte"], start["line"]
        self._row = self._skip = start["row"]
        self._rest: pa.RecordBatch | None = None
        """Rows that were decoded and not asked for yet; `_after` is the place behind them."""
        self._after = (self._byte, self._line)

    def take(self, max_rows: int) -> pa.RecordBatch | None:
        batch = self._rest if self._rest is not None else self._next()
        if batch is None:
            return None
        if batch.num_rows > max_rows:
            self._rest = batch.slice(max_rows)
            self._row += max_rows
            return batch.slice(0, max_rows)
        self._rest = None
        self._byte, self._line = self._after
        self._row = 0
        return batch

    def position(self) -> Position:
        return {"byte": self._byte, "line": self._line, "row": self._row}

    def close(self) -> None:
        self._stream.close()

    def _next(self) -> pa.RecordBatch | None:
        while (block := self._blocks.next()) is not None:
            batch = self._decoded(block)
            skipped = min(self._skip, batch.num_rows)
            self._skip -= skipped
            if skipped < batch.num_rows:
                self._byte, self._line, self._row = block.byte, block.line, skipped
                self._after = (block.byte + len(block.content), block.line + block.lines)
                return batch.slice(skipped)
        return None

    def _read_header(self) -> None:
        record = self._blocks.first_record()
        try:
            self._decoder.on_header(record)
        except ValueError as error:
            raise DataError(f"{self._name}:1: {error}", remedy="correct the file's header or the schema") from error

    def _decoded(self, block: _Block) -> pa.RecordBatch:
        try:
            return self._decoder.decode(block.content)
        except ValueError as error:
            index, cause = self._first_malformed(block.content, error)
            raise DataError(
                f"{self._name}:{block.line + index + 1}: {cause}",
                remedy="correct the line, or the schema it is read with",
            ) from error

    def _first_malformed(self, content: bytes, error: ValueError) -> tuple[int, ValueError]:
        """The line, counted from the block's first, of the first record that does not decode, and what is wrong
        with it.
        """
        quote = self._decoder.quote
        ends = record_ends(content, None if quote is None else ord(quote))
        good, bad = 0, len(ends)
        while bad - good > 1:
            middle = (good + bad) // 2
            start = int(ends[good - 1]) + 1 if good else 0
            try:
                self._decoder.decode(content[start : int(ends[middle - 1]) + 1])
                good = middle
            except ValueError:
                bad = middle
        start = int(ends[good - 1]) + 1 if good else 0
        try:
            self._decoder.decode(content[start : int(ends[good]) + 1])
        except ValueError as alone:
            error = alone
        return content[:start].count(b"\n"), error


__all__ = ["START", "LineDecoder", "LineRows", "line_reader", "open_bytes", "reading", "record_ends"]
