"""Who connects is of the job or is dropped; what is sent arrives; nothing that comes hangs or ends a process."""

from __future__ import annotations

import contextlib
import queue
import random
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamflow.engine.clock import SystemClock
from streamflow.errors import Fatal, Retryable, UserError
from streamflow.runners import sockets
from streamflow.runners.handshake import NONCE, Handshake, Refused
from streamflow.runners.sockets import Connection, Frames, Listener, Lost, Tcp, connect, frame

SECRET = b"the secret of this job"
CLOCK = SystemClock()


class Arrivals:
    """A listener and what it has handed over."""

    def __init__(self, folder: Path, tcp: Tcp | None) -> None:
        self._found: queue.SimpleQueue[Connection] = queue.SimpleQueue()
        self.listener = Listener(SECRET, self._found.put, folder=folder, name="s", tcp=tcp)
        self.address = self.listener.address
        self.tcp = tcp

    def next(self) -> Connection:
        return self._found.get(timeout=10)

    def pair(self) -> tuple[Connection, Connection]:
        return connect(self.address, SECRET, b"w1", self.tcp), self.next()

    def raw(self) -> socket.socket:
        if self.tcp is None:
            made = socket.socket(socket.AF_UNIX)
            made.connect(self.address.removeprefix("unix:"))
        else:
            host, port = self.address.removeprefix("tcp:").split(":")
            made = socket.create_connection((host, int(port)))
        made.settimeout(10)
        return made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the job, who signed it, and one that somebody else has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates")
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("job", "other"):
        subprocess.run(
            f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            f"-keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}".split(),
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return folder


def with_tls(folder: Path, name: str = "job") -> Tcp:
    return Tcp(cert=f"{folder}/{name}.pem", key=f"{folder}/{name}.key", ca=f"{folder}/job.pem")


@pytest.fixture(params=["unix", "tcp", "tls"])
def arrivals(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Arrivals]:
    tcp = None
    if request.param == "tcp":
        tcp = Tcp()
    elif request.param == "tls":
        tcp = with_tls(request.getfixturevalue("certificates"))
    made = Arrivals(tmp_path, tcp)
    yield made
    made.listener.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Arrivals]:
    made = Arrivals(tmp_path, None)
    yield made
    made.listener.close()


def all_of(connection: Connection, size: int) -> bytes:
    found = bytearray()
    while len(found) < size:
        if not (data := connection.receive()):
            assert CLOCK.wait([connection.fileno()], 10)
        found += data
    return bytes(found)


def test_what_one_side_sends_the_other_receives_in_order_whatever_fits(arrivals: Arrivals) -> None:
    here, there = arrivals.pair()
    assert there.name == b"w1"
    pieces = [bytes([n % 251]) * (n * 911 % 70_000) for n in range(150)]
    wanted = b"".join(pieces)
    left = iter(pieces)
    found = bytearray()
    until = CLOCK.monotonic() + 20_000_000
    while len(found) < len(wanted) and CLOCK.monotonic() < until:
        here.send(left)
        found += there.receive()
    assert found == wanted
    assert not here.unsent
    there.send(iter([b"back"]))
    assert all_of(here, 4) == b"back"
    here.close()
    with pytest.raises(Lost, match="closed at the other end"):
        all_of(there, 1)
    there.close()


def test_a_sender_whose_receiver_does_not_read_does_not_wait(arrivals: Arrivals) -> None:
    here, there = arrivals.pair()
    taken = 0

    def endless() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield b"x" * 10_000

    for _ in range(5):
        here.send(endless())
    assert here.unsent
    assert taken < 10_000
    here.close()
    there.close()


def test_without_the_secret_nobody_comes_in_and_nobody_is_believed(arrivals: Arrivals) -> None:
    with pytest.raises(Refused, match="does not know the job's secret"):
        connect(arrivals.address, b"another secret", b"w1", arrivals.tcp)
    here, there = arrivals.pair()
    assert there.name == b"w1"  # and it is the first that came in
    here.close()
    there.close()


def test_a_peer_that_was_signed_by_another_is_refused(certificates: Path, tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, with_tls(certificates))
    for stranger in (with_tls(certificates, "other"), Tcp()):
        with pytest.raises((Retryable, Refused)):
            connect(arrivals.address, SECRET, b"w1", stranger)
    arrivals.listener.close()


def test_a_certificate_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("no certificate")
    with pytest.raises(Fatal, match="TLS with"):
        Arrivals(tmp_path, Tcp(cert=f"{tmp_path}/none", key=f"{tmp_path}/none", ca=f"{tmp_path}/none"))
    with pytest.raises(UserError, match="go together"):
        Tcp(ca="x")


@pytest.mark.parametrize("seed", range(30))
def test_garbage_is_dropped_and_the_next_one_comes_in(plain: Arrivals, seed: int) -> None:
    rng = random.Random(seed)
    whole = Handshake(SECRET, bytes(NONCE), b"w1").say()
    sent = [
        rng.randbytes(rng.randrange(200)),
        whole[: rng.randrange(len(whole))],
        whole + rng.randbytes(300),
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"streamflow" + bytes([2]) + bytes(NONCE),
    ][seed % 5]
    with plain.raw() as stranger:
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while stranger.recv(1000):
                pass
    here, there = plain.pair()
    here.close()
    there.close()


def test_one_who_says_nothing_or_little_is_dropped_and_holds_nobody_up(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "PATIENCE", 0.5)
    silent, slow = arrivals.raw(), arrivals.raw()
    slow.sendall(b"stream")
    here, there = arrivals.pair()
    for stranger in (silent, slow):
        with contextlib.suppress(ConnectionError):
            assert stranger.recv(100) == b""
        stranger.close()
    here.close()
    there.close()


def test_a_listener_that_says_nothing_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sockets, "PATIENCE", 0.3)
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(tmp_path / "mute"))
        mute.listen()
        with pytest.raises(Retryable, match="goes: "):
            connect(f"unix:{tmp_path}/mute", SECRET, b"w1")
    with pytest.raises(Retryable, match="does not answer"):
        connect(f"unix:{tmp_path}/mute", SECRET, b"w1")


def test_a_name_cannot_be_changed_on_its_way() -> None:
    def said_by(name: bytes) -> tuple[Handshake, Handshake, bytes]:
        here, there = Handshake(SECRET, b"1" * NONCE, name), Handshake(SECRET, b"2" * NONCE)
        there.hear(here.say())
        answer = there.say()
        here.hear(answer[: here.wanted])
        here.hear(answer[-here.wanted :])
        return here, there, here.say()

    _, there, said = said_by(b"worker 1")
    changed = said.replace(b"worker 1", b"worker 2")
    there.hear(changed[: there.wanted])
    with pytest.raises(Refused, match="secret"):
        there.hear(changed[-there.wanted :])
    assert there.name is None


def shaken(message: int, byte: int) -> bool:
    """Whether both sides are sure of each other although a byte of a message has changed; IndexError: it has none."""
    here, there = Handshake(SECRET, b"1" * NONCE, b"worker 1"), Handshake(SECRET, b"2" * NONCE)
    for number, (side, other) in enumerate(((here, there), (there, here), (here, there))):
        data = bytearray(side.say())
        if number == message:
            data[byte] ^= 4
        while data and other.wanted <= len(data):
            size = other.wanted
            other.hear(bytes(data[:size]))
            del data[:size]
    return there.name is not None and not here.wanted and not there.wanted


@pytest.mark.parametrize("message", range(3))
def test_a_byte_that_changes_in_a_handshake_is_a_refusal_or_a_wait(message: int) -> None:
    assert shaken(-1, 0)
    length = (27, 27 + 32, 2 + 32 + 8)[message]
    for byte in range(length):
        try:
            assert not shaken(message, byte)
        except Refused:
            continue
    with pytest.raises(IndexError):
        shaken(message, length)


def test_control_messages_come_whole_however_they_are_cut() -> None:
    messages = [b"", b"one", b"x" * 70_000, b"", b"two"]
    data = b"".join(map(frame, messages))
    for size in (1, 3, 7, 1000, len(data)):
        frames = Frames()
        found = [one for at in range(0, len(data), size) for one in frames.feed(data[at : at + size])]
        assert found == messages


def test_a_length_that_no_message_has_is_no_message() -> None:
    with pytest.raises(Lost, match="a message of 4294967295 bytes"):
        Frames().feed(b"\xff" * 4)


def test_a_socket_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 40)
    folder.mkdir()
    with pytest.raises(Fatal, match="no socket can be made"):
        Arrivals(folder, None)
    with pytest.raises(Fatal, match="nobody can listen on nowhere"):
        Arrivals(tmp_path, Tcp(host="nowhere.invalid"))
