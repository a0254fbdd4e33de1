"""Files made of lines: cut into blocks of whole records, which a format decodes at once.

A position is `{"byte": b, "line": l, "row": r}`: a block starts at byte b (of the decompressed file), after l lines,
and r of the rows from there on were delivered, among which a record that does not decode counts as one. So reading
goes on without decoding what lies before, and does not depend on block sizes.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, cast

import numpy as np
import pyarrow as pa

from streamflow.connect.files import FileReader, Files, reading
from streamflow.connect.partitions import folder_values, partitioned
from streamflow.connect.quoting import Quoting
from streamflow.connect.source import BadRecord, Position
from streamflow.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

START: Position = {"byte": 0, "line": 0, "row": 0}

_BLOCK = 1 << 18
"""Bytes decoded at once: small enough for the cache, large enough to make up for what a call of a parser costs."""
_NEWLINE = ord("\n")
_ROW = re.compile(r"\.? in row \d+$|\bRow #\d+: ")
"""What parsers say about the place in a block: of a record that is decoded alone it says nothing."""
_OPEN = "the quote that opens in line {} is never closed"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineDecoder(Protocol):
    """Turns blocks of one file into rows."""

    quoting: Quoting | None
    """How values hold newlines; None where a newline always ends a record."""

    header: bool
    """The first record names the columns; it is given to `on_header` and decoded no more."""

    def on_header(self, record: bytes) -> None:
        """Called before `decode` for each file, if `header`; raises ValueError if the file does not fit."""
        ...

    def decode(self, block: bytes) -> pa.RecordBatch:
        """The rows of whole records. Raises ValueError, as ArrowInvalid is one, if one is malformed."""
        ...


Piece: TypeAlias = "pa.RecordBatch | BadRecord"

OpenDecoder: TypeAlias = Callable[[pa.Schema, Collection[str]], LineDecoder]


def line_reader(
    files: Files, splits: Mapping[str, Position | None], schema: pa.Schema, decoder: OpenDecoder
) -> FileReader:
    """A reader over files of lines; `.gz` and `.zst` files are decompressed. Each file has a decoder of its own.

    `decoder(columns, folders)` makes it for the columns of `schema` that are in the file; `folders` are those that
    folders on its path name.
    """

    def open_rows(name: str, columns: pa.Schema, position: Position) -> LineRows:
        return LineRows(name, open_bytes(files, name), decoder(columns, folder_values(files.below(name))), position)

    return FileReader(splits, START, partitioned(files, schema, open_rows), files)


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
    """Whole records: where they start, after how many lines of the file, and how many lines they are.

    `open_line`: of the file, counted from 1, in which a quote opens that nothing closes; then it is one record.
    """

    content: bytes
    byte: int
    line: int
    lines: int
    open_line: int | None = None


class _Blocks:
    """Cuts a stream of bytes, which stands at its beginning, into blocks from a place on."""

    def __init__(self, stream: pa.NativeFile, quoting: Quoting | None) -> None:
        self._stream = stream
        self._quoting = quoting
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

    def first_record(self) -> tuple[bytes, int | None]:
        """The file's first record, taken out of the stream, and its `open_line`."""
        block = self.next()
        if block is None:
            return b"", None
        end = len(block.content)
        if block.open_line is None:
            end = int(record_ends(block.content, self._quoting)[0]) + 1
        record = block.content[:end]
        self._carry = block.content[end:] + self._carry
        self._byte = block.byte + end
        self._line = block.line + record.count(b"\n")
        return record, block.open_line

    def put_back(self, record: bytes) -> None:
        """Undo `first_record`."""
        self._carry = record + self._carry
        self._byte -= len(record)
        self._line -= record.count(b"\n")

    def next(self) -> _Block | None:
        content, ends, open_at = self._carry, 0, None
        while not ends:
            more = self._read(max(_BLOCK, len(content)))
            if not more and not content:
                return None
            if more and self._quoting is None and (ends := more.rfind(b"\n") + 1):
                # The usual case, in one copy.
                self._carry = more[ends:]
                content = b"".join((content, memoryview(more)[:ends]))
            else:
                content += more
                if more:
                    ends = _last_end(content, self._quoting)
                else:
                    open_at = None if self._quoting is None else self._quoting.open_at(content)
                    ends = len(content) if open_at is None else _last_end(content, self._quoting) or len(content)
                self._carry = content[ends:]
                content = content[:ends] if ends else content
        return self._block(content, open_at)

    def _block(self, content: bytes, open_at: int | None) -> _Block:
        open_line = None
        if open_at is not None and open_at < len(content):
            open_line = self._line + content.count(b"\n", 0, open_at) + 1
        lines = int(np.count_nonzero(np.frombuffer(content, np.uint8) == _NEWLINE))
        block = _Block(content, self._byte, self._line, lines, open_line)
        self._byte += len(content)
        self._line += lines
        return block

    def _read(self, size: int) -> bytes:
        more: bytes = self._stream.read(size)
        if not self._started and more.startswith(_BYTE_ORDER_MARK):
            more = more[len(_BYTE_ORDER_MARK) :]
            self._byte = len(_BYTE_ORDER_MARK)
        self._started = True
        return more


def _last_end(content: bytes, quoting: Quoting | None) -> int:
    """The number of leading bytes that are whole records."""
    return content.rfind(b"\n") + 1 if quoting is None else quoting.last_end(content)


def record_ends(content: bytes, quoting: Quoting | None) -> npt.NDArray[np.int64]:
    """The index of the last byte of each record: its newline, or the end of the content.

    >>> record_ends(b'a,"b\\n"\\nc', Quoting('"', ",")).tolist()
    [6, 7]
    """
    if quoting is None:
        ends = np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE)
    else:
        ends = quoting.record_ends(content)
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
        self._blocks = _Blocks(stream, decoder.quoting)
        self._unfit: str | None = None
        """Why no record of the file can be decoded, where its header does not fit."""
        if decoder.header:
            self._read_header()
        if start["byte"]:
            self._blocks.skip_to(start["byte"], start["line"])
        self._byte, self._line = start["byte"], start["line"]
        self._row = self._skip = start["row"]
        self._pieces: deque[Piece] = deque()
        """What was decoded and not asked for yet; `_after` is the place behind it."""
        self._after = (self._byte, self._line)

    def take(self, max_rows: int) -> Piece | None:
        if not self._pieces:
            self._next()
            if not self._pieces:
                return None
        piece = self._pieces.popleft()
        if isinstance(piece, pa.RecordBatch) and piece.num_rows > max_rows:
            self._pieces.appendleft(piece.slice(max_rows))
            piece = piece.slice(0, max_rows)
        self._row += _size(piece)
        if not self._pieces:
            self._byte, self._line = self._after
            self._row = 0
        return piece

    def position(self) -> Position:
        return {"byte": self._byte, "line": self._line, "row": self._row}

    def close(self) -> None:
        self._stream.close()

    def _next(self) -> None:
        """Decode the next block that holds something new."""
        while (block := self._blocks.next()) is not None:
            pieces = deque(self._decoded(block))
            skipped = 0
            while pieces and self._skip:
                size = min(_size(pieces[0]), self._skip)
                piece = pieces.popleft()
                if isinstance(piece, pa.RecordBatch) and size < piece.num_rows:
                    pieces.appendleft(piece.slice(size))
                self._skip -= size
                skipped += size
            if pieces:
                self._byte, self._line, self._row = block.byte, block.line, skipped
                self._after = (block.byte + len(block.content), block.line + block.lines)
                self._pieces = pieces
                return

    def _read_header(self) -> None:
        record, open_line = self._blocks.first_record()
        try:
            if open_line is not None:
                raise ValueError(_OPEN.format(open_line))
            self._decoder.on_header(record)
        except ValueError as error:
            if not record:
                raise DataError(
                    f"{self._name} is empty: it has no header", remedy="leave it out of the path"
                ) from error
            self._unfit = str(error)
            self._blocks.put_back(record)

    def _decoded(self, block: _Block) -> list[Piece]:
        """The block's rows, at once if they all decode."""
        if block.open_line is not None:
            return [self._bad(block.line + 1, block.content, _OPEN.format(block.open_line))]
        try:
            if self._unfit is not None:
                raise ValueError(self._unfit)
            batch = self._decoder.decode(block.content)
        except ValueError:
            return _joined(self._apart(block))
        return [batch] if batch.num_rows else []

    def _apart(self, block: _Block) -> Iterator[Piece]:
        """Rows and records that do not decode, in their order: found by halving."""
        ends = record_ends(block.content, self._decoder.quoting) + 1
        borders = [0, *ends.tolist()]

        def part(first: int, last: int) -> Iterator[Piece]:
            content = block.content[borders[first] : borders[last]]
            try:
                if self._unfit is not None:
                    raise ValueError(self._unfit)
                batch = self._decoder.decode(content)
            except ValueError as error:
                if last - first > 1:
                    middle = (first + last) // 2
                    yield from part(first, middle)
                    yield from part(middle, last)
                else:
                    line = block.line + block.content.count(b"\n", 0, borders[first]) + 1
                    yield self._bad(line, content, _ROW.sub("", str(error)))
            else:
                if batch.num_rows:
                    yield batch

        return part(0, len(ends))

    def _bad(self, line: int, record: bytes, error: str) -> BadRecord:
        return BadRecord(self._name, str(line), record.rstrip(b"\r\n"), error)


def _size(piece: Piece) -> int:
    return piece.num_rows if isinstance(piece, pa.RecordBatch) else 1


def _joined(pieces: Iterable[Piece]) -> list[Piece]:
    """The same with batches that follow each other put together."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and isinstance(piece, pa.RecordBatch) and isinstance(joined[-1], pa.RecordBatch):
            joined[-1] = pa.concat_batches([joined[-1], piece])
        else:
            joined.append(piece)
    return joined


__all__ = ["START", "LineDecoder", "LineRows", "line_reader", "open_bytes", "reading", "record_ends"]
