"""Installing and starting a server: what all of them share."""

from __future__ import annotations

import os
import socket
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from streamflow.engine.clock import SystemClock

CLOCK = SystemClock()
HOME = Path(os.environ.get("STREAMFLOW_SERVICES", "~/.cache/streamflow/services")).expanduser()
"""What was installed stays there, for all checkouts."""


def missing(what: str) -> None:
    """Skip the test, or fail it where services are required."""
    reason = f"{what} is not installed: run make services"
    if os.environ.get("STREAMFLOW_REQUIRE_SERVICES") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(
    command: Sequence[str], *, ready: str, env: Mapping[str, str], log: Path, within: float = 30
) -> Iterator[None]:
    """A server while it is entered, from when the address `ready` answers. Killed at the end, with its children."""
    with log.open("wb") as out:
        server = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env={**os.environ, **env}, start_new_session=True
        )
        try:
            _wait(server, ready, log, CLOCK.monotonic() + int(within * 1e6))
            yield
        finally:
            os.killpg(server.pid, 9)
            server.wait(10)


def _wait(server: subprocess.Popen[bytes], ready: str, log: Path, deadline: int) -> None:
    while True:
        try:
            with urllib.request.urlopen(ready, timeout=1):
                return
        except (urllib.error.URLError, OSError) as error:
            if server.poll() is not None or CLOCK.monotonic() > deadline:
                raise AssertionError(f"{server.args!r} does not answer: {error}\n{log.read_text()[-2000:]}") from error
            CLOCK.wait((), 0.05)
