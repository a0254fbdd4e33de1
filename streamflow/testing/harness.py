"""`sf.testing.run`: a flow over given rows, on n logical workers in one thread, crashing where the seed says."""

from __future__ import annotations

import random
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import pyarrow as pa

from streamflow.cluster.checkpoint import Checkpoint
from streamflow.connect.units import parse_size
from streamflow.engine.chain import PAUSE_AFTER
from streamflow.engine.clock import ManualClock
from streamflow.errors import UserError
from streamflow.flow.flow import Flow
from streamflow.plan.logical.nodes import Node, Read
from streamflow.plan.physical import DEFAULT_KEY_GROUPS, PhysicalGraph
from streamflow.plan.placement import place
from streamflow.plan.rewrite import Graph, rewrite, topological
from streamflow.plan.rules import optimise
from streamflow.runners.inline import InlineJob
from streamflow.testing.checks import checked
from streamflow.testing.rows import rows_source

_BUDGETS = [None, 1, 4096]
"""Bytes that the state of a worker may take, where the test does not say; None: there is no limit."""


class Results(dict[str, pa.Table]):
    """Rows by the name of the write; by step, `late`: (row, window) pairs left out.

    Also by step, rows that could not be processed: `skipped`, and `dead`, which went to the dead letters.
    """

    late: dict[str, int]
    skipped: dict[str, int]
    dead: dict[str, int]


def run(
    flow: Flow,
    sources: Mapping[str, Any] | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
    crashes: int = 0,
    key_groups: int = DEFAULT_KEY_GROUPS,
    memory: str | int | None = None,
) -> Results:
    """Run the whole flow and return what its sinks got.

    `sources`: by the read's name, rows in its place: dicts or dataclass objects, with `watermark(t)` and
    `advance("5m")` among them, or anything with the Arrow PyCapsule interface, or `splits` of these. Reads that are not
    named are read as they are; all sinks are collected, nothing is written. `seed` decides batch sizes, interleaving
    and crashes; `workers` is the number of logical workers. With `crashes`, that many times the job takes a checkpoint,
    goes on, dies, and is restored onto another number of workers. `memory`: what the state of each worker may take, as
    "1MB" or bytes (see `sf.run`); what is above it spills, into buffers. Without it the seed decides whether there is a
    limit, and how tight. At the end every window fires.

    Raises what a real run would raise, and EngineError when an invariant breaks.
    """
    for name, number, least in (("workers", workers, 1), ("crashes", crashes, 0)):
        if type(number) is not int or number < least:
            raise UserError(f"{name}={number!r} is not a number of {name}", remedy=f"write {name}={least} or more")
    clock = ManualClock()
    graph = optimise(_swap(flow.graph(), sources or {}, clock, seed))
    limit = None if memory is None else parse_size(memory)
    return _Harness(flow, graph, key_groups, clock, random.Random(seed), limit).run(workers, crashes)


def _swap(graph: Graph, sources: Mapping[str, Any], clock: ManualClock, seed: int) -> Graph:
    names = [node.name for node in topological(graph) if isinstance(node, Read)]
    unknown = sorted(set(sources) - set(names))
    if unknown:
        raise UserError(f"the flow has no read named {unknown[0]!r}", remedy=f"its reads are {names}")

    def change(_: Node, node: Node) -> Node:
        if isinstance(node, Read) and node.name is not None and node.name in sources:
            source = rows_source(node.name, sources[node.name], node.type.schema, clock, seed)
            return replace(node, source=source)
        return node

    return rewrite(graph, change)


class _Harness:
    """The attempts of one job, one after the other."""

    def __init__(
        self,
        flow: Flow,
        graph: Graph,
        key_groups: int,
        clock: ManualClock,
        rng: random.Random,
        memory: int | None,
    ) -> None:
        self._flow = flow
        self._graph = graph
        self._key_groups = key_groups
        self._clock = clock
        self._rng = rng
        self._memory = memory
        self._tables: dict[str, list[pa.Table]] = {}

    def run(self, workers: int, crashes: int) -> Results:
        checkpoint: Checkpoint | None = None
        while True:
            with closing(self._attempt(workers, checkpoint)) as job:
                if crashes:
                    self._crash(job)
                else:
                    job.run()
            self._collect(job)
            if job.finished:
                break
            crashes -= 1
            checkpoint = job.checkpoint
            workers = self._rng.randint(1, max(3, workers))
        results = Results({name: pa.concat_tables(tables) for name, tables in self._tables.items()})
        results.late, results.skipped, results.dead = job.late(), job.skipped(), job.dead()
        return results

    def _place(self, workers: int) -> PhysicalGraph:
        return place(
            self._graph,
            name=self._flow.name,
            workers=workers,
            key_groups=self._key_groups,
            max_errors=self._flow.max_errors,
        )

    def _attempt(self, workers: int, checkpoint: Checkpoint | None) -> InlineJob:
        return InlineJob(
            self._place(workers),
            seed=self._rng.getrandbits(32),
            checkpoint=checkpoint,
            clock=self._clock,
            max_rows=self._rng.choice([1, 7, 100, 16_384]),
            pause_after=self._rng.choice([1, 10, PAUSE_AFTER]),
            wrap=checked,
            memory=self._rng.choice(_BUDGETS) if self._memory is None else self._memory,
        )

    def _crash(self, job: InlineJob) -> None:
        """Run into a checkpoint, past it, and stop there, unless the job finishes before."""
        before = job.checkpoint
        for _ in range(self._rng.randint(0, 40)):
            job.step()
        job.trigger_checkpoint()
        while job.checkpoint is before and job.step():
            pass
        for _ in range(self._rng.randint(0, 40)):
            job.step()

    def _collect(self, job: InlineJob) -> None:
        for name, table in job.results().items():
            self._tables.setdefault(name, []).append(table)
