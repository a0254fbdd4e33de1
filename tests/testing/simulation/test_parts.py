"""Clocks, connections, sources and sinks of the simulation."""

import random

import pyarrow as pa
import pytest

from streamflow.connect.sink import SinkContext
from streamflow.connect.source import Ended
from streamflow.errors import Fatal
from streamflow.testing.simulation.clocks import DriftingClock, Time
from streamflow.testing.simulation.network import Line, Pipe
from streamflow.testing.simulation.sinks import Warehouse, WarehouseCommitter, WarehouseWriter
from streamflow.testing.simulation.sources import Broker, BrokerReader, Forgotten

ROWS = pa.table({"n": [1, 2, 3, 4, 5]})


class Calm:
    """A warehouse at which nothing happens."""

    def moment(self, what: str, *, done: bool | None) -> None:
        pass


@pytest.mark.parametrize("seed", range(5))
def test_a_clock_shows_a_time_when_it_says_that_it_will(seed: int) -> None:
    time = Time(1_000)
    clock = DriftingClock(time, random.Random(seed))
    due = clock.monotonic() + 123_456
    time.now += clock.until(due)
    assert clock.monotonic() >= due
    assert clock.until(due) == 0
    time.now -= 2
    assert clock.monotonic() < due


def test_the_monotonic_clock_never_goes_back() -> None:
    rng = random.Random(3)
    clock = DriftingClock(Time(), rng)
    shown = [clock.monotonic()]
    for _ in range(20):
        clock.jump(rng)
        shown.append(clock.monotonic())
    assert shown == sorted(shown)


@pytest.mark.parametrize("seed", range(5))
def test_bytes_arrive_in_order_however_they_are_cut(seed: int) -> None:
    pipe = Pipe(random.Random(seed))
    sent, arrived = b"", b""
    for part in (b"abc", b"", b"defghijklmnop", b"q" * 5_000):
        pipe.write(part)
        sent += part
        arrived += pipe.read() if len(pipe) else b""
    while len(pipe):
        arrived += pipe.read()
    assert arrived == sent


def test_messages_take_their_time_and_the_end_comes_behind_them() -> None:
    time = Time(10)
    line: Line[str] = Line(time, lag=5)
    assert line.arrives_at() is None
    line.put("a")
    line.closed = True
    line.put("too late")
    assert line.arrives_at() == 15
    assert line.take() == "a"
    assert line.take() is None


def test_a_source_gives_the_same_rows_from_any_position_and_forgets_what_was_acknowledged() -> None:
    broker = Broker({"s": ROWS})
    for start in range(6):
        reader = BrokerReader(broker, {"s": start})
        found: list[int] = []
        while not isinstance(result := reader.poll(3), Ended):
            parts = result if isinstance(result, list) else []
            found += [n for part in parts if isinstance(part, tuple) for n in part[1]["n"].to_pylist()]
        assert found == [1, 2, 3, 4, 5][start:]
    reader = BrokerReader(broker, {"s": 3})
    reader.committed({"s": 3})
    with pytest.raises(Forgotten, match="s is to be read from row 2, which was acknowledged"):
        BrokerReader(broker, {"s": 2})
    BrokerReader(broker, {"s": 3})


def test_a_piece_is_published_once_and_one_that_is_nowhere_is_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Warehouse, "moment", Calm.moment)
    warehouse = Warehouse()
    who = SinkContext(job="j", step="out", worker=0, attempt=1, schema=ROWS.schema)
    writer = WarehouseWriter(warehouse, who)
    writer.write(ROWS.to_batches()[0])
    prepared = writer.prepare(1, final=False)
    committer = WarehouseCommitter(warehouse, "j")
    committer.commit(prepared)
    committer.commit(prepared)
    assert [batch.num_rows for batch in warehouse.rows("out")] == [5]
    with pytest.raises(Fatal, match="neither staged nor published"):
        committer.commit([{"id": "out-w0-a9-0"}])


def test_what_an_earlier_attempt_staged_is_swept_away_unless_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Warehouse, "moment", Calm.moment)
    warehouse = Warehouse()
    names: list[str] = []
    for attempt in (1, 1, 2):
        writer = WarehouseWriter(
            warehouse, SinkContext(job="j", step=f"s{len(names)}", worker=0, attempt=attempt, schema=ROWS.schema)
        )
        writer.write(ROWS.to_batches()[0])
        names.append(str(writer.prepare(1, final=False)[0]["id"]))
    WarehouseCommitter(warehouse, "j").discard_unknown({names[0]}, before_attempt=2)
    assert [name for _, name in warehouse.staged] == [names[0], names[2]]
