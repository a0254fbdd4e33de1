"""Where records end when a newline may be within quotes (RFC 4180).

A quote opens a quoted value where a value begins: behind a delimiter, at the start of a record. Anywhere else outside
of quotes it is a character like others, as in `5" pipe`. Within quotes two of them are one character, and a single one
closes the value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

_NEWLINE, _RETURN = b"\n\r"
_WORD = 64


@dataclass(frozen=True, slots=True)
class Quoting:
    """The two characters, in ASCII, that say which newlines belong to a value. What is looked at starts with a record.

    >>> Quoting('"', ",").record_ends(b'5",b\\n6,"7\\n8"\\n').tolist()
    [4, 12]
    """

    quote: str
    delimiter: str

    def record_ends(self, content: bytes) -> npt.NDArray[np.int64]:
        """The index of the newline of each record that is complete."""
        return np.flatnonzero(np.unpackbits(self._ends(content), bitorder="little"))

    def last_end(self, content: bytes) -> int:
        """The number of leading bytes that are complete records."""
        up_to_last = self._ends(content).tobytes().rstrip(b"\0")
        return len(up_to_last) * 8 - 8 + up_to_last[-1].bit_length() if up_to_last else 0

    def open_at(self, content: bytes) -> int | None:
        """Where a quote opens a value that nothing closes."""
        last = None
        for last in self._values(content):  # noqa: B007 - the last one counts
            pass
        return None if last is None or last[1] else last.start()

    def _ends(self, content: bytes) -> npt.NDArray[np.uint8]:
        """A bit for each byte, whether it is a newline outside of quotes."""
        array = np.frombuffer(content, np.uint8)
        newlines, quotes = _bits(array == _NEWLINE), _bits(array == ord(self.quote))
        begins = newlines | quotes | _bits(array == ord(self.delimiter)) | _bits(array == _RETURN)
        within = _odd(quotes)
        # Every second quote opens a value, or follows on another within one, unless some quotes are but characters.
        if not np.any(quotes & within & ~_next(begins)):
            return (newlines & ~within).view(np.uint8)
        outside = array == _NEWLINE
        for value in self._values(content):
            outside[value.start() : value.end()] = False
        return _bits(outside).view(np.uint8)

    def _values(self, content: bytes) -> Iterator[re.Match[bytes]]:
        """The quoted values one by one; their group 1 is empty where nothing closes them."""
        quote, delimiter = re.escape(self.quote.encode()), re.escape(self.delimiter.encode())
        value = re.compile(rb"(?<![^\n\r%b])%b(?:[^%b]++|%b%b)*+(%b?)" % (delimiter, *[quote] * 5))
        return value.finditer(content)


def _bits(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint64]:
    """A bit for each of these, from the lowest on, in whole words."""
    packed = np.zeros(-(-len(mask) // _WORD) * (_WORD // 8), np.uint8)
    bits = np.packbits(mask, bitorder="little")
    packed[: len(bits)] = bits
    return packed.view("<u8")


def _next(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Each bit one further on; the first is set."""
    shifted = bits << np.uint64(1)
    shifted[:1] |= np.uint64(1)
    shifted[1:] |= bits[:-1] >> np.uint64(_WORD - 1)
    return shifted


def _odd(bits: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Whether the number of bits up to and with each is odd.

    >>> [bin(word) for word in _odd(np.array([0b10010, 0, 0b1000], np.uint64))]
    ['0b1110', '0b0', '0b1111111111111111111111111111111111111111111111111111111111111000']
    """
    odd = bits.copy()
    for shift in (1, 2, 4, 8, 16, 32):
        odd ^= odd << np.uint64(shift)
    before = np.logical_xor.accumulate(odd >> np.uint64(_WORD - 1))[:-1]
    odd[1:] ^= np.where(before, np.uint64(2**_WORD - 1), np.uint64(0))
    return odd
