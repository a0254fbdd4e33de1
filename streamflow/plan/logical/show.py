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
_DEFAULTS = (("ddof", 1), ("form", "NFC"))
_OF_COLUMNS = ("struct", "concat_str", "max_horizontal", "min_horizontal")


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
        case "clip":
            arguments = [show(arg) for arg in rest if arg != Literal(None)]
            if rest[0] == Literal(None):
                arguments = [f"upper_bound={argument}" for argument in arguments]
        case "replace" | "replace_strict" | "str.replace_many":
            arguments = _mapping_arguments(call)
        case "dt.truncate" | "dt.offset_by":
            (_, span), (_, zone) = call.options
            text = duration(int(str(span))) if str(span).removeprefix("-").isdigit() else str(span)
            arguments = [repr(text), *([] if zone is None else [f"tz={zone!r}"])]
        case _:
            given = [option for option in call.options if _given(option)]
            arguments = [*map(show, rest), *(_option(*option) for option in given)]
    if call.function == "from_epoch":
        return f"from_epoch({', '.join([show(head), *arguments])})", _ATOM
    if call.function in _OF_COLUMNS or (call.function == "coalesce" and len(call.args) != 2):
        return _show_columns(call), _ATOM
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


def _show_columns(call: Call) -> str:
    """A function of several columns, where a text would be a column's name."""
    arguments = [_value(arg) for arg in call.args]
    if call.function == "struct":
        arguments = [
            argument if arg == Column(str(name)) else f"{name}={argument}"
            for argument, arg, (_, name) in zip(arguments, call.args, call.options, strict=True)
        ]
    elif call.function == "concat_str":
        arguments += [f"{name}={value!r}" for name, value in call.options if value]
    return f"{call.function}({', '.join(arguments)})"


def _given(option: tuple[str, object]) -> bool:
    return option[1] is not None and option[1] is not False and option not in _DEFAULTS


def _mapping_arguments(call: Call) -> list[str]:
    strict = call.function == "replace_strict"
    pairs = call.args[1 + strict :]
    middle = len(pairs) // 2
    items = ", ".join(f"{show(key)}: {show(new)}" for key, new in zip(pairs[:middle], pairs[middle:], strict=True))
    given = strict and call.option("default") is not None
    return [f"{{{items}}}", *([f"default={show(call.args[1])}"] if given else [])]


def _value(expr: Expr) -> str:
    """Where a plain text would be a column's name."""
    return f"lit({expr.value!r})" if isinstance(expr, Literal) and isinstance(expr.value, str) else show(expr)


def _option(name: str, value: object) -> str:
    if name == "base" and isinstance(value, str):
        return value
    return f"{name}={value!r}" if value is True or name == "tz" else repr(value)


def duration(microseconds: int) -> str:
    """A duration in the largest unit that is exact.

    >>> [duration(t) for t in (10_000_000, 5_400_000_000, 1500, 0)]
    ['10s', '90m', '1500us', '0s']
    """
    units = (("d", 86_400_000_000), ("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1))
    unit, size = next(
        (unit, size) for unit, size in units if microseconds % size == 0 and (microseconds or unit == "s")
    )
    return f"{microseconds // size}{unit}"


def _within(expr: Expr, tightness: int) -> str:
    text, own = _show(expr)
    return text if own >= tightness else f"({text})"
