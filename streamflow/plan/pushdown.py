"""Predicates that a source may use to skip rows."""

from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from streamflow.plan.logical.expr import Call, Column, Expr, Literal, elaborate

_COMPARISONS = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "le": lambda a, b: a <= b,
    "gt": lambda a, b: a > b,
    "ge": lambda a, b: a >= b,
}
_MIRRORED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}


def to_arrow_filter(expr: Expr, schema: pa.Schema) -> pc.Expression | None:
    """A condition over columns of `schema` that keeps all rows that `expr` keeps, perhaps more; None: nothing is known.

    >>> from streamflow.plan.logical.expr import Call, Column, Literal
    >>> to_arrow_filter(Call("gt", (Column("a"), Literal(1))), pa.schema([("a", pa.int32())]))
    <pyarrow.compute.Expression (a > 1)>
    """
    return _weaker(elaborate(expr, schema)[0], schema)


def _weaker(expr: Expr, schema: pa.Schema) -> pc.Expression | None:
    """Of a conjunction each half is a condition that all kept rows meet."""
    match expr:
        case Call("and", (left, right)):
            parts = [part for part in (_weaker(left, schema), _weaker(right, schema)) if part is not None]
            return None if not parts else parts[0] if len(parts) == 1 else parts[0] & parts[1]
        case Call("or", (left, right)):
            either, other = _weaker(left, schema), _weaker(right, schema)
            return None if either is None or other is None else either | other
        case Call("between", (value, low, high)):
            closed = expr.option("closed")
            above = Call("ge" if closed in ("both", "left") else "gt", (value, low))
            below = Call("le" if closed in ("both", "right") else "lt", (value, high))
            return _weaker(Call("and", (above, below)), schema)
        case Call(function, (Column(name), Literal() as literal)) if function in _COMPARISONS:
            return _comparison(function, name, literal)
        case Call(function, (Literal() as literal, Column(name))) if function in _COMPARISONS:
            return _comparison(_MIRRORED[function], name, literal)
        case Call("is_in", (Column(name), *choices)) if not pt.is_floating(schema.field(name).type):
            values = [choice.value for choice in choices if isinstance(choice, Literal)]
            return pc.field(name).isin(pa.array(values, schema.field(name).type))
        case Call("is_null", (Column(name),)):
            return pc.field(name).is_null()
        case Call("is_not_null", (Column(name),)):
            return pc.field(name).is_valid()
        case Column(name):
            return pc.field(name)
        case _:
            return None


def _comparison(function: str, name: str, literal: Literal) -> pc.Expression | None:
    """Arrow's comparisons with NaN are false, where ours put NaN above all numbers (rule 16).

    What NaN passes is therefore not pushed: statistics leave NaN out, and a group of nulls and NaN would be skipped
    even for `x > 1 or x is NaN`.
    """
    if literal.value is None or literal.value != literal.value or literal.type is None:
        return None
    if (
        isinstance(literal.value, datetime)
        and literal.value.tzinfo is None
        and literal.type != pa.timestamp("us", "UTC")
    ):
        return None
    if pt.is_floating(literal.type) and function in ("gt", "ge", "ne"):
        return None
    return _COMPARISONS[function](pc.field(name), pc.scalar(pa.scalar(literal.value, literal.type)))
