"""Aggregates of the user's own, checked at every step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from streamflow.kernels.aggregates.spec import AggregateSpec, Aggregator, Column, Family
from streamflow.kernels.grouping import Groups


def _of(spec: AggregateSpec) -> Aggregator:
    assert spec.custom is not None
    return spec.custom


class CustomError(ValueError):
    """A step of the user's raised, or gave what it does not declare."""


def _partial(spec: AggregateSpec, columns: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    made = _call(spec, "partial", groups.ids, groups.count, *columns)
    return _checked(spec, made, groups.count, "partial")


def _merge(spec: AggregateSpec, parts: Sequence[pa.Array], groups: Groups) -> list[pa.Array]:
    made = _call(spec, "merge", groups.ids, groups.count, _named(spec, parts))
    return _checked(spec, made, groups.count, "merge")


def _finish(spec: AggregateSpec, parts: Sequence[pa.Array]) -> pa.Array:
    made = _call(spec, "finish", _named(spec, parts))
    return _column(spec, made, _of(spec).result, len(parts[0]), "finish()")


def _call(spec: AggregateSpec, step: str, *arguments: Any) -> Any:
    try:
        return getattr(spec.custom, step)(*arguments)
    except Exception as error:
        raise CustomError(f"{_who(spec)}.{step}() raised {type(error).__name__}: {error}") from error


def _named(spec: AggregateSpec, parts: Sequence[pa.Array]) -> dict[str, pa.Array]:
    return dict(zip(_of(spec).partials, parts, strict=True))


def _checked(spec: AggregateSpec, made: object, count: int, step: str) -> list[pa.Array]:
    wanted = _of(spec).partials
    if not isinstance(made, Mapping) or set(made) != set(wanted):
        given = ", ".join(made) if isinstance(made, Mapping) else type(made).__name__
        raise CustomError(f"{_who(spec)}.{step}() gave {given} for the partials {', '.join(wanted)}")
    return [_column(spec, made[name], type_, count, f"{step}()[{name!r}]") for name, type_ in wanted.items()]


def _column(spec: AggregateSpec, made: Column, type_: pa.DataType, count: int, what: str) -> pa.Array:
    try:
        column: pa.Array = made if isinstance(made, pa.Array) else pa.array(made)
        column = column if column.type == type_ else column.cast(type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, TypeError) as error:
        raise CustomError(f"{_who(spec)}.{what} is not of type {type_}: {error}") from error
    if len(column) != count:
        raise CustomError(f"{_who(spec)}.{what} has {len(column)} entries for {count} groups")
    return column


def _who(spec: AggregateSpec) -> str:
    return type(spec.custom).__name__


CUSTOM = Family(
    result=lambda spec: _of(spec).result,
    parts=lambda spec: list(_of(spec).partials.items()),
    partial=_partial,
    merge=_merge,
    finish=_finish,
)
