"""Rows that a step could not process, and how they look as rows of the dead letters."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from streamflow.connect.canonical import canonical_type
from streamflow.connect.formats.json import JsonEncoder
from streamflow.errors import DataError, SchemaError
from streamflow.operators.events import RESERVED, Batch

DEAD_LETTERS = pa.schema(
    [("step", pa.string()), ("error", pa.string()), ("position", pa.string()), ("payload", pa.binary())]
)
_OWN = (*RESERVED, "~")
"""What names of columns that users never see start with."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """Rows that a step cannot process, and for each of them why. An operator sends it where a batch would go."""

    rows: Batch
    errors: tuple[DataError, ...]


def letters(step: str, rejected: Rejected, position: str | None) -> Batch:
    """The dead letters of rows: their visible columns as JSON."""
    errors = [error.message for error in rejected.errors]
    return _letters(step, errors, position, rows_as_json(rejected.rows))


def letter(step: str, error: str, position: str | None, payload: bytes) -> Batch:
    """The dead letter of a record that never became a row."""
    return _letters(step, [error], position, [payload])


def _letters(step: str, errors: Sequence[str], position: str | None, payloads: Sequence[bytes]) -> Batch:
    columns = [[step] * len(errors), errors, [position] * len(errors), payloads]
    arrays = [pa.array(column, type_) for column, type_ in zip(columns, DEAD_LETTERS.types, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=DEAD_LETTERS)


def rows_as_json(rows: Batch) -> list[bytes]:
    """Each row's visible columns as a JSON object; bytes in base64.

    >>> rows_as_json(pa.record_batch({"city": ["Oslo"], "tags": [[1, 2]], "raw": [b"ab"]}))
    [b'{"city":"Oslo","tags":[1,2],"raw":"YWI="}']
    """
    names = [name for name in rows.schema.names if not name.startswith(_OWN)]
    columns = [_encodable(rows.column(name)) for name in names]
    shown = pa.RecordBatch.from_arrays(columns, names=names) if names else rows.select([])
    lines: list[bytes] = JsonEncoder(shown.schema).encode(shown).to_pybytes().splitlines()
    return lines


def _encodable(column: pa.Array) -> pa.Array:
    """The column in a type that JSON has: as it is, or as text."""
    type_ = column.type
    if canonical_type(type_) != type_:  # as a source gave it, because it does not fit
        return column.cast(pa.int64()) if pa.types.is_timestamp(type_) else _shown(column)
    if pa.types.is_binary(type_) or pa.types.is_fixed_size_binary(type_):
        return pa.array([_base64(value) for value in column.to_pylist()], pa.string())
    try:
        JsonEncoder(pa.schema([("", type_)]))
    except SchemaError:  # bytes within lists or structs
        return _shown(column)
    return column


def _shown(column: pa.Array) -> pa.Array:
    return pa.array([None if value is None else repr(value) for value in column.to_pylist()], pa.string())


def _base64(value: Any) -> str | None:
    return None if value is None else base64.b64encode(value).decode()
