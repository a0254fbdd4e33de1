"""Connections between the processes of one job: Unix sockets in a folder of its own, or TCP with or without TLS.

Whoever connects proves that it knows the job's secret before a byte of what it sends is looked at, and so does the
other side (`handshake`); who is slow at that, or is somebody else, is dropped and holds nobody up.
"""

from __future__ import annotations

import secrets
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeAlias

from streamflow.engine.clock import SystemClock
from streamflow.errors import Fatal, Retryable, StreamflowError, UserError
from streamflow.runners.handshake import NONCE, Handshake, Refused

PATIENCE = 5.0
"""Seconds in which a handshake must be over."""
LARGEST = 64 * 1024 * 1024
"""The most bytes of a control message."""

_CHUNK = 256 * 1024
_PIECES = 64
_PENDING = 64
"""Handshakes that may be under way at one listener."""
_LENGTH = struct.Struct(">I")

Bytes: TypeAlias = "bytes | bytearray | memoryview"


class Lost(StreamflowError):
    """The connection is closed, or what came on it is nothing that a process of the job sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tcp:
    """That a job's processes are to connect by TCP, and not by Unix sockets.

    `host`: the address that they listen on. With `cert`, `key` and `ca`, PEM files, everything is encrypted (TLS 1.3),
    and both sides of a connection show the certificate `cert`, which must be signed by `ca`.

    >>> Tcp(cert="job.pem")
    Traceback (most recent call last):
    ...
    streamflow.errors.UserError: Tcp(cert=, key=, ca=) go together: the certificate, its key and who signs it
    """

    host: str = "127.0.0.1"
    cert: str | None = None
    key: str | None = None
    ca: str | None = None

    def __post_init__(self) -> None:
        if len({part is None for part in (self.cert, self.key, self.ca)}) > 1:
            raise UserError("Tcp(cert=, key=, ca=) go together: the certificate, its key and who signs it")

    def to_json(self) -> dict[str, str | None]:
        return {"host": self.host, "cert": self.cert, "key": self.key, "ca": self.ca}

    def context(self, *, server: bool) -> ssl.SSLContext | None:
        """Fatal: a file cannot be read, or is none of that kind."""
        if self.cert is None or self.key is None or self.ca is None:
            return None
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        made.minimum_version = ssl.TLSVersion.TLSv1_3
        made.check_hostname = False  # who is meant is known by the job's secret, and all have one certificate
        made.verify_mode = ssl.CERT_REQUIRED
        try:
            made.load_cert_chain(self.cert, self.key)
            made.load_verify_locations(self.ca)
        except OSError as error:
            raise Fatal(f"TLS with {self.cert}, {self.key} and {self.ca}: {error}") from error
        return made


class Connection:
    """A connection after its handshake: neither method waits.

    `name`: what the side that connected calls itself.
    """

    def __init__(self, sock: socket.socket, name: bytes) -> None:
        sock.setblocking(False)
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.name = name
        self._socket = sock
        self._plain = not isinstance(sock, ssl.SSLSocket)
        self._rest: list[memoryview] = []

    def fileno(self) -> int:
        return self._socket.fileno()

    @property
    def unsent(self) -> bool:
        """`send` could not write all: it is to be called again when the connection can be written."""
        return bool(self._rest)

    def receive(self) -> bytes:
        """Some of what has come; nothing when all is read, which is to be waited for then. Lost: no more will come."""
        try:
            data = self._socket.recv(_CHUNK)
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        except OSError as error:
            raise Lost(f"the connection is lost: {error}") from error
        if not data:
            raise Lost("the connection was closed at the other end")
        return data

    def send(self, pieces: Iterator[Bytes]) -> None:
        """Write what it can: the rest of before, then `pieces`, of which it takes no more than can be written soon."""
        try:
            while self._rest or self._take(pieces):
                if self._plain:
                    self._written(self._socket.sendmsg(self._rest))
                else:
                    self._written(self._socket.send(self._rest[0]))
        except (BlockingIOError, InterruptedError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            raise Lost(f"the connection is lost: {error}") from error

    def close(self) -> None:
        self._socket.close()

    def _take(self, pieces: Iterator[Bytes]) -> bool:
        self._rest = [memoryview(piece) for piece in islice(pieces, _PIECES)]
        return bool(self._rest)

    def _written(self, size: int) -> None:
        done = 0
        while done < len(self._rest) and size >= len(self._rest[done]):
            size -= len(self._rest[done])
            done += 1
        del self._rest[:done]
        if size:
            self._rest[0] = self._rest[0][size:]


class Frames:
    """Messages on a control connection, each behind its length.

    >>> frames = Frames()
    >>> data = frame(b"one") + frame(b"two")
    >>> frames.feed(data[:5]), frames.feed(data[5:])
    ([], [b'one', b'two'])
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: Bytes) -> list[bytes]:
        """Take in what was read, cut anywhere; the messages that are whole. Lost: it is none of ours."""
        self._buffer += data
        found = []
        at = 0
        while len(self._buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, at)
            if length > LARGEST:
                raise Lost(f"a message of {length} bytes")
            end = at + _LENGTH.size + length
            if len(self._buffer) < end:
                break
            found.append(bytes(self._buffer[at + _LENGTH.size : end]))
            at = end
        del self._buffer[:at]
        return found


def frame(message: bytes) -> bytes:
    """A message as it stands on a control connection."""
    if len(message) > LARGEST:
        raise Fatal(f"a control message of {len(message)} bytes is larger than {LARGEST} allow")
    return _LENGTH.pack(len(message)) + message


class Listener:
    """Waits for connections, in threads of its own, and hands over those that are of the job.

    `arrived` is called in one of these threads. `address`: what `connect` takes. `folder`: where its Unix socket is
    made, under `name`; `tcp`: it listens there instead.
    """

    def __init__(
        self, secret: bytes, arrived: Callable[[Connection], None], *, folder: Path, name: str, tcp: Tcp | None = None
    ) -> None:
        self._secret = secret
        self._arrived = arrived
        self._context = None if tcp is None else tcp.context(server=True)
        self._slots = threading.Semaphore(_PENDING)
        self._closed = threading.Event()
        if tcp is None:
            self._socket, self.address = _unix(folder / name)
        else:
            self._socket, self.address = _tcp(tcp.host)
        self._socket.listen(_PENDING)
        self._socket.settimeout(0.2)
        threading.Thread(target=self._run, name="streamflow-listener", daemon=True).start()

    def close(self) -> None:
        """No connection is handed over any more."""
        self._closed.set()

    def _run(self) -> None:
        with self._socket:
            while not self._closed.is_set():
                try:
                    accepted, _ = self._socket.accept()
                except TimeoutError:
                    continue
                except OSError:
                    self._closed.wait(0.2)  # the peer has gone, or there are too many files open: others may come
                    continue
                if not self._slots.acquire(blocking=False):
                    accepted.close()
                    continue
                threading.Thread(target=self._welcome, args=(accepted,), daemon=True).start()

    def _welcome(self, accepted: socket.socket) -> None:
        try:
            connection = _shaken(accepted, Handshake(self._secret, _nonce()), self._context)
        except (OSError, Refused):
            return
        finally:
            self._slots.release()
        if self._closed.is_set():
            connection.close()
        else:
            self._arrived(connection)


def _unix(path: Path) -> tuple[socket.socket, str]:
    made = socket.socket(socket.AF_UNIX)
    try:
        made.bind(str(path))
    except OSError as error:
        made.close()
        raise Fatal(f"no socket can be made at {path}: {error}") from error
    return made, f"unix:{path}"


def _tcp(host: str) -> tuple[socket.socket, str]:
    try:
        made = socket.create_server((host, 0), family=_family(host))
    except OSError as error:
        raise Fatal(f"nobody can listen on {host}: {error}") from error
    return made, f"tcp:{host}:{made.getsockname()[1]}"


def connect(address: str, secret: bytes, name: bytes, tcp: Tcp | None = None) -> Connection:
    """Connect to a `Listener`, as `name`. Retryable: nobody answers there. Refused: somebody else does."""
    kind, _, place = address.partition(":")
    context = None
    if kind == "tcp":
        host, _, port = place.rpartition(":")
        made = socket.socket(_family(host))
        target: str | tuple[str, int] = (host, int(port))
        context = None if tcp is None else tcp.context(server=False)
    else:
        made, target = socket.socket(socket.AF_UNIX), place
    try:
        made.settimeout(PATIENCE)
        made.connect(target)
    except OSError as error:
        made.close()
        raise Retryable(f"{address} does not answer: {error}") from error
    try:
        return _shaken(made, Handshake(secret, _nonce(), name), context)
    except OSError as error:
        raise Retryable(f"{address} answers and goes: {error}") from error


def _shaken(sock: socket.socket, handshake: Handshake, context: ssl.SSLContext | None) -> Connection:
    """The connection, once both sides are sure of each other. OSError or Refused: it is closed."""
    try:
        if context is not None:
            sock.settimeout(PATIENCE)
            sock = context.wrap_socket(sock, server_side=handshake.name is None, do_handshake_on_connect=False)
            sock.do_handshake()
        _shake(sock, handshake)
    except BaseException:
        sock.close()
        raise
    assert handshake.name is not None
    return Connection(sock, handshake.name)


def _shake(sock: socket.socket, handshake: Handshake) -> None:
    clock = SystemClock()
    until = clock.monotonic() + int(PATIENCE * 1e6)

    def patience() -> float:
        left = (until - clock.monotonic()) / 1e6
        if left <= 0:
            raise TimeoutError("the handshake takes too long")
        return left

    while handshake.wanted:
        sock.settimeout(patience())
        sock.sendall(handshake.say())
        heard = b""
        while len(heard) < handshake.wanted:
            sock.settimeout(patience())
            part = sock.recv(handshake.wanted - len(heard))
            if not part:
                raise ConnectionResetError("it closed the connection in the handshake")
            heard += part
        handshake.hear(heard)
    sock.settimeout(patience())
    sock.sendall(handshake.say())


def new_secret() -> bytes:
    """What a job's processes know each other by."""
    return secrets.token_bytes(32)


def _nonce() -> bytes:
    return secrets.token_bytes(NONCE)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
