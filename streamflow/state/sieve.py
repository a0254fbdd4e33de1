"""A filter that knows which keys are surely not among many: a Bloom filter of one memory access a key.

A key sets three bits of one of its 16-bit words (a blocked filter: Putze, Sanders, Singler, "Cache-, Hash- and
Space-Efficient Bloom Filters", 2007). With a word for two keys, which is a byte a key, 4 % of the others pass. The word
follows from where the hash stands between the least and the greatest, so that both building and asking walk through
memory in the order of the hashes.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from streamflow.kernels.arrays import Int64s
from streamflow.kernels.hashing import Hashes

_KEYS_PER_WORD = 2
_BITS = (16, 20, 24)
"""Where in a hash the numbers of its bits stand: below what chooses the word of all but the largest filters."""


class Sieve:
    """Of sorted `hashes`, at least one.

    >>> sieve = Sieve(np.array([7, 1 << 40, 5 << 60], np.uint64))
    >>> sieve.passing(np.array([3, 1 << 40, 6 << 60], np.uint64)).tolist()
    [1]
    """

    def __init__(self, hashes: Hashes) -> None:
        self._first, self._last = hashes[0], hashes[-1]
        self._words: npt.NDArray[np.uint16] = np.zeros(len(hashes) // _KEYS_PER_WORD + 1, np.uint16)
        self._scale = (len(self._words) - 1) / max(1, int(self._last - self._first))
        words = self._word(hashes)
        starts = np.flatnonzero(np.diff(words, prepend=-1))
        self._words[words[starts]] = np.bitwise_or.reduceat(_bits(hashes), starts)

    def passing(self, hashes: Hashes) -> Int64s:
        """The places of those hashes, sorted, that may be among its own: of its own, all."""
        start, stop = np.searchsorted(hashes, self._first), np.searchsorted(hashes, self._last, side="right")
        inside = hashes[start:stop]
        bits = _bits(inside)
        found: Int64s = np.flatnonzero(self._words.take(self._word(inside)) & bits == bits) + start
        return found

    def _word(self, hashes: Hashes) -> Int64s:
        words: Int64s = ((hashes - self._first) * self._scale).astype(np.int64)
        return words


def _bits(hashes: Hashes) -> npt.NDArray[np.uint16]:
    one = np.uint64(1)
    low, middle, high = (one << (hashes >> np.uint64(bit) & np.uint64(15)) for bit in _BITS)
    bits: npt.NDArray[np.uint16] = (low | middle | high).astype(np.uint16)
    return bits
