"""A source whose splits are quiet, flood, end and appear as the seed says; from any position it gives the same rows.

What is acknowledged to it (`committed`) it forgets, as a broker may: who comes back for such rows has acknowledged them
too early, and is told so.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from streamflow.connect.source import Ended, PollResult, Position, Wait
from streamflow.testing.simulation.clocks import Time


class Forgotten(AssertionError):
    """Rows were acknowledged before they were durable."""


@dataclass(slots=True)
class Broker:
    """The rows of every split of a source, and what became of them in a run. It outlives every crash.

    `appears`: the true time at which a split does. `quiet`: for some splits a row, and the time before which it is not
    there. `forgotten`: how many rows of a split were acknowledged.
    """

    rows: dict[str, pa.Table]
    grows: bool = False
    rng: random.Random = field(default_factory=random.Random)
    time: Time = field(default_factory=Time)
    appears: dict[str, int] = field(default_factory=dict)
    quiet: dict[str, tuple[int, int]] = field(default_factory=dict)
    forgotten: dict[str, int] = field(default_factory=dict)

    def set_up(self, rng: random.Random, time: Time) -> None:
        """As nothing had been read, for a run."""
        self.rng, self.time = rng, time
        self.forgotten.clear()
        names = list(self.rows)
        later = rng.sample(names[1:], rng.randrange(len(names))) if self.grows else ()
        self.appears = {name: rng.randrange(200_000) for name in later}
        self.quiet = {
            name: (rng.randrange(1 + table.num_rows), rng.randrange(1, 300_000))
            for name, table in self.rows.items()
            if rng.random() < 0.3
        }

    def names(self) -> list[str]:
        return [name for name in self.rows if self.appears.get(name, 0) <= self.time.now]


@dataclass(frozen=True, eq=False)
class BrokerSource:
    """Bounded, or its splits appear one after the other; all end."""

    columns: pa.Schema
    broker: Broker = field(repr=False)

    @property
    def bounded(self) -> bool:
        return not self.broker.grows

    def schema(self) -> pa.Schema:
        return self.columns

    @property
    def look_every(self) -> float | None:
        return 0.01 if self.broker.grows else None

    def splits(self) -> list[str]:
        return self.broker.names()

    def open(self, splits: Mapping[str, Position | None]) -> BrokerReader:
        return BrokerReader(self.broker, splits)


class BrokerReader:
    """Gives a few rows at a time of any split that has some, or floods; is often quiet, or hardly ever."""

    def __init__(self, broker: Broker, splits: Mapping[str, Position | None]) -> None:
        self._broker = broker
        self._at: dict[str, int] = {}
        self._open: list[str] = []
        self._paused: Collection[str] = ()
        self._quiet: list[str] = []
        self._flood = broker.rng.random() < 0.2
        self._most = broker.rng.choice([1, 2, 8])
        self._pauses = broker.rng.choice([0.1, 0.5, 0.8])
        self.add(splits)

    def add(self, splits: Mapping[str, Position | None]) -> None:
        for name, position in splits.items():
            self._at[name] = position if isinstance(position, int) else 0
            if self._at[name] < self._broker.forgotten.get(name, 0):
                raise Forgotten(f"{name} is to be read from row {self._at[name]}, which was acknowledged")
            self._open.append(name)

    def poll(self, max_rows: int) -> PollResult:
        broker = self._broker
        self._quiet = [name for name in self._open if self._is_quiet(name)]
        ready = [name for name in self._open if name not in self._quiet and name not in self._paused]
        if not ready or (not self._flood and broker.rng.random() < self._pauses):
            return Wait(0.002)
        name = broker.rng.choice(ready)
        rows = broker.rows[name]
        at = self._at[name]
        if at == rows.num_rows:
            self._open.remove(name)
            return Ended(name)
        most = max_rows if self._flood else broker.rng.randint(1, self._most)
        end = min(rows.num_rows, at + min(most, max_rows))
        if name in broker.quiet and at < broker.quiet[name][0]:
            end = min(end, broker.quiet[name][0])
        self._at[name] = end
        return [(name, batch) for batch in rows.slice(at, end - at).to_batches()]

    def _is_quiet(self, name: str) -> bool:
        row, until = self._broker.quiet.get(name, (-1, 0))
        return self._at[name] == row and self._broker.time.now < until

    def quiet(self) -> Collection[str]:
        return self._quiet

    def pause(self, splits: Collection[str]) -> None:
        self._paused = splits

    def positions(self) -> Mapping[str, Position]:
        return dict(self._at)

    def committed(self, positions: Mapping[str, Position]) -> None:
        for name, position in positions.items():
            assert isinstance(position, int)
            self._broker.forgotten[name] = max(position, self._broker.forgotten.get(name, 0))

    def close(self) -> None:
        self._open = []
