"""How functions of lists and records are compiled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from streamflow.kernels import lists
from streamflow.plan.codes.code import Code, Compile, array_of, from_arrow, of_column
from streamflow.plan.logical.functions.nested import LIST_AGGREGATES
from streamflow.plan.logical.terms import Call


def _struct(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    runs = [array_of(arg) for arg in args]
    fields = list(type_)
    return from_arrow(type_, lambda batch: pa.StructArray.from_arrays([run(batch) for run in runs], fields=fields))


def _struct_field(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    record, name = array_of(args[0]), call.option("name")
    return from_arrow(type_, lambda batch: pc.struct_field(record(batch), name))


def _get(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
    whole, index = map(array_of, args)
    return from_arrow(type_, lambda batch: lists.get(whole(batch), index(batch)))


def _matches(kernel: Callable[[pa.Array, pa.Array], pa.Array]) -> Compile:
    def compile_(call: Call, args: Sequence[Code], type_: pa.DataType) -> Code:
        whole, value = map(array_of, args)
        return from_arrow(type_, lambda batch: kernel(whole(batch), value(batch)))

    return compile_


def _aggregate(kind: str) -> Compile:
    return of_column(lambda call: lambda a: lists.aggregate(kind, a, call.options))


NESTED: Mapping[str, Compile] = {
    "struct": _struct,
    "struct.field": _struct_field,
    "list.len": of_column(lambda call: lambda a: pc.list_value_length(a).cast(pa.int64())),
    "list.get": _get,
    "list.contains": _matches(lists.contains),
    "list.count_matches": _matches(lists.count_matches),
    **{f"list.{kind}": _aggregate(kind) for kind in LIST_AGGREGATES},
    "list.join": of_column(lambda call: lambda a: lists.join(a, call.option("separator"))),
    "list.sort": of_column(lambda call: lambda a: lists.sort(a, call.option("descending"))),
    "list.unique": of_column(lambda call: lists.unique),
    "list.drop_nulls": of_column(lambda call: lists.drop_nulls),
    "list.reverse": of_column(lambda call: lists.reverse),
    "list.slice": of_column(lambda call: lambda a: lists.part(a, call.option("offset"), call.option("length"))),
}
