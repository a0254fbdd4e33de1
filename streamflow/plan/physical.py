"""The physical graph: which operators a worker runs, and how rows move between workers.

Every worker runs one full copy of the flow (shared nothing). Nodes are cut into stages at the exchanges: a stage's
nodes run chained in one task per worker; an edge between stages is a channel, from each worker to each (exchange) or to
itself (forward). Stages are levels, so that the graph of tasks has no cycle and barriers can align.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import pyarrow as pa

from streamflow.connect.sink import Sink
from streamflow.connect.source import Source
from streamflow.errors import Location
from streamflow.operators.base import Operator
from streamflow.operators.marks import Marks
from streamflow.plan.logical.policy import OnError
from streamflow.plan.logical.windows import WatermarkStrategy

DEFAULT_KEY_GROUPS = 128


@dataclass(frozen=True, slots=True)
class ReadSplits:
    """Polled by the host. `schema`: the canonical columns of its batches; `ordered`: the host adds `_order` to them."""

    source: Source
    schema: pa.Schema
    ordered: bool = False


@dataclass(frozen=True, slots=True)
class SplitTimes:
    """Adds `_time` and generates the watermark per split of the read `read` (a node id).

    `marks`: what makes it, where that is not a bound.
    `min_time(split)`: a lower bound of the split's event times, in microseconds, or None (rule 2).
    """

    read: int
    evaluate: Callable[[pa.RecordBatch], pa.Array]
    strategy: WatermarkStrategy
    marks: Marks | None
    min_time: Callable[[str], int | None]


@dataclass(frozen=True, slots=True)
class Run:
    """An operator; `make` gives a fresh one. `times`: it makes a watermark of its own, from the rows it sees."""

    make: Callable[[], Operator]
    times: bool = False


@dataclass(frozen=True, slots=True)
class Deliver:
    """Hands batches of the visible columns to a sink."""

    sink: Sink
    schema: pa.Schema
    key: tuple[str, ...] | None


Place: TypeAlias = "tuple[int, int]"
"""A node on a worker: (node id, worker)."""
Work: TypeAlias = "ReadSplits | SplitTimes | Run | Deliver"


@dataclass(frozen=True, slots=True)
class Edge:
    """From node `source` into `port` of its holder. `exchange`: the key columns, None for a forward edge.

    `letters`: it carries not the source's rows but the dead letters of those that the source could not process.
    """

    source: int
    port: int = 0
    exchange: tuple[str, ...] | None = None
    letters: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalNode:
    """`step` is shown to users and is the address of the node's state; `label` says what it does, for plans.

    `functions`: the users' objects in it that the host opens and closes. `signature`: what its state is, in words, ""
    where it has none by key (`streamflow.plan.signature`).
    """

    id: int
    step: str
    label: str
    location: Location | None
    schema: pa.Schema
    work: Work
    edges: tuple[Edge, ...]
    stage: int
    on_error: OnError = "fail"
    functions: tuple[object, ...] = ()
    signature: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PhysicalGraph:
    """`nodes` stand in topological order and `nodes[i].id == i`.

    `max_errors`: the rows that may be skipped or go to the dead letters before the job stops.
    """

    name: str
    workers: int
    key_groups: int
    nodes: tuple[PhysicalNode, ...]
    max_errors: int | None = None

    @property
    def stages(self) -> int:
        return 1 + max(node.stage for node in self.nodes)

    def stage(self, index: int) -> tuple[PhysicalNode, ...]:
        """The nodes of one stage, in topological order."""
        return tuple(node for node in self.nodes if node.stage == index)

    def signatures(self) -> dict[str, str]:
        """What the state of each step is, in words."""
        found: dict[str, list[str]] = {}
        for node in self.nodes:
            if node.signature and node.signature not in found.setdefault(node.step, []):
                found[node.step].append(node.signature)
        return {step: "; ".join(parts) for step, parts in found.items()}

    def origins(self) -> Mapping[Place, frozenset[Place]]:
        """What makes the watermark of each node on each worker: reads, and operators that make their own."""
        found: dict[Place, frozenset[Place]] = {}
        for node in self.nodes:
            makes_its_own = isinstance(node.work, ReadSplits) or (isinstance(node.work, Run) and node.work.times)
            for worker in range(self.workers):
                senders = [
                    found[edge.source, sender]
                    for edge in node.edges
                    for sender in (range(self.workers) if edge.exchange is not None else (worker,))
                ]
                own = frozenset({(node.id, worker)})
                found[node.id, worker] = own if makes_its_own else frozenset().union(*senders)
        return found

    def reads(self) -> Mapping[int, ReadSplits]:
        """The reads, by node id."""
        return {node.id: node.work for node in self.nodes if isinstance(node.work, ReadSplits)}

    def sinks(self) -> Mapping[int, Deliver]:
        """The sinks, by node id."""
        return {node.id: node.work for node in self.nodes if isinstance(node.work, Deliver)}
