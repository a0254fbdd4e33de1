"""Scripts that go wrong, run as a user runs them: the line marked `# <-` is the one that an error must name."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import pytest

import streamflow as sf
from streamflow.errors import StreamflowError

HEAD = """\
from dataclasses import dataclass
from pathlib import Path
import pyarrow as pa
import pyarrow.parquet as pq
import streamflow as sf
from streamflow import col
from streamflow_connectors import csv, jsonl, memory, parquet, text

ROWS = 40_000
NUMBERS = pa.table({"n": pa.array(range(ROWS)), "s": ["a"] * ROWS})

"""
TAIL = """

if __name__ == "__main__":
    sf.main(build)
"""


@dataclass(frozen=True)
class Failed:
    """How a script failed: exit code, what it printed, the error if it ran in this process, the marked line."""

    code: int
    printed: str
    line: int
    error: StreamflowError | None

    def names(self, *, step: str | None, line: bool = True) -> None:
        """Assert that the error says step, line of the script and remedy, also as it is printed."""
        lines = self.printed.splitlines()
        assert any(text.startswith("error: ") for text in lines), self.printed
        if step is not None:
            assert f"  step: {step}" in lines, self.printed
        if line:
            assert any(text.startswith("  at: ") and f"script.py:{self.line}:" in text for text in lines), self.printed
        assert any(text.startswith("  remedy: ") for text in lines), self.printed
        assert "Traceback" not in self.printed


class Scripts:
    """Runs the body of a script, whose `build` may use the folder `here` and writes below `here / "out"`."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.here = folder
        self._capsys = capsys

    def _write(self, body: str) -> tuple[Path, int]:
        text = HEAD + f"here = Path({str(self.here)!r})\n" + dedent(body) + TAIL
        path = self.here / "script.py"
        path.write_text(text, encoding="utf-8")
        marked = [number for number, line in enumerate(text.splitlines(), 1) if "# <-" in line]
        return path, marked[0] if marked else -1

    def fail(self, body: str) -> Failed:
        """Run it in this process, as `python script.py` would; it must fail."""
        path, line = self._write(body)
        spec = importlib.util.spec_from_file_location("script", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        with pytest.raises(SystemExit) as ended:
            sf.main(module.build, [])
        code = ended.value.code
        assert isinstance(code, int)
        assert code, "it must fail"
        return Failed(code, self._capsys.readouterr().err, line, None)

    def run(self, body: str) -> Failed:
        """Run it in a process of its own."""
        path, line = self._write(body)
        done = subprocess.run([sys.executable, str(path)], capture_output=True, text=True, timeout=60, check=False)
        return Failed(done.returncode, done.stderr, line, None)

    def published(self, folder: str = "out") -> list[str]:
        """Everything below the output folder, staged files too."""
        root = self.here / folder
        return sorted(str(path.relative_to(root)) for path in root.rglob("*")) if root.is_dir() else []


@pytest.fixture
def scripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Scripts:
    return Scripts(tmp_path, capsys)


@pytest.fixture
def fail(scripts: Scripts) -> Callable[[str], Failed]:
    """Run the body of a script in this process; it must fail."""
    return scripts.fail
