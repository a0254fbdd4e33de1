"""What outlives a power cut, and what is seen of it."""

import random

import pytest

from streamflow.state.store import AlreadyExists, NotFound
from streamflow.testing.simulation.disk import Disk


def lost(disk: Disk) -> set[frozenset[tuple[str, bytes]]]:
    """What a power cut may leave."""
    found = set()
    for seed in range(20):
        copy = Disk()
        copy.files, copy._durable = dict(disk.files), dict(disk._durable)
        copy.lose_power(random.Random(seed))
        found.add(frozenset(copy.files.items()))
    return found


def test_what_was_synced_outlives_a_power_cut_and_what_was_not_may_or_may_not() -> None:
    disk = Disk()
    disk.link("log/1", b"a")
    disk.sync("log/1")
    disk.write("log/1", b"b")
    assert disk.read("log/1") == b"b"
    assert lost(disk) == {frozenset({("log/1", b"a")}), frozenset({("log/1", b"b")})}


def test_a_folder_is_synced_as_a_whole() -> None:
    disk = Disk()
    disk.write("state/a", b"1")
    disk.write("log/1", b"2")
    disk.sync("state/b")
    assert all(("state/a", b"1") in left for left in lost(disk))


def test_a_file_that_was_deleted_may_be_there_again() -> None:
    disk = Disk()
    disk.write("state/a", b"1")
    disk.sync("state/a")
    disk.remove("state/a")
    with pytest.raises(NotFound):
        disk.read("state/a")
    assert lost(disk) == {frozenset(), frozenset({("state/a", b"1")})}


def test_a_name_is_linked_once() -> None:
    disk = Disk()
    disk.link("log/1", b"a")
    with pytest.raises(AlreadyExists):
        disk.link("log/1", b"b")


def test_listings_may_be_old_and_reads_never_are() -> None:
    disk, rng = Disk(), random.Random(1)
    disk.write("state/a", b"1")
    disk.write("state/b", b"2")
    assert {tuple(disk.listing("state", rng)) for _ in range(100)} == {(), ("state/a",), ("state/a", "state/b")}


def test_a_rotten_file_is_not_what_was_written() -> None:
    for seed in range(20):
        disk = Disk()
        disk.write("state/a", b"content")
        disk.rot("state/a", random.Random(seed))
        assert disk.files.get("state/a") != b"content"
        assert disk.rotten == {"state/a"}
