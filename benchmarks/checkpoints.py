"""`python -m benchmarks.checkpoints`: how long a checkpoint stops the rows, what it writes, what is left of the speed.

All in CPU time on one core, for a million keys: the pause is what `capture` takes, encoding comes later.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from benchmarks.machine import facts, one_core

KEYS = 1_000_000
_BATCH = 16_384
_GROUPS = 128
_REPEATS = 5
_PAUSE = 0.02
"""Seconds that a table of a million keys may stop the rows."""
_COST = 0.1
"""What a checkpoint every second may cost of the speed."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A capture of which so many keys have changed: seconds of CPU time, the best of several; bytes of its file."""

    name: str
    changed: int
    pause: float
    encoding: float
    written: int


@dataclass(frozen=True, slots=True)
class Cost:
    """A job with and without checkpoints: seconds of CPU time, and how many checkpoints there were."""

    name: str
    rows: int
    without: float
    with_: float
    checkpoints: int

    @property
    def each(self) -> float:
        """Seconds of CPU time of a checkpoint: the part of a second that one every second costs."""
        return (self.with_ - self.without) / self.checkpoints


def pauses_of_tables() -> Iterator[Pause]:
    """A table of a count and a sum by int64 key."""
    import numpy as np
    import pyarrow as pa

    from streamflow.state.captured import Lineage
    from streamflow.state.keyed_table import KeyedTable

    table = KeyedTable(pa.schema({"k": pa.int64()}), pa.schema({"count": pa.int64(), "sum": pa.float64()}))
    lineage = Lineage(0, "table")
    drawn = np.random.default_rng(1).permutation(KEYS) * 1_000_003

    def touch(part: int) -> None:
        for start in range(0, KEYS // part, _BATCH):
            keys = pa.array(drawn[start : min(start + _BATCH, KEYS // part)])
            slots, _ = table.lookup_or_insert([keys], len(keys))
            table.put("count", slots, keys)
            table.put("sum", slots, keys.cast(pa.float64()))

    touch(1)
    yield from _pauses("table", table, lineage, touch, (1, 10, 100))


def pauses_of_cells() -> Iterator[Pause]:
    """Objects with a number and a list, a tenth as many: they are converted in the pause, those that have changed."""
    import numpy as np
    import pyarrow as pa

    import streamflow as sf
    from streamflow.state.captured import Lineage
    from streamflow.state.keyed_objects import KeyedObjects

    class Count(sf.KeyedFunction):
        n = sf.cell(int, default=0)
        last = sf.list_cell(int)

    cells: list[Any] = [vars(Count)["n"], vars(Count)["last"]]
    objects = KeyedObjects(pa.schema({"k": pa.int64()}), Count(), cells, [])
    keys = np.arange(KEYS // 10)

    def touch(part: int) -> None:
        chosen = pa.array(keys[: len(keys) // part])
        for owner in objects.at(objects.slots([chosen], len(chosen))):
            owner.n += 1
            owner.last[:] = [owner.n]

    touch(1)
    yield from _pauses("cells", objects, Lineage(0, "cells"), touch, (2, 10, 100))


def _pauses(name: str, container: Any, lineage: Any, touch: Any, parts: Iterable[int]) -> Iterator[Pause]:
    checkpoint = 0
    for part in parts:
        found = []
        for _ in range(_REPEATS):
            touch(part)
            checkpoint += 1
            begun = time.process_time()
            captured = lineage.capture(container, _GROUPS, checkpoint, checkpoint - 1)
            paused = time.process_time()
            data = captured.encode()
            found.append((paused - begun, time.process_time() - paused, len(data or b"")))
        pause, encoding, written = (min(column) for column in zip(*found, strict=True))
        yield Pause(name, (KEYS if name == "table" else KEYS // 10) // part, pause, encoding, written)


def costs(rows: int) -> Iterator[Cost]:
    """A running count and sum over a million keys, of which all or a hundredth change; checkpoints in a folder."""
    import numpy as np
    import pyarrow as pa
    from streamflow_connectors import memory

    import streamflow as sf
    from benchmarks.nexmark import CountingSink

    everyone = np.arange(KEYS) * 1_000_003
    rng = np.random.default_rng(2)
    for name, drawn in (("all keys change", everyone), ("a hundredth changes", everyone[: KEYS // 100])):
        keys = np.concatenate([everyone, rng.choice(drawn, rows - KEYS)])
        table = pa.table({"key": keys, "value": np.arange(rows) % 1000})
        batches = table.to_batches(max_chunksize=_BATCH)

        def job(checkpoint: sf.Checkpoints | None, batches: Any = batches, schema: Any = table.schema) -> float:
            flow = sf.Flow("running")
            read = flow.read("rows", memory.Source(batches, schema=schema))
            read.key_by("key").agg(count=sf.count(), total=sf.col("value").sum()).write("out", CountingSink())
            begun = time.process_time()
            sf.run(flow, checkpoint=checkpoint)
            return time.process_time() - begun

        without, with_, taken = [], [], []
        for _ in range(3):
            without.append(job(None))
            with tempfile.TemporaryDirectory() as folder:
                with_.append(job(sf.Checkpoints(folder, every="1s")))
                taken.append(_latest(folder))
        best = min(range(3), key=with_.__getitem__)
        yield Cost(name, rows, min(without), with_[best], taken[best])


def _latest(folder: str) -> int:
    from streamflow.runners.checkpoints import latest_manifest
    from streamflow.state.local_store import LocalStore

    manifest = latest_manifest(LocalStore(folder))
    assert manifest is not None
    return manifest.checkpoint


def main() -> int:
    one_core()
    print("   ".join(f"{name} {value}" for name, value in facts().items()), end="\n\n")
    met = True
    for pause in (*pauses_of_tables(), *pauses_of_cells()):
        print(
            f"{pause.name}: {pause.changed:,} keys changed: pause {pause.pause * 1e3:.1f} ms, "
            f"then encoding {pause.encoding * 1e3:.1f} ms, {pause.written / 1e6:.2f} MB"
        )
        met = met and (pause.name != "table" or pause.pause <= _PAUSE)
    for cost in costs(12 * KEYS):
        print(
            f"running count and sum, {cost.name}: {cost.rows / cost.without / 1e6:.2f} M rows/s, with "
            f"{cost.checkpoints} checkpoints {cost.rows / cost.with_ / 1e6:.2f}; one takes {cost.each * 1e3:.0f} ms of "
            f"CPU time: {cost.each:.1%} of the speed with one every second"
        )
        met = met and cost.each <= _COST
    print(f"{'met   ' if met else 'MISSED'}  pause of a table at most {_PAUSE * 1e3:.0f} ms, cost at most {_COST:.0%}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
