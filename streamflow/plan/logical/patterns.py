"""Regular expressions (RE2's syntax) whose groups all have names, as Arrow wants them."""

from __future__ import annotations

import re

_TOKEN = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*\]|\(\?P?<(\w+)>|\((?!\?)", re.DOTALL)


def named_groups(pattern: str) -> tuple[str, tuple[str, ...]]:
    """The pattern with all its groups named g1, g2, ... and what users call them: by their name or number.

    >>> named_groups(r"(\\d+)-(?P<to>[(]\\d+)(?:x)")
    ('(?P<g1>\\\\d+)-(?P<g2>[(]\\\\d+)(?:x)', ('1', 'to'))
    """
    names: list[str] = []

    def named(token: re.Match[str]) -> str:
        if token[0] != "(" and token[1] is None:
            return token[0]
        names.append(token[1] or str(len(names) + 1))
        return f"(?P<g{len(names)}>"

    return _TOKEN.sub(named, pattern), tuple(names)
