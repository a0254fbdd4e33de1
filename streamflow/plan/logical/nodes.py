"""The nodes of the logical graph: frozen dataclasses, equal when their parts are.

Every node knows its inputs, its step's name (None until the user or `named` gives one), the user's source line, and the
type of the stream it produces, computed and checked when the node is made: no schema question is left for run time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa

from streamflow.connect.sink import Sink
from streamflow.connect.source import Source
from streamflow.errors import Location
from streamflow.plan.logical.expr import Expr, RowFunction
from streamflow.plan.logical.keyed import KeyedCalls
from streamflow.plan.logical.windows import Assigner, Final, Trigger, WatermarkStrategy, Window


@dataclass(frozen=True, slots=True)
class WindowBound:
    """A visible column that holds a bound of a row's window: its end (`length` 0) or its start (`length` = size)."""

    column: str
    length: int


@dataclass(frozen=True, slots=True)
class StreamType:
    """What is known of a stream while the flow is built.

    `schema`: the visible columns in order. `event_time`: rows carry `_time`. `changelog`: None for append-only rows,
    else the changelog's key. `bounds`: see `WindowBound`. `lateness`: how far below the watermark rows may lie without
    being late, because windows upstream refine their results (rule 8).
    """

    schema: pa.Schema
    event_time: bool = False
    changelog: tuple[str, ...] | None = None
    bounds: tuple[WindowBound, ...] = ()
    lateness: int = 0
    order: int = 0
    """The parts of the hidden column `_order`; 0: there is none. Set by a rule, never by the API."""


@dataclass(frozen=True, slots=True)
class SortKey:
    column: str
    descending: bool = True


@dataclass(frozen=True, slots=True)
class Named:
    """An output column: its name and the expression over the input's columns."""

    name: str
    expr: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class LogicalNode:
    type: StreamType
    location: Location | None = field(default=None, compare=False)
    name: str | None = None
    on_error: Literal["fail", "skip", "dead_letter"] | None = None
    """What it does with a row that it cannot process; None is what the flow says, and `fail` in a finished graph."""
    part_of: Literal["next", "previous"] | None = None
    """Made for the step after it, or before it: it has that step's policy and goes by its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(LogicalNode):
    source: Source
    event_time: Expr | None = None
    watermark: WatermarkStrategy | None = None
    columns: tuple[str, ...] | None = None
    """The only columns that the plan needs; None is all. Set by a rule, never by the API."""
    predicate: Expr | None = None
    """Rows for which it is not true are not needed. Set by a rule, never by the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetters(LogicalNode):
    """The rows that steps with the policy `dead_letter` could not process. It takes rows from them all, beside the
    graph's edges.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter(LogicalNode):
    input: Node
    predicate: Expr


@dataclass(frozen=True, slots=True, kw_only=True)
class Project(LogicalNode):
    """select, with_columns, drop and rename: all the visible columns that come out, in order."""

    input: Node
    columns: tuple[Named, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRows(LogicalNode):
    """`map(fn)`: one row in, one row of the function's record type out."""

    input: Node
    function: RowFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatMap(LogicalNode):
    input: Node
    function: RowFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class Explode(LogicalNode):
    input: Node
    column: str


BatchForm: TypeAlias = Literal["arrow", "polars", "pandas", "numpy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapBatches(LogicalNode):
    input: Node
    function: Callable[[Any], Any]
    max_rows: int | None = None
    form: BatchForm = "arrow"
    """The form in which the function takes batches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Union(LogicalNode):
    inputs: tuple[Node, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WithEventTime(LogicalNode):
    input: Node
    event_time: Expr
    watermark: WatermarkStrategy
    per_split: bool = False
    """The watermark is generated per split of the one read upstream (rule 2). Set by a rule, never by the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek(LogicalNode):
    input: Node
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate(LogicalNode):
    """Keys, then a window's bounds, then aggregates.

    `window` None: a running aggregate, whose output is a changelog. `Final`: an aggregate over fired windows' results,
    sent once.
    """

    input: Node
    keys: tuple[str, ...]
    window: Window | Final | None
    aggregates: tuple[Named, ...]
    """Expressions over `AggregateCall` leaves."""
    lateness: int = 0
    """How long after its end a window still takes rows; never less than the input's (rule 8)."""
    trigger: Trigger | None = None
    partitioned: bool = False
    """The input is partitioned by the keys already. Set by a rule, never by the API."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Top(LogicalNode):
    input: Node
    keys: tuple[str, ...]
    window: Window | Final
    n: int
    by: tuple[SortKey, ...]
    lateness: int = 0
    trigger: Trigger | None = None
    partitioned: bool = False
    """These three are as for `Aggregate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Members(LogicalNode):
    """The records of lists in the column `~rows`, as rows; of a changelog with their `rank`. Made by a rule."""

    input: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Late(LogicalNode):
    """The rows that came too late for windows, once for each. `input`: the step that leaves them out.

    A rule puts it beside that step, over its input.
    """

    input: Node
    keys: tuple[str, ...]
    window: Window | Final
    """`Final`: rows carry the window that they are in. Set by a rule, never by the API."""
    lateness: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(LogicalNode):
    """Rows as they are, those of a key on one worker. Made by a rule, never by the API."""

    input: Node
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold(LogicalNode):
    """Rows as they are, the watermark held back `by` what they may lie below it: for steps that take a row only once.

    `by` microseconds is the input's lateness (rule 8), so that the rows have none any more. `moves_rows`: the rows' own
    event times become as much earlier.
    """

    input: Node
    by: int
    moves_rows: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Assign(LogicalNode):
    """Each row once for each of its windows, with their bounds as columns. Made by a rule, never by the API."""

    input: Node
    assigner: Assigner


@dataclass(frozen=True, slots=True, kw_only=True)
class Process(LogicalNode):
    """A keyed function: one row of a key after the other, and its timers. `ordered`: by event time (rule 12)."""

    input: Node
    keys: tuple[str, ...]
    function: KeyedCalls
    ordered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Dedup(LogicalNode):
    """One row per key: the first that arrives ("any"), or by event time; `within` microseconds of the last one kept.

    The last by event time, a changelog; with `within` each that no other follows in less.
    """

    input: Node
    keys: tuple[str, ...]
    keep: Literal["any", "first", "last"]
    within: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes(LogicalNode):
    input: Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(LogicalNode):
    input: Node
    sink: Sink


Node: TypeAlias = (
    Read
    | DeadLetters
    | Filter
    | Project
    | MapRows
    | FlatMap
    | Explode
    | MapBatches
    | Union
    | WithEventTime
    | Peek
    | Aggregate
    | Top
    | Process
    | Dedup
    | Late
    | Partition
    | Hold
    | Members
    | Assign
    | Changes
    | Write
)


def inputs(node: Node) -> tuple[Node, ...]:
    """The nodes whose rows this one takes."""
    match node:
        case Read() | DeadLetters():
            return ()
        case Union():
            return node.inputs
        case _:
            return (node.input,)
