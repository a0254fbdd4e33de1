"""A graph as boxes and arrows, for people: what is printed and drawn.

The same outline serves logical and physical graphs. It holds text only, in the order in which rows pass, and nothing in
it varies between two processes: no memory addresses, no folders.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePath
from typing import TypeAlias, assert_never

import pyarrow as pa

from streamflow.connect.sink import Sink, TransactionalSink
from streamflow.connect.source import Source
from streamflow.errors import Location
from streamflow.plan.logical.expr import Column, show
from streamflow.plan.logical.nodes import (
    Aggregate,
    Assign,
    Changes,
    DeadLetters,
    Dedup,
    Explode,
    Filter,
    FlatMap,
    Hold,
    Late,
    MapBatches,
    MapRows,
    Members,
    Named,
    Node,
    Partition,
    Peek,
    Process,
    Project,
    Read,
    Top,
    Union,
    WithEventTime,
    Write,
    inputs,
)
from streamflow.plan.logical.policy import can_reject
from streamflow.plan.logical.show import duration
from streamflow.plan.logical.windows import (
    After,
    Assigned,
    BoundedOutOfOrderness,
    Calendar,
    Count,
    Cumulative,
    Final,
    FromColumn,
    Generated,
    Global,
    ProcessingTime,
    Session,
    Sliding,
    Trigger,
    Tumbling,
    WatermarkStrategy,
    Window,
)
from streamflow.plan.physical import Deliver, Edge, PhysicalGraph, PhysicalNode, ReadSplits, Run, SplitTimes
from streamflow.plan.rewrite import Graph, topological

Details: TypeAlias = "tuple[tuple[str, str], ...]"
"""What is known of a step beside its title, as (label, text)."""

_POLICY = {"skip": "the row is skipped and counted", "dead_letter": "the row goes to the dead letters"}

NO_BREAK = "\N{NO-BREAK SPACE}"


def wrapped(content: str, width: int) -> list[str]:
    """The text in lines, broken at spaces; at least one line.

    >>> wrapped(f"a: int64, b:{NO_BREAK}double", 12)
    ['a: int64,', 'b: double']
    """
    lines = textwrap.wrap(content, width, break_long_words=False, break_on_hyphens=False)
    return [line.replace(NO_BREAK, " ") for line in lines] or [""]


@dataclass(frozen=True, slots=True)
class Arrow:
    """Rows come from the box `source`. `exchange`: by what they move between workers, None when they stay."""

    source: int
    exchange: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """One node. `step` is empty when nobody names it; `line` is the user's, as file:line."""

    number: int
    step: str
    title: str
    details: Details
    line: str
    arrows: tuple[Arrow, ...]
    stage: int = 0


@dataclass(frozen=True, slots=True)
class Outline:
    """`boxes[i].number == i + 1`, inputs before what reads them. `stages`: headings; none for a logical graph."""

    title: str
    boxes: tuple[Box, ...]
    stages: tuple[str, ...] = ()

    def box(self, number: int) -> Box:
        return self.boxes[number - 1]


def logical_outline(graph: Graph, title: str) -> Outline:
    """Of the graph as the user wrote it, or as the rules left it. A node that several read is one box."""
    numbers: dict[int, int] = {}
    boxes = []
    for node in topological(graph):
        numbers[id(node)] = number = len(numbers) + 1
        boxes.append(
            Box(
                number=number,
                step=node.name or "",
                title=_title(node),
                details=tuple(_details(node)),
                line=_line(node.location),
                arrows=tuple(Arrow(numbers[id(upstream)]) for upstream in inputs(node)),
            )
        )
    return Outline(title, tuple(boxes))


def physical_outline(graph: PhysicalGraph, title: str) -> Outline:
    """Of what each worker runs, by stage."""
    ordered = sorted(graph.nodes, key=lambda node: (node.stage, node.id))
    numbers = {node.id: number for number, node in enumerate(ordered, 1)}
    boxes = tuple(
        Box(
            number=numbers[node.id],
            step=node.step,
            title=node.label,
            details=tuple(_physical_details(graph, node)),
            line=_line(node.location),
            arrows=tuple(Arrow(numbers[edge.source], _exchange_text(edge)) for edge in node.edges),
            stage=node.stage,
        )
        for node in ordered
    )
    tasks = "one task" if graph.workers == 1 else f"{graph.workers} tasks, one on each worker"
    return Outline(title, boxes, tuple(f"stage {index + 1}: {tasks}" for index in range(graph.stages)))


# -- logical nodes


def _title(node: Node) -> str:  # noqa: C901 (one case for each node)
    match node:
        case Read():
            return f"read {_connector(node.source)}"
        case Write():
            return f"write {_connector(node.sink)}"
        case DeadLetters():
            return "dead letters"
        case Union():
            return f"union of {len(node.inputs)}"
        case WithEventTime():
            return f"event time {show(node.event_time)}"
        case Aggregate():
            kind = "running aggregate" if node.window is None else "aggregate"
            return f"{kind}{_by(node.keys)}{_window(node.window)}"
        case Late():
            return f"rows late for results{_by(node.keys)}{_window(node.window)}"
        case Assign():
            return f"rows with their windows of {type(node.assigner).__name__}"
        case Members():
            return "members of tops"
        case Hold(by=by, moves_rows=moves_rows):
            return f"{'event times and ' if moves_rows else ''}watermark held back by {duration(by)}"
        case Partition():
            return f"rows of a key together{_by(node.keys)}"
        case Top():
            order = ", ".join(f"{key.column} {'descending' if key.descending else 'ascending'}" for key in node.by)
            each = f" for each {', '.join(node.keys)}" if node.keys else ""
            return f"top {node.n} by {order}{each}{_window(node.window)}"
        case Dedup(keep=keep, within=within):
            span = "" if within is None else f" within {duration(within)}"
            return f"dedup{_by(node.keys)}, keep {keep}{span}"
        case Process():
            return f"process {node.function.name}{_by(node.keys)}"
        case other:
            return _row_by_row(other)


def _row_by_row(node: Filter | Project | MapRows | FlatMap | Explode | MapBatches | Peek | Changes) -> str:
    match node:
        case Filter():
            return f"filter {show(node.predicate)}"
        case Project():
            return _projection(node)
        case MapRows():
            return f"map {show(node.function)}"
        case FlatMap():
            return f"flat_map {show(node.function)}"
        case Explode():
            return f"explode {node.column}"
        case MapBatches():
            return f"map_batches {getattr(node.function, '__qualname__', type(node.function).__qualname__)}"
        case Peek():
            return f"peek at {node.rows} rows"
        case Changes():
            return "changes as rows, with a column that says which"
        case other:
            assert_never(other)


def _details(node: Node) -> Iterator[tuple[str, str]]:
    above = inputs(node)
    match node:
        case Read(event_time=expr):
            if node.columns is not None:
                yield "reads only", ", ".join(node.columns)
            if node.predicate is not None:
                yield "wants", f"rows where {show(node.predicate)}"
            if expr is not None:
                yield "event time", show(expr)
                yield "watermark", _watermark(node.watermark or BoundedOutOfOrderness(0))
        case WithEventTime():
            yield "watermark", _watermark(node.watermark) + (", for each split of the read" if node.per_split else "")
        case Aggregate() | Top():
            yield from _details_of_windows(node)
        case Process():
            yield from _details_of_process(node)
        case _:
            pass
    if node.on_error is not None and can_reject(node):
        yield "on error", _POLICY[node.on_error]
    if isinstance(node, Write):
        return
    if not above or node.type.schema != above[0].type.schema:
        yield "columns", _columns(node.type.schema)
    if (
        not above
        or isinstance(node, Aggregate | Top | Process | Dedup | Late | Changes)
        or node.type.changelog != above[0].type.changelog
    ):
        key = node.type.changelog
        yield "rows", "append-only" if key is None else f"a changelog with the key ({', '.join(key)})"


def _details_of_windows(node: Aggregate | Top) -> Iterator[tuple[str, str]]:
    if isinstance(node, Aggregate):
        yield "computes", "; ".join(map(_named, node.aggregates))
    if node.lateness:
        yield "lateness", f"{duration(node.lateness)} after its end a window is dropped"
    if node.trigger is not None:
        yield "fires", trigger_text(node.trigger, node.lateness).removeprefix(", ")


def _details_of_process(node: Process) -> Iterator[tuple[str, str]]:
    yield "keeps", _columns(node.function.state)
    yield "order", _order_text(node.ordered)
    if node.function.clock_timers:
        yield "timers", f"{', '.join(name for name, _ in node.function.clock_timers)}, by processing time"


def _projection(node: Project) -> str:
    """The method that a user would have called for it."""
    before = node.input.type.schema.names
    after = [column.name for column in node.columns]
    made = [column for column in node.columns if column.expr != Column(column.name)]
    if not made:
        dropped = [name for name in before if name not in after]
        if len(dropped) == 1 and after == [name for name in before if name in after]:
            return f"drop {dropped[0]}"
        return f"select {', '.join(after)}"
    if after[: len(before)] == before:
        return f"with_columns {', '.join(map(_named, made))}"
    if len(after) == len(before) and all(isinstance(column.expr, Column) for column in made):
        return f"rename {', '.join(f'{show(column.expr)} to {column.name}' for column in made)}"
    return f"select {', '.join(column.name if column not in made else _named(column) for column in node.columns)}"


def _named(column: Named) -> str:
    return f"{column.name} = {show(column.expr)}"


def _order_text(ordered: bool) -> str:
    if ordered:
        return "rows by event time, held until the watermark has passed them"
    return "rows as they arrive: results depend on how they arrive"


def _by(keys: tuple[str, ...]) -> str:
    return f" by {', '.join(keys)}" if keys else " of all rows"


def _window(window: Window | Final | None) -> str:
    match window:
        case None:
            return ""
        case Tumbling(size, offset):
            return f" in windows of {duration(size)}{_shifted(offset)}"
        case Sliding(size, every, offset):
            return f" in windows of {duration(size)} every {duration(every)}{_shifted(offset)}"
        case Cumulative(size, step, offset):
            return f" in windows that grow by {duration(step)} up to {duration(size)}{_shifted(offset)}"
        case Calendar(days, zone, offset):
            return f" in windows of {days} {'day' if days == 1 else 'days'} in {zone}{_shifted(offset)}"
        case Assigned(assigner):
            return f" in windows of {type(assigner).__name__}"
        case Count(rows):
            return f" in windows of {rows} rows, by event time"
        case ProcessingTime(inner):
            return f"{_window(inner)}, by processing time"
        case Global():
            return " in one window"
        case Session(gap):
            return f" in sessions that end after a gap of {duration(gap)}"
        case Final(column):
            return f", once {column} is final"
        case other:
            assert_never(other)


def trigger_text(trigger: Trigger, lateness: int) -> str:
    """When a window fires, as a list that begins with a comma; only what is not so without a trigger."""
    early = "" if trigger.early is None else f", early {_rows_or_after(trigger.early)}"
    late = f", late {_rows_or_after(trigger.late)}" if lateness and trigger.late != 1 else ""
    return f"{early}{late}, {'accumulating' if trigger.accumulate else 'discarding'}"


def _rows_or_after(given: int | After) -> str:
    if isinstance(given, After):
        return f"{duration(given.duration)} of processing time after a first new row"
    return f"every {given} rows"


def _shifted(offset: int) -> str:
    return f", offset {duration(offset)}" if offset else ""


def _watermark(strategy: WatermarkStrategy) -> str:
    match strategy:
        case BoundedOutOfOrderness(bound):
            behind = f"{duration(bound)} behind the greatest event time" if bound else "the greatest event time"
        case FromColumn(expr):
            behind = f"{show(expr)} of the rows"
        case Generated(generator):
            behind = f"made by {type(generator).__name__}"
        case other:
            assert_never(other)
    if strategy.idle is not None:
        behind += f", a split is idle after {duration(strategy.idle)}"
    if strategy.align is not None:
        behind += f", a split more than {duration(strategy.align)} ahead waits for the slowest"
    return behind


# -- physical nodes


def _physical_details(graph: PhysicalGraph, node: PhysicalNode) -> Iterator[tuple[str, str]]:
    above = [graph.nodes[edge.source].schema for edge in node.edges if not edge.letters]
    match node.work:
        case ReadSplits(source):
            yield "source", _connector(source)
        case SplitTimes(strategy=strategy):
            yield "watermark", f"{_watermark(strategy)}, for each split of the read"
        case Deliver(sink, _, key):
            yield (
                "sink",
                _connector(sink) + (", published by checkpoints" if isinstance(sink, TransactionalSink) else ""),
            )
            if key is not None:
                yield "rows", f"a changelog with the key ({', '.join(key)})"
        case Run():
            pass
        case other:
            assert_never(other)
    if not isinstance(node.work, Deliver) and (not above or node.schema != above[0]):
        yield "columns", _columns(node.schema)
    if node.on_error != "fail":
        yield "on error", _POLICY[node.on_error]
    state = _state(node)
    if state:
        yield "state", state


def _state(node: PhysicalNode) -> str:
    """What of a node is in a checkpoint, and how it is kept."""
    match node.work:
        case ReadSplits():
            return "the position in each split"
        case SplitTimes():
            return "the greatest event time of each split"
        case Run(make):
            containers = make().state()
            kinds = {name: _words(type(container).__name__) for name, container in containers.items()}
            return ", ".join(name if name == kind else f"{name} ({kind})" for name, kind in kinds.items())
        case Deliver():
            return ""
        case other:
            assert_never(other)


def _exchange_text(edge: Edge) -> str | None:
    match edge.exchange:
        case None:
            return None
        case ():
            return "to one worker"
        case keys:
            return f"by {', '.join(keys)}"


# -- words


def _columns(schema: pa.Schema) -> str:
    """Lines break between columns only."""
    return ", ".join(f"{field.name}: {field.type}".replace(" ", NO_BREAK) for field in schema) or "none"


def _line(location: Location | None) -> str:
    return "" if location is None else f"{PurePath(location.file).name}:{location.line}"


def _connector(connector: Source | Sink) -> str:
    """Its module and what it says of itself, as far as that is the same in every process."""
    kind = type(connector)
    module = kind.__module__.rpartition(".")[2]
    text = " ".join(repr(connector).split())
    if re.search(r"\bat 0x[0-9a-f]+", text):
        text = kind.__qualname__
    return text if text.startswith(f"{module}.") else f"{module}.{text}"


def _words(name: str) -> str:
    """A class's name as words.

    >>> _words("ChunkLog")
    'chunk log'
    """
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()
