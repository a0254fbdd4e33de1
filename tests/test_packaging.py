"""What users install: the wheel, in an environment of its own."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USE = """
import importlib.metadata, pathlib, sys
import streamflow as sf
from streamflow_connectors import memory

assert pathlib.Path(sf.__file__).is_relative_to(sys.prefix), sf.__file__
assert importlib.metadata.version("streamflow-py") == sf.__version__
entries = importlib.metadata.entry_points(group="streamflow.connectors")
assert "parquet" in entries.names
for entry in entries:
    entry.load()
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    [built] = folder.glob("*.whl")
    return built


@pytest.mark.integration
def test_the_wheel_holds_both_packages_their_types_and_the_licence(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info" not in name} == {"streamflow", "streamflow_connectors"}
    assert {"streamflow/py.typed", "streamflow_connectors/py.typed"} <= set(names)
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.integration
def test_the_installed_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path)], check=True)
    python = tmp_path / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "--quiet", "--no-deps", str(wheel)], check=True)
    # pyarrow and numpy are borrowed from the running environment, behind the new one's own packages.
    [packages] = tmp_path.glob("lib/python*/site-packages")
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    subprocess.run([str(python), "-c", USE], check=True, cwd=tmp_path)
    command = [str(tmp_path / "bin" / "streamflow"), "--help"]
    shown = subprocess.run(command, check=True, cwd=tmp_path, capture_output=True, text=True).stdout
    assert all(word in shown for word in ("run", "plan"))
