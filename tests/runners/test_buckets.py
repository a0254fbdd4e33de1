"""A job whose checkpoints and files are in a bucket of a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyarrow import fs

from tests.services.minio import KEY, MinIO

pytestmark = pytest.mark.integration

SCRIPT = """
import time
import streamflow as sf
from streamflow import col
from streamflow_connectors import datagen, parquet

def slowly(batch):
    time.sleep(0.01)
    return batch

def build(out: str) -> sf.Flow:
    flow = sf.Flow("numbers")
    rows = flow.read("numbers", datagen.Source({"n": datagen.sequence(), "k": datagen.uniform(0, 7)}, rows=ROWS))
    rows.map_batches(slowly, max_rows=200).write("rows", parquet.Sink(out))
    return flow
"""
ROWS = 60_000
"""How many rows the job has; it takes some seconds."""


def start(folder: Path, bucket: str, server: MinIO) -> subprocess.Popen[bytes]:
    script = folder / "numbers.py"
    script.write_text(SCRIPT.replace("ROWS", str(ROWS)))
    out = f"s3://{KEY}:{KEY}@{bucket}/out?scheme=http&endpoint_override={server.endpoint.removeprefix('http://')}"
    command = [sys.executable, "-m", "streamflow", "run", str(script), "--checkpoint", f"s3://{bucket}/checkpoints"]
    environment = {**os.environ, **server.environment}
    return subprocess.Popen([*command, "--every", "200ms", "--", "--out", out], env=environment, stderr=subprocess.PIPE)


def published(bucket: str, server: MinIO) -> pa.Table:
    store = fs.S3FileSystem(
        access_key=KEY, secret_key=KEY, scheme="http", endpoint_override=server.endpoint.removeprefix("http://")
    )
    return ds.dataset(f"{bucket}/out", filesystem=store, format="parquet").to_table()


def test_a_job_that_is_killed_goes_on_from_the_bucket_and_publishes_each_row_once(tmp_path: Path, minio: MinIO) -> None:
    bucket = uuid.uuid4().hex
    minio.make_bucket(bucket)
    for attempt in range(4):
        job = start(tmp_path, bucket, minio)
        time.sleep(1.5 + 0.3 * attempt)
        job.send_signal(signal.SIGKILL)
        job.communicate(timeout=30)
    job = start(tmp_path, bucket, minio)
    _, said = job.communicate(timeout=120)
    assert job.returncode == 0, said.decode()
    assert sorted(published(bucket, minio)["n"].to_pylist()) == list(range(ROWS))
