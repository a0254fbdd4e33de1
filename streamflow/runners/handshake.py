"""How two processes of a job make sure of each other before anything else is said: sans-IO, of bounded length.

Both know the job's secret, and neither sends it: each proves it over numbers that both have drawn (HMAC-SHA256), the
connecting side together with its name. What follows on the connection is believed.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Generator

from streamflow.errors import StreamflowError

VERSION = 1
NONCE = 16
"""Bytes of a number that a side draws."""

_MAGIC = b"streamflow"
_HELLO = len(_MAGIC) + 1 + NONCE
_PROOF = hashlib.sha256().digest_size
_NAME = struct.Struct(">H")
_LONGEST = 1024


class Refused(StreamflowError):
    """Who is at the other end is not of this job, or of another version of streamflow."""


class Handshake:
    """One side of it. `name`: what the connecting side calls itself; the accepting one has none and learns it.

    While `wanted` is not 0, send what `say` gives and hand exactly so many bytes from the peer to `hear`; at the end
    send what `say` still gives.

    >>> there, here = Handshake(b"key", b"1" * 16), Handshake(b"key", b"0" * 16, b"worker 1")
    >>> there.hear(here.say())
    >>> answer = there.say()
    >>> here.hear(answer[: here.wanted])
    >>> here.hear(answer[-here.wanted :])
    >>> said = here.say()
    >>> there.hear(said[: there.wanted])
    >>> there.hear(said[-there.wanted :])
    >>> there.name, here.wanted, there.wanted
    (b'worker 1', 0, 0)
    """

    def __init__(self, secret: bytes, nonce: bytes, name: bytes | None = None) -> None:
        if len(nonce) != NONCE or (name is not None and len(name) > _LONGEST):
            raise ValueError("a nonce or name of the wrong length")
        self._secret = secret
        self._mine = _MAGIC + bytes([VERSION]) + nonce
        self.name = name
        self._outgoing = b""
        self._steps = self._accept() if name is None else self._connect(name)
        self.wanted = next(self._steps)

    def say(self) -> bytes:
        """What is to be sent now."""
        said, self._outgoing = self._outgoing, b""
        return said

    def hear(self, data: bytes) -> None:
        """Take in `wanted` bytes. Refused: close the connection."""
        assert len(data) == self.wanted
        try:
            self.wanted = self._steps.send(data)
        except StopIteration:
            self.wanted = 0

    def _connect(self, name: bytes) -> Generator[int, bytes, None]:
        self._outgoing = self._mine
        theirs = _checked((yield _HELLO))
        proof = yield _PROOF
        self._check(proof, b"accepts", self._mine + theirs)
        self._outgoing = _NAME.pack(len(name)) + self._proof(b"connects", self._mine + theirs + name) + name

    def _accept(self) -> Generator[int, bytes, None]:
        theirs = _checked((yield _HELLO))
        self._outgoing = self._mine + self._proof(b"accepts", theirs + self._mine)
        head = yield _NAME.size + _PROOF
        (length,) = _NAME.unpack_from(head)
        if not 0 < length <= _LONGEST:
            raise Refused(f"a name of {length} bytes")
        name = yield length
        self._check(head[_NAME.size :], b"connects", theirs + self._mine + name)
        self.name = name

    def _proof(self, role: bytes, said: bytes) -> bytes:
        return hmac.digest(self._secret, role + said, "sha256")

    def _check(self, proof: bytes, role: bytes, said: bytes) -> None:
        if not hmac.compare_digest(proof, self._proof(role, said)):
            raise Refused("it does not know the job's secret")


def _checked(hello: bytes) -> bytes:
    if not hello.startswith(_MAGIC):
        raise Refused("it does not speak as a process of streamflow")
    if hello[len(_MAGIC)] != VERSION:
        raise Refused(
            f"it speaks version {hello[len(_MAGIC)]} of the handshake, this streamflow version {VERSION}",
            remedy="use one version of streamflow for all processes of a job",
        )
    return hello
