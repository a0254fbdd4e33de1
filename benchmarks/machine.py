"""One core for everybody, and what the figures were measured on.

Thread pools read their size when they are loaded: `one_core` comes before pyarrow, numpy and DuckDB are imported.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[1]
_POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def one_core() -> None:
    """Pin this process and its children to one processor, and every thread pool to one thread."""
    os.environ.update(dict.fromkeys(_POOLS, "1"))
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import pyarrow as pa

    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def facts() -> dict[str, str]:
    """Versions, processor, revision and time: what a figure means nothing without."""
    versions = {name: importlib.metadata.version(name) for name in ("pyarrow", "numpy", "duckdb")}
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(),
        "cpu": _cpu_model(),
        "python": platform.python_version(),
        **versions,
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return f"{found.get('model name', platform.machine())}, family {found.get('cpu family')} model {found.get('model')}"


def _revision() -> str:
    try:
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
