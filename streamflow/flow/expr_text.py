"""`.str`: functions of text. Positions and lengths count characters."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from streamflow.flow.expr import Expr, no_such_method

_INSTEAD = {
    "lower": "write .str.to_lowercase()",
    "upper": "write .str.to_uppercase()",
    "len": "write .str.len_chars()",
    "length": "write .str.len_chars()",
    "strip": "write .str.strip_chars()",
    "startswith": "write .str.starts_with(...)",
    "endswith": "write .str.ends_with(...)",
    "strptime": "write .str.to_datetime(format)",
    "concat": "write a + b",
}


class Text:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def len_chars(self) -> Expr:
        """The number of characters."""
        return self._expr._call("str.len_chars")

    def to_lowercase(self) -> Expr:
        """In lower case."""
        return self._expr._call("str.to_lowercase")

    def to_uppercase(self) -> Expr:
        """In upper case."""
        return self._expr._call("str.to_uppercase")

    def strip_chars(self, characters: str | None = None) -> Expr:
        """Without these characters at both ends; None: without white space."""
        return self._expr._call("str.strip_chars", characters=characters)

    def starts_with(self, prefix: str) -> Expr:
        """Does it start with this text?"""
        return self._expr._call("str.starts_with", prefix=prefix)

    def ends_with(self, suffix: str) -> Expr:
        """Does it end with this text?"""
        return self._expr._call("str.ends_with", suffix=suffix)

    def contains(self, pattern: str, *, literal: bool = False) -> Expr:
        """Does the regular expression (RE2's syntax) match somewhere? `literal`: is this text in it?

        >>> from streamflow.flow.expr import col
        >>> col("url").str.contains("channel_id=[0-9]+")
        col('url').str.contains('channel_id=[0-9]+')
        """
        return self._expr._call("str.contains", pattern=pattern, literal=literal)

    def replace(self, pattern: str, value: str, *, literal: bool = False) -> Expr:
        """The first match of the regular expression replaced; `literal`: the pattern is plain text."""
        return self._expr._call("str.replace", pattern=pattern, value=value, literal=literal)

    def replace_all(self, pattern: str, value: str, *, literal: bool = False) -> Expr:
        """Every match of the regular expression replaced; `literal`: the pattern is plain text."""
        return self._expr._call("str.replace_all", pattern=pattern, value=value, literal=literal)

    def slice(self, offset: int, length: int | None = None) -> Expr:
        """So many characters from `offset` on, which counts from the end when it is negative."""
        return self._expr._call("str.slice", offset=offset, length=length)

    def split(self, by: str) -> Expr:
        """A list of the parts between `by`.

        >>> from streamflow.flow.expr import col
        >>> col("line").str.split(" ")
        col('line').str.split(' ')
        """
        return self._expr._call("str.split", by=by)

    def to_datetime(self, format: str | None = None) -> Expr:  # noqa: A002
        """As a time, UTC unless the text says otherwise. Without a format: ISO 8601.

        >>> from streamflow.flow.expr import col
        >>> col("day").str.to_datetime("%d.%m.%Y")
        col('day').str.to_datetime('%d.%m.%Y')
        """
        return self._expr._call("str.to_datetime", format=format)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".str", Text, name, _INSTEAD)
