"""An expression as the user would write it."""

from __future__ import annotations

from streamflow.plan.logical.terms import AggregateCall, Call, Case, Cast, Column, Expr, Literal, RowFunction

_INFIX = {
    "or": ("|", 1),
    "and": ("&", 3),
    "eq": ("==", 0),
    "ne": ("!=", 0),
    "lt": ("<", 0),
    "le": ("<=", 0),
    "gt": (">", 0),
    "ge": (">=", 0),
    "add": ("+", 5),
    "sub": ("-", 5),
    "mul": ("*", 6),
    "div": ("/", 6),
    "floordiv": ("//", 6),
    "mod": ("%", 6),
    "pow": ("**", 8),
}
_PREFIX = {"neg": ("-", 7), "not": ("~", 7)}
_ATOM = 9


def show(expr: Expr) -> str:
    """As Python source over `col`, `lit`, `when`, with only the parentheses it needs.

    >>> show(Call("mul", (Call("add", (Column("a"), Literal(1))), Column("b"))))
    "(col('a') + 1) * col('b')"
    >>> show(Cast(Column("a"), __import__("pyarrow").int32(), strict=False))
    "col('a').cast('int32', strict=False)"
    """
    return _show(expr)[0]


def _show(expr: Expr) -> tuple[str, int]:
    """The text and how tightly it binds."""
    match expr:
        case Column(name):
            return f"col({name!r})", _ATOM
        case Literal(value):
            return repr(value), _ATOM if not isinstance(value, int | float) or value >= 0 else 7
        case Call():
            return _show_call(expr)
        case Cast(arg, type_, strict):
            return f"{_within(arg, _ATOM)}.cast({str(type_)!r}{'' if strict else ', strict=False'})", _ATOM
        case Case(branches, otherwise):
            whens = ".".join(f"when({show(when)}).then({_value(then)})" for when, then in branches)
            return f"{whens}.otherwise({_value(otherwise)})", _ATOM
        case RowFunction():
            return f"{expr.name}({', '.join([*(p.name for p in expr.parameters), *['**row'] * expr.rest])})", _ATOM
        case AggregateCall():
            return _show_aggregate(expr), _ATOM


def _show_call(call: Call) -> tuple[str, int]:
    if call.function in _INFIX:
        sign, tightness = _INFIX[call.function]
        left, right = call.args
        # Comparisons do not chain and ** binds to the right: equal tightness needs parentheses on that side.
        return (
            f"{_within(left, tightness + (sign == '**' or tightness == 0))} {sign} {_within(right, tightness + 1)}",
            tightness,
        )
    if call.function in _PREFIX:
        sign, tightness = _PREFIX[call.function]
        return f"{sign}{_within(call.args[0], tightness)}", tightness
    head, *rest = call.args
    match call.function:
        case "is_in":
            arguments = [f"[{', '.join(show(arg) for arg in rest)}]"]
        case "between":
            closed = call.option("closed")
            arguments = [*map(show, rest), *([] if closed == "both" else [repr(closed)])]
        case "dt.truncate":
            arguments = [repr(_span(call.option("every")))]
        case _:
            given = [option for option in call.options if option[1] is not None and option[1] is not False]
            arguments = [*map(show, rest), *(_option(*option) for option in given)]
    if call.function == "from_epoch":
        return f"from_epoch({', '.join([show(head), *arguments])})", _ATOM
    name = {"between": "is_between", "coalesce": "fill_null"}.get(call.function, call.function)
    owner = f"lit({head.value!r})" if isinstance(head, Literal) else _within(head, _ATOM)
    return f"{owner}.{name}({', '.join(arguments)})", _ATOM


_USUAL = {"ddof": 1, "interpolation": "nearest"}


def _show_aggregate(call: AggregateCall) -> str:
    """As it is written: `col('x').max_by(col('y'), filter=col('z') > 0)`."""
    arguments = [show(part) for part in call.more]
    arguments += [
        repr(value) if name == "q" else f"{name}={value!r}" for name, value in call.options if _USUAL.get(name) != value
    ]
    if call.filter is not None:
        arguments.append(f"filter={show(call.filter)}")
    if call.argument is None:
        return f"{call.kind}({', '.join(arguments)})"
    if call.custom is not None:
        return f"aggregate({', '.join([f'{type(call.custom).__name__}()', show(call.argument), *arguments])})"
    if call.kind == "quantile" and call.options == (("q", 0.5), ("interpolation", "linear")):
        return f"{_within(call.argument, _ATOM)}.median({', '.join(arguments[2:])})"
    return f"{_within(call.argument, _ATOM)}.{call.kind}({', '.join(arguments)})"


def _value(expr: Expr) -> str:
    """Where a plain text would be a column's name."""
    return f"lit({expr.value!r})" if isinstance(expr, Literal) and isinstance(expr.value, str) else show(expr)


def _option(name: str, value: object) -> str:
    return f"{name}=True" if value is True else repr(value)


def _span(microseconds: int) -> str:
    """A duration as it is written: 1h, 90s."""
    units = {"d": 86_400_000_000, "h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000, "ms": 1000, "us": 1}
    unit = next(unit for unit, size in units.items() if microseconds % size == 0)
    return f"{microseconds // units[unit]}{unit}"


def _within(expr: Expr, tightness: int) -> str:
    text, own = _show(expr)
    return text if own >= tightness else f"({text})"
