"""MinIO, a real server of S3's protocol, built from its Go module."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.process import HOME, free_port, missing, running

MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
BINARY = HOME / "minio"
KEY = "minioadmin"
"""Both its user and its password, on loopback and for a test's life."""


@dataclass(frozen=True, slots=True)
class MinIO:
    endpoint: str
    folder: Path

    @property
    def environment(self) -> Mapping[str, str]:
        """What clients of S3 take their access from."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": KEY,
            "AWS_REGION": "us-east-1",
        }

    def make_bucket(self, name: str) -> None:
        """A folder on its drive is a bucket."""
        (self.folder / name).mkdir()


def install() -> None:
    """Build it, if it is not there: some minutes, once."""
    if BINARY.exists() or shutil.which("go") is None:
        return
    HOME.mkdir(parents=True, exist_ok=True)
    print(f"building {MODULE} (once; some minutes)", flush=True)
    subprocess.run(["go", "install", MODULE], env={**os.environ, "GOBIN": str(HOME)}, check=True, timeout=1800)


@contextmanager
def started(folder: Path) -> Iterator[MinIO]:
    if not BINARY.exists():
        missing("MinIO")
    data = folder / "data"
    data.mkdir()
    port, console = free_port(), free_port()
    endpoint = f"http://127.0.0.1:{port}"
    command = [
        str(BINARY),
        "server",
        "--quiet",
        "--address",
        f"127.0.0.1:{port}",
        "--console-address",
        f"127.0.0.1:{console}",
        str(data),
    ]
    env = {"HOME": str(folder), "MINIO_ROOT_USER": KEY, "MINIO_ROOT_PASSWORD": KEY}
    with running(command, ready=f"{endpoint}/minio/health/ready", env=env, log=folder / "log"):
        yield MinIO(endpoint, data)
