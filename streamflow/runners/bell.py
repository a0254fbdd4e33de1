"""How a thread wakes one that waits for descriptors."""

from __future__ import annotations

import os
from contextlib import suppress


class Bell:
    """A descriptor that can be read once somebody has rung, until it is cleared.

    >>> bell = Bell()
    >>> bell.ring()
    >>> bell.clear()
    >>> bell.close()
    """

    def __init__(self) -> None:
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._reading, False)
        os.set_blocking(self._writing, False)

    def fileno(self) -> int:
        return self._reading

    def ring(self) -> None:
        """From any thread."""
        with suppress(BlockingIOError):  # it is full, and so has rung
            os.write(self._writing, b"1")

    def clear(self) -> None:
        """What has rung before is answered."""
        with suppress(BlockingIOError):
            while os.read(self._reading, 4096):
                pass

    def close(self) -> None:
        os.close(self._reading)
        os.close(self._writing)
