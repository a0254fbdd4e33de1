"""Durations and sizes as people write them: `"1h30m"`, `"128MB"`."""

from __future__ import annotations

import re
from datetime import timedelta

from streamflow.errors import UserError

_MICROSECONDS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_BYTES = {
    "b": 1,
    "kb": 1_000,
    "mb": 1_000_000,
    "gb": 1_000_000_000,
    "tb": 1_000_000_000_000,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_PART = re.compile(r"(\d+)\s*([a-z]+)\s*")
_SIZE = re.compile(r"(\d+)\s*([a-z]*)")
_LIMIT = 2**63


def parse_duration(duration: str | timedelta | int) -> int:
    """A duration in microseconds: a text of numbers and units, a timedelta, or an int, which is microseconds already.

    Units are us, ms, s, m, h, d, w; several may follow each other, each once; a leading minus makes it negative.

    >>> parse_duration("10s"), parse_duration("1h30m"), parse_duration("-5s"), parse_duration(timedelta(days=1))
    (10000000, 5400000000, -5000000, 86400000000)
    >>> parse_duration("10 minutes")
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: duration '10 minutes' has the unknown unit 'minutes'
      remedy: write numbers with the units us, ms, s, m, h, d, w, as in "90s" or "1h30m"
    """
    match duration:
        case bool():
            raise _bad_duration(duration, "is not a duration")
        case int():
            total = duration
        case timedelta():
            total = (duration.days * 86_400 + duration.seconds) * 1_000_000 + duration.microseconds
        case str():
            total = _duration_of_text(duration)
        case _:
            raise _bad_duration(duration, "is not a duration")
    if not -_LIMIT < total < _LIMIT:
        raise _bad_duration(duration, "is out of range")
    return total


def _duration_of_text(text: str) -> int:
    body = text.strip()
    sign = -1 if body.startswith("-") else 1
    body = body.removeprefix("-")
    total, end, seen = 0, 0, set[str]()
    while end < len(body):
        part = _PART.match(body, end)
        if part is None:
            raise _bad_duration(text, "is not a number followed by a unit")
        number, unit = part.groups()
        if unit not in _MICROSECONDS:
            raise _bad_duration(text, f"has the unknown unit {unit!r}")
        if unit in seen:
            raise _bad_duration(text, f"has the unit {unit!r} twice")
        seen.add(unit)
        total += int(number) * _MICROSECONDS[unit]
        end = part.end()
    if not seen:
        raise _bad_duration(text, "is empty")
    return sign * total


def _bad_duration(duration: object, problem: str) -> UserError:
    remedy = 'write numbers with the units us, ms, s, m, h, d, w, as in "90s" or "1h30m"'
    return UserError(f"duration {duration!r} {problem}", remedy=remedy)


def parse_size(size: str | int) -> int:
    """A size in bytes: a text of a number and a unit, or an int, which is bytes already.

    >>> parse_size("128MB"), parse_size("1 GiB"), parse_size(4096)
    (128000000, 1073741824, 4096)
    >>> parse_size("lots")
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: size 'lots' is not a number of bytes
      remedy: write a number with a unit, as in "128MB" or "64KiB"
    """
    if isinstance(size, str):
        parsed = _SIZE.fullmatch(size.strip().lower())
        number, unit = parsed.groups() if parsed else ("", "?")
        if (unit or "b") in _BYTES:
            return int(number) * _BYTES[unit or "b"]
    elif type(size) is int and size >= 0:
        return size
    remedy = 'write a number with a unit, as in "128MB" or "64KiB"'
    raise UserError(f"size {size!r} is not a number of bytes", remedy=remedy)
