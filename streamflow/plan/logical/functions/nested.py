"""What functions of lists and records take and give."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.types as pt

from streamflow.kernels.aggregate import AggregateSpec, result_of
from streamflow.plan.logical.functions.types import BOOL, INT64, STRING, Bound, Operand, Signature, common
from streamflow.plan.logical.terms import Call


def _struct_field(call: Call, operands: Sequence[Operand]) -> Bound | None:
    (operand,) = operands
    if not pt.is_struct(operand.type) or operand.type.get_field_index(call.option("name")) < 0:
        return None
    return (operand.type,), operand.type.field(call.option("name")).type


def _struct(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """The names of the fields are the call's options, in the operands' order."""
    types = tuple(operand.type for operand in operands)
    names = [str(name) for _, name in call.options]
    return types, pa.struct([pa.field(name, type_) for name, type_ in zip(names, types, strict=True)])


def _of_list(result: Callable[[pa.DataType], pa.DataType | None]) -> Signature:
    """A function of one list, and of what its options say; `result`: its type, from that of the elements."""

    def signature(call: Call, operands: Sequence[Operand]) -> Bound | None:
        (operand,) = operands
        if not pt.is_list(operand.type):
            return None
        type_ = result(operand.type.value_type)
        return None if type_ is None else ((operand.type,), type_)

    return signature


def _aggregated(call: Call, operands: Sequence[Operand]) -> Bound | None:
    kind: Any = call.function.removeprefix("list.")

    def result(item: pa.DataType) -> pa.DataType | None:
        try:
            return result_of(AggregateSpec(kind, "item", item, "item", options=call.options))
        except ValueError:
            return None

    return _of_list(result)(call, operands)


def _ordered(call: Call, operands: Sequence[Operand]) -> Bound | None:
    return _of_list(lambda item: None if pt.is_nested(item) else pa.list_(item))(call, operands)


def _get(call: Call, operands: Sequence[Operand]) -> Bound | None:
    bound = _of_list(lambda item: item)(call, operands[:1])
    index = operands[1]
    if bound is None or not (pt.is_integer(index.type) or pt.is_null(index.type)):
        return None
    return (operands[0].type, INT64), bound[1]


def _matches(call: Call, operands: Sequence[Operand]) -> Bound | None:
    result = BOOL if call.function == "list.contains" else INT64
    whole, value = operands
    if not pt.is_list(whole.type) or pt.is_nested(whole.type.value_type):
        return None
    type_ = common([Operand(whole.type.value_type), value])
    return None if type_ != whole.type.value_type else ((whole.type, type_), result)


LIST_AGGREGATES = ("sum", "min", "max", "mean", "std", "var", "any", "all", "n_unique")

_SAME = _of_list(pa.list_)

NESTED: Mapping[str, Signature] = {
    "struct": _struct,
    "struct.field": _struct_field,
    "list.len": _of_list(lambda item: INT64),
    "list.get": _get,
    "list.contains": _matches,
    "list.count_matches": _matches,
    **dict.fromkeys((f"list.{kind}" for kind in LIST_AGGREGATES), _aggregated),
    "list.join": _of_list(lambda item: STRING if item == STRING else None),
    "list.sort": _ordered,
    "list.unique": _ordered,
    "list.drop_nulls": _SAME,
    "list.reverse": _SAME,
    "list.slice": _SAME,
}
