from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from streamflow.connect import UserError, connector, connectors


@pytest.fixture
def third_party(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution that announces four connectors, three of them badly."""
    (tmp_path / "acme_connectors.py").write_text("Source = 'a source'\nsomething = 5\n")
    (tmp_path / "acme_lacking.py").write_text("import acme_client_that_is_missing\n")
    info = tmp_path / "acme_streams-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-streams\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[streamflow.connectors]\nacme = acme_connectors\nlacking = acme_lacking\nvalue = acme_connectors:something\n"
    )
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("third_party")
def test_a_connector_is_found_by_its_entry_point() -> None:
    assert {"acme", "lacking", "value"} <= set(connectors())
    assert connector("acme").Source == "a source"


@pytest.mark.usefixtures("third_party")
def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(UserError, match=r"no connector is called 'nats'; there are .*acme.*lacking"):
        connector("nats")


@pytest.mark.usefixtures("third_party")
def test_a_missing_dependency_names_the_extra() -> None:
    with pytest.raises(UserError, match="needs the module 'acme_client_that_is_missing'") as raised:
        connector("lacking")
    assert raised.value.remedy == 'pip install "acme-streams[lacking]"'


@pytest.mark.usefixtures("third_party")
def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(UserError, match="which is not a module"):
        connector("value")


def test_connectors_import_nothing_heavy() -> None:
    names = ["memory", "parquet", "arrow", "jsonl", "csv", "text", "stdout", "nexmark", "datagen", "python"]
    heavy = ["pyarrow.parquet", "pyarrow.dataset", "pyarrow.fs", "pyarrow.csv", "pyarrow.json", "pandas"]
    script = (
        f"import sys\nfrom streamflow_connectors import {', '.join(names)}\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
