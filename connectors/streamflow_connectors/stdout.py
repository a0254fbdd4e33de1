"""Rows on the terminal, as an aligned table or as JSON lines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from streamflow.connect import SinkContext, UserError, visible_batch, visible_schema
from streamflow.connect.formats.json import JsonEncoder

_RIGHT = (pa.types.is_integer, pa.types.is_floating, pa.types.is_decimal)


@dataclass(frozen=True, slots=True)
class Sink:
    """Prints rows as they come; a changelog's with a first column `change`.

    `format`: "table", aligned, its columns growing with what they hold, or "jsonl", an object a line.

    >>> writer = Sink().open(SinkContext(job="j", step="out", worker=0, attempt=1, schema=pa.schema({"x": pa.int64()})))
    >>> writer.write(pa.record_batch({"x": [1, 20]}))
     x
     1
    20
    """

    format: Literal["table", "jsonl"] = "table"

    def __post_init__(self) -> None:
        if self.format not in ("table", "jsonl"):
            raise UserError(f"format={self.format!r} is unknown", remedy='use "table" or "jsonl"')

    @property
    def changelog(self) -> bool:
        return True

    def open(self, who: SinkContext) -> TableWriter | JsonWriter:
        schema = visible_schema(who.schema)
        return TableWriter(schema) if self.format == "table" else JsonWriter(JsonEncoder(schema))


class TableWriter:
    """Prints the header before the first rows, and again when a column has become wider."""

    def __init__(self, schema: pa.Schema) -> None:
        self._names = schema.names
        self._right = [any(is_right(type_) for is_right in _RIGHT) for type_ in schema.types]
        self._widths = [0] * len(schema.names)

    def write(self, batch: pa.RecordBatch) -> None:
        columns = [_texts(column) for column in visible_batch(batch).columns]
        widths = [
            max(width, len(name), *map(len, texts))
            for width, name, texts in zip(self._widths, self._names, columns, strict=True)
        ]
        lines = [] if widths == self._widths else [self._line(self._names, widths)]
        lines += [self._line(row, widths) for row in zip(*columns, strict=True)]
        self._widths = widths
        _print("".join(lines))

    def _line(self, cells: Sequence[str], widths: Sequence[int]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, widths, self._right, strict=True)
        ]
        return "  ".join(padded).rstrip() + "\n"

    def flush(self) -> None:
        """Every write is flushed."""

    def close(self) -> None:
        """The terminal stays open."""


def _print(lines: str) -> None:
    """Whole lines; on a terminal they take the place of a line of progress, which will be written again."""
    sys.stdout.write(f"\r\x1b[2K{lines}" if sys.stdout.isatty() else lines)
    sys.stdout.flush()


def _texts(column: pa.Array) -> list[str]:
    """Each value as it is shown; newlines and the like as escapes, so that a row stays a line."""
    if pa.types.is_timestamp(column.type) or pa.types.is_primitive(column.type):
        return ["" if text is None else text for text in column.cast(pa.string()).to_pylist()]
    values = ["" if value is None else str(value) for value in column.to_pylist()]
    return [value if value.isprintable() else value.encode("unicode_escape").decode() for value in values]


@dataclass(frozen=True, slots=True)
class JsonWriter:
    _encoder: JsonEncoder

    def write(self, batch: pa.RecordBatch) -> None:
        _print(self._encoder.encode(visible_batch(batch)).to_pybytes().decode())

    def flush(self) -> None:
        """Every write is flushed."""

    def close(self) -> None:
        """The terminal stays open."""
