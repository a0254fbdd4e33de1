"""`.str`: functions of text. Positions and lengths count characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal, NoReturn

from streamflow.flow.expr import Expr, no_such_method, wrong
from streamflow.flow.instead_expr import TEXT


class Text:
    __slots__ = ("_expr",)

    def __init__(self, expr: Expr) -> None:
        self._expr = expr

    def len_chars(self) -> Expr:
        """The number of characters."""
        return self._expr._call("str.len_chars")

    def len_bytes(self) -> Expr:
        """The number of bytes in UTF-8.

        >>> evaluate(col("s").str.len_bytes(), s=["né", "", None])
        [3, 0, None]
        """
        return self._expr._call("str.len_bytes")

    def to_lowercase(self) -> Expr:
        """In lower case."""
        return self._expr._call("str.to_lowercase")

    def to_uppercase(self) -> Expr:
        """In upper case."""
        return self._expr._call("str.to_uppercase")

    def to_titlecase(self) -> Expr:
        """The first letter of every word in upper case.

        >>> evaluate(col("s").str.to_titlecase(), s=["new york"])
        ['New York']
        """
        return self._expr._call("str.to_titlecase")

    def reverse(self) -> Expr:
        """From the last character to the first."""
        return self._expr._call("str.reverse")

    def strip_chars(self, characters: str | None = None) -> Expr:
        """Without these characters at both ends; None: without white space."""
        return self._expr._call("str.strip_chars", characters=characters)

    def strip_chars_start(self, characters: str | None = None) -> Expr:
        """Without these characters in front; None: without white space.

        >>> evaluate(col("s").str.strip_chars_start("0"), s=["007"])
        ['7']
        """
        return self._expr._call("str.strip_chars_start", characters=characters)

    def strip_chars_end(self, characters: str | None = None) -> Expr:
        """Without these characters at the end; None: without white space."""
        return self._expr._call("str.strip_chars_end", characters=characters)

    def strip_prefix(self, prefix: str) -> Expr:
        """Without this text in front, where it stands there.

        >>> evaluate(col("s").str.strip_prefix("www."), s=["www.a.org", "b.org"])
        ['a.org', 'b.org']
        """
        return self._expr._call("str.strip_prefix", prefix=prefix)

    def strip_suffix(self, suffix: str) -> Expr:
        """Without this text at the end, where it stands there.

        >>> evaluate(col("s").str.strip_suffix(".gz"), s=["a.gz", "b"])
        ['a', 'b']
        """
        return self._expr._call("str.strip_suffix", suffix=suffix)

    def pad_start(self, length: int, fill_char: str = " ") -> Expr:
        """At least so many characters long, filled in front.

        >>> evaluate(col("s").str.pad_start(4, "*"), s=["7", "12345"])
        ['***7', '12345']
        """
        return self._expr._call("str.pad_start", length=length, fill=_one(fill_char))

    def pad_end(self, length: int, fill_char: str = " ") -> Expr:
        """At least so many characters long, filled at the end.

        >>> evaluate(col("s").str.pad_end(3, "."), s=["a"])
        ['a..']
        """
        return self._expr._call("str.pad_end", length=length, fill=_one(fill_char))

    def zfill(self, length: int) -> Expr:
        """At least so many characters long, filled with zeros behind the sign.

        >>> evaluate(col("s").str.zfill(4), s=["7", "-7"])
        ['0007', '-007']
        """
        return self._expr._call("str.zfill", length=length)

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

    def contains_any(self, patterns: Iterable[str]) -> Expr:
        """Is any of these plain texts in it?

        >>> evaluate(col("s").str.contains_any(["a.c", "x"]), s=["abc", "a.c", "fox"])
        [False, True, True]
        """
        return self.contains("|".join(map(re.escape, _patterns(patterns, "contains_any"))))

    def find(self, pattern: str, *, literal: bool = False) -> Expr:
        """How many characters stand before the first match; null where nothing matches. `literal`: of this text.

        Unlike polars, which counts bytes.

        >>> evaluate(col("s").str.find("[0-9]"), s=["né7", "none"])
        [2, None]
        """
        return self._expr._call("str.find", pattern=pattern, literal=literal)

    def count_matches(self, pattern: str, *, literal: bool = False) -> Expr:
        """How often the regular expression matches, without overlaps; `literal`: how often this text is in it.

        >>> evaluate(col("s").str.count_matches("[aeiou]"), s=["banana", "xyz"])
        [3, 0]
        """
        return self._expr._call("str.count_matches", pattern=pattern, literal=literal)

    def extract(self, pattern: str, group: int = 1) -> Expr:
        """A group of the first match, 0 for the whole match; null where nothing matches.

        A group that took no part in the match is an empty text.

        >>> evaluate(col("url").str.extract(r"channel_id=([0-9]+)"), url=["/a?channel_id=42&b", "/"])
        ['42', None]
        """
        return self._expr._call("str.extract", pattern=pattern, group=group)

    def extract_all(self, pattern: str) -> Expr:
        """All matches, as a list.

        >>> evaluate(col("s").str.extract_all("#[a-z]+"), s=["#fun in the #sun", "none"])
        [['#fun', '#sun'], []]
        """
        return self._expr._call("str.extract_all", pattern=pattern)

    def extract_groups(self, pattern: str) -> Expr:
        """All groups of the first match as a record, by their names or numbers; null where nothing matches.

        >>> evaluate(col("s").str.extract_groups(r"(?P<user>\\w+)@(\\w+)"), s=["ada@home", "-"])
        [{'user': 'ada', '2': 'home'}, None]
        """
        return self._expr._call("str.extract_groups", pattern=pattern)

    def replace(self, pattern: str, value: str, *, literal: bool = False) -> Expr:
        r"""The first match of the regular expression replaced; `literal`: the pattern is plain text.

        In the value `\1` stands for the first group, `\0` for the whole match.

        >>> evaluate(col("s").str.replace(r"(\w+) (\w+)", r"\2, \1"), s=["Ada Lovelace"])
        ['Lovelace, Ada']
        """
        return self._expr._call("str.replace", pattern=pattern, value=value, literal=literal)

    def replace_all(self, pattern: str, value: str, *, literal: bool = False) -> Expr:
        """Every match of the regular expression replaced, as `replace` does it.

        >>> evaluate(col("s").str.replace_all("[0-9]", "#"), s=["a1b22"])
        ['a#b##']
        """
        return self._expr._call("str.replace_all", pattern=pattern, value=value, literal=literal)

    def replace_many(self, mapping: Mapping[str, str]) -> Expr:
        """Each of these plain texts replaced by its value, all at once: what has been put in is not looked at again.

        Of two that match at one place the one that stands first in the dict counts.

        >>> evaluate(col("s").str.replace_many({"a": "b", "b": "a"}), s=["abba", "c"])
        ['baab', 'c']
        """
        if not isinstance(mapping, Mapping):
            raise wrong("replace_many takes a dict", remedy="write .str.replace_many({'old': 'new'})")
        old = _patterns(mapping, "replace_many")
        return self._expr._call("str.replace_many", *old, *mapping.values())

    def normalize(self, form: Literal["NFC", "NFD", "NFKC", "NFKD"] = "NFC") -> Expr:
        """In a normal form of Unicode, so that equal texts have equal characters.

        >>> evaluate(col("s").str.normalize().str.len_chars(), s=["e\u0301"])
        [1]
        """
        if form not in ("NFC", "NFD", "NFKC", "NFKD"):
            raise wrong(f"{form!r} is no normal form", remedy="write 'NFC', 'NFD', 'NFKC' or 'NFKD'")
        return self._expr._call("str.normalize", form=form)

    def head(self, n: int) -> Expr:
        """The first `n` characters.

        >>> evaluate(col("s").str.head(2), s=["abc", "a"])
        ['ab', 'a']
        """
        return self.slice(0, _positive(n))

    def tail(self, n: int) -> Expr:
        """The last `n` characters.

        >>> evaluate(col("s").str.tail(2), s=["abc", "a"])
        ['bc', 'a']
        """
        return self.slice(-_positive(n), n)

    def slice(self, offset: int, length: int | None = None) -> Expr:
        """So many characters from `offset` on, which counts from the end when it is negative."""
        return self._expr._call("str.slice", offset=offset, length=length)

    def split(self, by: str, *, regex: bool = False) -> Expr:
        """A list of the parts between `by`; `regex`: between the matches of this regular expression.

        >>> evaluate(col("line").str.split(" +", regex=True), line=["to be  or"])
        [['to', 'be', 'or']]
        """
        return self._expr._call("str.split", by=by, regex=regex)

    def to_integer(self, *, base: int = 10, strict: bool = True) -> Expr:
        """As an integer, written in a base of 2 to 36. What is none is an error, with `strict=False` null.

        >>> evaluate(col("s").str.to_integer(base=16), s=["ff", "10"])
        [255, 16]
        """
        if not 2 <= base <= 36:
            raise wrong(f"to_integer(base={base!r}): a base is between 2 and 36")
        return self._expr._call("str.to_integer", base=base, strict=strict)

    def json_path_match(self, path: str) -> Expr:
        """What stands at a path of a JSON document: a text as it is, anything else as JSON; null where there is none.

        A path is `$` and steps into it: `.name`, `["any name"]`, `[0]`. A text that is not JSON gives null, as does a
        JSON null. Documents are read once per distinct text of a batch, some 300,000 small ones a second.

        >>> evaluate(col("doc").str.json_path_match("$.user.tags[0]"), doc=['{"user": {"tags": ["new", 1]}}', "{}"])
        ['new', None]
        """
        return self._expr._call("str.json_path_match", path=path)

    def to_date(self, format: str | None = None) -> Expr:  # noqa: A002
        """As a date, read as `to_datetime` does.

        >>> evaluate(col("day").str.to_date("%d.%m.%Y"), day=["1.5.2024"])
        [datetime.date(2024, 5, 1)]
        """
        return self.to_datetime(format).dt.date()

    def to_datetime(self, format: str | None = None) -> Expr:  # noqa: A002
        """As a time, UTC unless the text says otherwise. Without a format: ISO 8601. `%S.%f` reads one to six digits.

        >>> [time] = evaluate(col("t").str.to_datetime("%d.%m.%Y %H:%M:%S.%f"), t=["1.5.2024 12:30:00.25"])
        >>> time.isoformat()
        '2024-05-01T12:30:00.250000+00:00'
        """
        return self._expr._call("str.to_datetime", format=format)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> NoReturn:
            raise no_such_method(".str", Text, name, TEXT)


def _patterns(given: Iterable[str], function: str) -> list[str]:
    texts = [] if isinstance(given, str) else list(given)
    if not texts or not all(texts):
        raise wrong(
            f"{function} takes texts that are not empty", remedy=f"write .str.{function} with some, as in ['a', 'b']"
        )
    return texts


def _one(character: str) -> str:
    if len(character) != 1:
        raise wrong(f"{character!r} is not one character to fill with")
    return character


def _positive(n: int) -> int:
    if n < 0:
        raise wrong(f"{n} is no number of characters", remedy="write .str.slice(offset, length)")
    return n
