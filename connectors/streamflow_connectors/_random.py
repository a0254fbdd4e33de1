"""Random values as functions of (row number, seed, what for): the same whatever else is generated, or how it is cut."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import numpy.typing as npt

Ints: TypeAlias = "npt.NDArray[np.int64]"
Words: TypeAlias = "npt.NDArray[np.uint64]"

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


def random_words(numbers: Ints, seed: int, what: str) -> Words:
    """64 random bits for each number: the output function of SplitMix64 (Steele, Lea, Flood 2014) over a counter.

    Numbers of shape (n,) give (n,) uint64; 8 passes over n words, about 200 M/s.

    >>> random_words(np.array([0, 1]), 1, "price").tolist() == random_words(np.array([1, 0]), 1, "price")[::-1].tolist()
    True
    """
    salt = _mixed((zlib.crc32(what.encode()) << 32) ^ _mixed(seed & _MASK))
    words = numbers.view(np.uint64) * np.uint64(_GOLDEN)
    words += np.uint64(salt)
    scratch = words >> np.uint64(30)
    words ^= scratch
    words *= np.uint64(0xBF58476D1CE4E5B9)
    np.right_shift(words, np.uint64(27), out=scratch)
    words ^= scratch
    words *= np.uint64(0x94D049BB133111EB)
    np.right_shift(words, np.uint64(31), out=scratch)
    words ^= scratch
    return words


def _mixed(word: int) -> int:
    word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & _MASK
    return word ^ (word >> 31)


def random_text(numbers: Ints, seed: int, what: str, shortest: int, longest: int) -> pa.Array:
    """For each number a string of `shortest` to `longest` small letters.

    >>> random_text(np.arange(2), 1, "word", 3, 5)[0].as_py().isalpha()
    True
    """
    count, parts = len(numbers), -(-longest // 8)
    letters = np.empty((count, parts * 8), np.uint8)
    for part in range(parts):
        letters[:, part * 8 : part * 8 + 8] = (
            random_words(numbers, seed, f"{what} {part}").view(np.uint8).reshape(-1, 8)
        )
    letters = ((letters.astype(np.uint16) * 26) >> 8).astype(np.uint8) + np.uint8(ord("a"))
    spread = random_words(numbers, seed, f"{what} length") >> np.uint64(32)
    lengths = shortest + ((spread * np.uint64(longest - shortest + 1)) >> np.uint64(32)).astype(np.int32)
    offsets = np.zeros(count + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    used = letters[np.arange(parts * 8) < lengths[:, None]]
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(used))


def random_digits(numbers: Ints, seed: int, what: str) -> pa.Array:
    """For each number a string of four digits."""
    words = random_words(numbers, seed, what) >> np.uint64(32)
    values = ((words * np.uint64(10_000)) >> np.uint64(32)).astype(np.int32)
    digits = values[:, None] // np.array([1000, 100, 10, 1], np.int32) % 10 + ord("0")
    offsets = np.arange(len(numbers) + 1, dtype=np.int32) * 4
    return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(digits.astype(np.uint8)))


def join_text(*parts: pa.Array | str) -> pa.Array:
    """The parts of each row one after the other; a str is the same in every row."""
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(*parts, "")
