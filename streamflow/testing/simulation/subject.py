"""The flow that is simulated, its sources and sinks exchanged for those of the simulation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TypeAlias

import pyarrow as pa

from streamflow.cluster.attempt import Job
from streamflow.cluster.manifest import Manifest
from streamflow.connect.canonical import cast_batch
from streamflow.flow.flow import Flow
from streamflow.plan.logical.nodes import Node, Read, Write
from streamflow.plan.physical import PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rewrite import rewrite
from streamflow.plan.rules import optimise
from streamflow.testing.harness import Results, run
from streamflow.testing.rows import Splits
from streamflow.testing.simulation.process import Scene
from streamflow.testing.simulation.sinks import Warehouse, WarehouseSink
from streamflow.testing.simulation.sources import Broker, BrokerSource

KEY_GROUPS = 16

Check: TypeAlias = "Callable[[Mapping[str, pa.Table], Mapping[str, Splits]], None]"
"""Given what is published by sink, and the rows that were read: raises AssertionError where it is wrong."""


class Subject:
    """`rows`: by the read's name, a table for each of its splits. `grows`: the reads whose splits appear in time.

    `check`: what its results have to be, where that is not what a calm run gives. It can be simulated again and again;
    what is made of the flow is made once.
    """

    def __init__(
        self,
        build: Callable[[], Flow],
        rows: Mapping[str, Splits],
        *,
        grows: frozenset[str] = frozenset(),
        check: Check | None = None,
    ) -> None:
        self.warehouse = Warehouse()
        self.brokers: dict[str, Broker] = {}
        flow = build()
        self.name = flow.name
        self._max_errors = flow.max_errors
        self._grows = grows
        self.rows = rows
        self.check = check
        self._build = build
        self._logical = optimise(rewrite(flow.graph(), self._exchanged))
        self._graphs: dict[int, PhysicalGraph] = {}
        self._calm: Results | None = None

    def _exchanged(self, _: Node, node: Node) -> Node:
        match node:
            case Read(name=str(name)) if name in self.rows:
                schema = node.type.schema
                tables = {f"{name}-{i}": _table(part, schema) for i, part in enumerate(self.rows[name].parts)}
                self.brokers[name] = Broker(tables, name in self._grows)
                return replace(node, source=BrokerSource(schema, self.brokers[name]))
            case Write():
                return replace(node, sink=WarehouseSink(self.warehouse))
        return node

    def graph(self, workers: int) -> PhysicalGraph:
        """For so many workers."""
        if workers not in self._graphs:
            self._graphs[workers] = place(
                self._logical, name=self.name, workers=workers, key_groups=KEY_GROUPS, max_errors=self._max_errors
            )
        return self._graphs[workers]

    def job(self) -> Job:
        """What a coordinator knows of it."""
        graph = self.graph(1)
        return Job(
            flow=self.name,
            graph="simulated",
            reads=tuple(graph.nodes[read].step for read in graph.reads()),
            key_groups=KEY_GROUPS,
            bounded=all(read.source.bounded for read in graph.reads().values()),
        )

    @property
    def grows(self) -> bool:
        """Its sources never say that no more rows will come."""
        return bool(self._grows)

    def is_read(self, manifest: Manifest) -> bool:
        """Whether a checkpoint covers all rows."""
        splits = {(read, name): state for read, own in manifest.splits.items() for name, state in own.items()}
        return all(
            (read, name) in splits and splits[read, name].position == table.num_rows
            for read, broker in self.brokers.items()
            for name, table in broker.rows.items()
        )

    def set_up(self, scene: Scene) -> None:
        """Nothing has been read or written, for a run."""
        self.warehouse.set_up(scene)
        for broker in self.brokers.values():
            broker.set_up(scene.rng, scene.time)

    def calm(self) -> Results:
        """What one worker gives when nothing goes wrong."""
        if self._calm is None:
            self._calm = run(self._build(), self.rows, seed=0, workers=1)
        return self._calm


def _table(part: pa.Table | list[dict[str, object]], schema: pa.Schema) -> pa.Table:
    table = pa.Table.from_pylist(part, schema=schema) if isinstance(part, list) else part
    return pa.Table.from_batches(
        [cast_batch(batch, schema) for batch in table.select(schema.names).to_batches()], schema
    )
