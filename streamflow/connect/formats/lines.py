"""Text files: a format's lines, written to a stream as they come, compressed as a whole if asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import pyarrow as pa

from streamflow.errors import UserError

Compression: TypeAlias = Literal["gzip", "zstd"] | None

_SUFFIXES = {None: "", "gzip": ".gz", "zstd": ".zst"}


class LineEncoder(Protocol):
    @property
    def header(self) -> bytes:
        """What stands before the first row."""
        ...

    def encode(self, batch: pa.RecordBatch) -> pa.Buffer:
        """The rows as whole lines."""
        ...


@dataclass(frozen=True, slots=True)
class LineFormat:
    """A `FileFormat` of lines. `make` gives the encoder for a schema."""

    extension: str
    codec: Compression
    make: Callable[[pa.Schema], LineEncoder]

    def __post_init__(self) -> None:
        if self.codec not in _SUFFIXES:
            raise UserError(f"compression={self.codec!r} is unknown", remedy='use "gzip", "zstd" or None')

    @property
    def suffix(self) -> str:
        return self.extension + _SUFFIXES[self.codec]

    def encoder(self, stream: pa.NativeFile, schema: pa.Schema, roll_bytes: int | None) -> _Lines:
        lines = self.make(schema)
        stream.write(lines.header)
        return _Lines(stream, lines)


@dataclass(frozen=True, slots=True)
class _Lines:
    stream: pa.NativeFile
    lines: LineEncoder

    def write(self, batch: pa.RecordBatch) -> None:
        self.stream.write(self.lines.encode(batch))

    def held(self) -> int:
        return 0

    def finish(self) -> None:
        """Lines need no end."""

    def abandon(self) -> None:
        """Nothing is held."""
