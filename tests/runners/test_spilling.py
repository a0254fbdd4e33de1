"""Files of state that does not fit in memory: nothing is left behind, and what goes wrong says what to do."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from streamflow.errors import Fatal
from streamflow.runners import spilling
from streamflow.runners.spilling import SpillFiles, default_memory

ROWS = pa.record_batch({"n": pa.array([1, None, 3]), "s": ["a", None, "ü"], "l": [[1], [], None]})
LARGE = pa.record_batch({"n": pa.array(range(200_000))})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 512 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(folder)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk needs the right to mount one")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    store = SpillFiles(tmp_path)
    first, second = store.put(ROWS), store.put(ROWS.slice(1, 1))
    assert store.get(first).equals(ROWS)
    assert store.get(second).equals(ROWS.slice(1, 1))


def test_rows_stay_valid_after_their_file_is_freed(tmp_path: Path) -> None:
    store = SpillFiles(tmp_path)
    number = store.put(ROWS)
    rows = store.get(number)
    store.free(number)
    assert rows.equals(ROWS)


def test_a_file_has_no_name_and_holds_no_descriptor(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    store = SpillFiles(tmp_path)
    store.put(ROWS)
    assert os.listdir(tmp_path) == []
    assert len(os.listdir("/dev/fd")) == before


def test_nobody_else_may_read_a_file_while_it_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes = []

    def opened(path: str, mode: str) -> pa.OSFile:
        modes.append(stat.S_IMODE(os.stat(path).st_mode))
        return file(path, mode)

    file = pa.OSFile
    monkeypatch.setattr(pa, "OSFile", opened)
    SpillFiles(tmp_path).put(ROWS)
    assert modes == [0o600]


def test_the_folder_is_made_when_something_spills(tmp_path: Path) -> None:
    store = SpillFiles(tmp_path / "a" / "b")
    assert os.listdir(tmp_path) == []
    store.put(ROWS)
    assert (tmp_path / "a" / "b").is_dir()


def test_a_full_disk_is_named_and_left_empty(small_disk: Path) -> None:
    with pytest.raises(Fatal) as failed:
        SpillFiles(small_disk).put(LARGE)
    assert str(small_disk) in failed.value.message
    assert "No space left" in failed.value.message
    assert failed.value.remedy is not None
    assert "spill_dir=" in failed.value.remedy
    assert os.listdir(small_disk) == []


def test_a_freed_file_makes_room_on_the_disk(small_disk: Path) -> None:
    store = SpillFiles(small_disk)
    for _ in range(20):
        store.free(store.put(LARGE.slice(0, 20_000)))
    assert store.written > 20 * 20_000 * 8


def test_a_disk_that_is_read_only_is_named(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(Fatal, match=f"cannot be written to {small_disk}.*Read-only"):
        SpillFiles(small_disk).put(ROWS)


def test_a_folder_below_a_regular_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(Fatal, match=f"{tmp_path}/file/below"):
        SpillFiles(tmp_path / "file" / "below").put(ROWS)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(Fatal, match="Permission denied"):
        SpillFiles(tmp_path / "closed").put(ROWS)


def test_a_file_that_may_not_grow_is_named(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        with pytest.raises(Fatal, match="File too large") as failed:
            SpillFiles(tmp_path).put(LARGE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert failed.value.remedy is not None
    assert "memory=" in failed.value.remedy
    assert os.listdir(tmp_path) == []


def test_by_default_state_may_take_half_of_the_machine() -> None:
    assert 0 < default_memory() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def test_a_control_group_and_those_above_it_limit_the_memory(tmp_path: Path) -> None:
    inner = tmp_path / "root" / "job" / "one"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n", encoding="ascii")
    (inner.parent / "memory.max").write_text("4096\n", encoding="ascii")
    (tmp_path / "cgroup").write_text("0::/job/one\n", encoding="utf-8")
    assert spilling._group_limits(tmp_path / "cgroup", tmp_path / "root") == [4096]


def test_control_groups_of_the_first_version_are_known_too(tmp_path: Path) -> None:
    group = tmp_path / "root" / "memory" / "job"
    group.mkdir(parents=True)
    (group / "memory.limit_in_bytes").write_text("8192\n", encoding="ascii")
    (tmp_path / "cgroup").write_text("12:cpu,cpuacct:/job\n3:memory:/job\n", encoding="utf-8")
    assert spilling._group_limits(tmp_path / "cgroup", tmp_path / "root") == [8192]


def test_without_control_groups_there_is_no_limit(tmp_path: Path) -> None:
    assert spilling._group_limits(tmp_path / "missing", tmp_path) == []
