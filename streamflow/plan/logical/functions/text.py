"""What functions of text take and give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.types as pt

from streamflow.plan.logical.functions.types import (
    BOOL,
    DATE,
    INT64,
    NULL,
    STRING,
    TIMESTAMP,
    Bound,
    Operand,
    Signature,
    fixed,
)
from streamflow.plan.logical.patterns import named_groups
from streamflow.plan.logical.terms import Call


def _concat(call: Call, operands: Sequence[Operand]) -> Bound | None:
    """Numbers, conditions and dates are written as a cast to text writes them."""
    for operand in operands:
        type_ = operand.type
        if type_ not in (STRING, BOOL, DATE, NULL) and not (pt.is_integer(type_) or pt.is_floating(type_)):
            return None
    return (STRING,) * len(operands), STRING


def _extract_groups(call: Call, operands: Sequence[Operand]) -> Bound | None:
    _, names = named_groups(call.option("pattern"))
    return fixed(STRING, gives=pa.struct([(name, STRING) for name in names]))(call, operands)


def _replace_many(call: Call, operands: Sequence[Operand]) -> Bound | None:
    return fixed(*(STRING,) * len(operands), gives=STRING)(call, operands)


_TO_STRING = fixed(STRING, gives=STRING)
_TO_BOOL = fixed(STRING, gives=BOOL)
_TO_INT = fixed(STRING, gives=INT64)
_TO_LIST = fixed(STRING, gives=pa.list_(STRING))

TEXT: Mapping[str, Signature] = {
    "concat_str": _concat,
    "str.len_chars": _TO_INT,
    "str.len_bytes": _TO_INT,
    "str.to_lowercase": _TO_STRING,
    "str.to_uppercase": _TO_STRING,
    "str.to_titlecase": _TO_STRING,
    "str.reverse": _TO_STRING,
    "str.strip_chars": _TO_STRING,
    "str.strip_chars_start": _TO_STRING,
    "str.strip_chars_end": _TO_STRING,
    "str.strip_prefix": _TO_STRING,
    "str.strip_suffix": _TO_STRING,
    "str.pad_start": _TO_STRING,
    "str.pad_end": _TO_STRING,
    "str.zfill": _TO_STRING,
    "str.starts_with": _TO_BOOL,
    "str.ends_with": _TO_BOOL,
    "str.contains": _TO_BOOL,
    "str.find": _TO_INT,
    "str.count_matches": _TO_INT,
    "str.extract": _TO_STRING,
    "str.extract_all": _TO_LIST,
    "str.extract_groups": _extract_groups,
    "str.replace": _TO_STRING,
    "str.replace_all": _TO_STRING,
    "str.replace_many": _replace_many,
    "str.normalize": _TO_STRING,
    "str.slice": _TO_STRING,
    "str.split": _TO_LIST,
    "str.to_integer": _TO_INT,
    "str.to_datetime": fixed(STRING, gives=TIMESTAMP),
    "str.json_path_match": _TO_STRING,
}
