"""Every checkpoint store, against the contract."""

import errno
import os
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore.store
import pytest

from streamflow.errors import Fatal, Retryable
from streamflow.state.local_store import LocalStore
from streamflow.state.object_store import ObjectStore
from streamflow.state.store import AlreadyExists, CheckpointStore, NotFound, require_fence
from streamflow.state.stores import open_store
from streamflow.testing.stores import MemoryStore
from tests.services.minio import MinIO


@pytest.fixture(params=["local", "memory", "bucket", pytest.param("minio", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    match request.param:
        case "minio":
            return bucket(request.getfixturevalue("minio"), monkeypatch)
        case "local":
            return LocalStore(tmp_path / "checkpoints")
        case "memory":
            return MemoryStore()
        case _:
            return ObjectStore(obstore.store.MemoryStore(), "memory")


def bucket(server: MinIO, monkeypatch: pytest.MonkeyPatch) -> CheckpointStore:
    """A new bucket on a real server, found as a user's environment would say."""
    name = uuid.uuid4().hex
    server.make_bucket(name)
    for variable, value in server.environment.items():
        monkeypatch.setenv(variable, value)
    return open_store(f"s3://{name}/checkpoints")


def test_what_is_put_is_read_and_replaced(store: CheckpointStore) -> None:
    store.put("state/a", b"1")
    store.put("state/a", b"22")
    assert store.read("state/a") == b"22"


def test_what_is_not_there_is_not_found(store: CheckpointStore) -> None:
    with pytest.raises(NotFound, match="state/a is not in the"):
        store.read("state/a")


def test_a_second_create_fails_and_changes_nothing(store: CheckpointStore) -> None:
    store.create("log/1", b"first")
    with pytest.raises(AlreadyExists):
        store.create("log/1", b"second")
    assert store.read("log/1") == b"first"


def test_of_creates_at_once_one_succeeds(store: CheckpointStore) -> None:
    def create(data: bytes) -> bytes | None:
        try:
            store.create("log/1", data)
        except AlreadyExists:
            return None
        return data

    with ThreadPoolExecutor(8) as pool:
        won = [data for data in pool.map(create, [b"%d" % i for i in range(40)]) if data is not None]
    assert won == [store.read("log/1")]


def test_delete_removes_and_does_not_mind_what_is_not_there(store: CheckpointStore) -> None:
    store.create("log/1", b"1")
    store.delete("log/1")
    store.delete("log/1")
    store.create("log/1", b"2")
    assert store.read("log/1") == b"2"


def test_list_gives_the_paths_below_a_folder_and_no_others(store: CheckpointStore) -> None:
    for path in ("log/2", "log/1", "state/7/a", "logs"):
        store.put(path, b"")
    assert store.list("log") == ["log/1", "log/2"]
    assert store.list("state") == ["state/7/a"]
    assert store.list("nothing") == []


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../b", "a//b", ".hidden", "a/.tmp-1", "a\n"])
def test_paths_that_lead_elsewhere_are_refused(store: CheckpointStore, path: str) -> None:
    with pytest.raises(ValueError, match="no path of a checkpoint store"):
        store.put(path, b"")


def test_a_store_that_fences_is_accepted_and_left_clean(store: CheckpointStore) -> None:
    require_fence(store, "probe/1")
    assert store.list("probe") == []


def test_a_probe_that_is_there_because_an_answer_was_lost_does_not_matter(store: CheckpointStore) -> None:
    store.create("probe/1", b"1")
    require_fence(store, "probe/1")
    assert store.list("probe") == []


def test_a_store_that_creates_twice_is_refused() -> None:
    class Forgetful(MemoryStore):
        def create(self, path: str, data: bytes) -> None:
            self.put(path, data)

    with pytest.raises(Fatal, match="lets a file be created twice"):
        require_fence(Forgetful(), "probe/1")


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (tmp_path / "state").mkdir()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(Fatal, match=r"state/a cannot be written in the checkpoint store .*: No space left") as error:
        LocalStore(tmp_path).put("state/a", b"1")
    assert error.value.remedy == "make room on the disk"
    assert list((tmp_path / "state").iterdir()) == []


def test_a_file_where_the_folder_should_be_is_an_error_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(Fatal, match="state/a cannot be"):
        LocalStore(tmp_path).create("state/a", b"1")


def test_names_and_data_are_synced_before_the_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{descriptor}")).split("-")[0])
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    LocalStore(tmp_path / "new").create("log/1", b"1")
    assert synced == [tmp_path.name.split("-")[0], "new", ".tmp", "log"]


@pytest.mark.integration
def test_a_bucket_that_is_not_there_is_an_error_with_a_remedy(minio: MinIO, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in minio.environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(Fatal) as error:
        open_store("s3://no-such-bucket/checkpoints").put("log/1", b"1")
    assert error.value.remedy == "make it, or correct its name"


@pytest.mark.integration
def test_wrong_keys_are_an_error_with_a_remedy(minio: MinIO, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in {**minio.environment, "AWS_SECRET_ACCESS_KEY": "wrong"}.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(Fatal) as error:
        open_store("s3://bucket/checkpoints").put("log/1", b"1")
    assert error.value.remedy == "give the job credentials that may read, write, list and delete there"


def test_a_server_that_does_not_answer_may_answer_later(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in MinIO("http://127.0.0.1:1", Path()).environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(Retryable, match="log/1 cannot be read in the checkpoint store s3://bucket/checkpoints"):
        open_store("s3://bucket/checkpoints").read("log/1")
