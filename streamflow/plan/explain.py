"""A flow's three graphs as text: as it was written, as the rules left it, and as n workers run it.

Rows go down the page. A line at the left leads from a step to the one below that takes its rows; where it breaks, the
next step says where its rows come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, TypeAlias

from streamflow.plan.logical.nodes import Write
from streamflow.plan.outline import Box, Outline, logical_outline, physical_outline, wrapped
from streamflow.plan.physical import DEFAULT_KEY_GROUPS
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise

GraphName: TypeAlias = 'Literal["logical", "optimised", "physical"]'
GRAPHS: tuple[GraphName, ...] = ("logical", "optimised", "physical")

WIDTH = 110
_LABEL = 12


def explain(
    graph: tuple[Write, ...],
    *,
    name: str = "flow",
    workers: int = 1,
    key_groups: int = DEFAULT_KEY_GROUPS,
    graphs: Sequence[GraphName] = GRAPHS,
) -> str:
    """The graphs of a flow (`flow.graph()`) as text, the same in every process.

    >>> import pyarrow as pa, streamflow as sf
    >>> from streamflow_connectors import memory
    >>> flow = sf.Flow("large-bids")
    >>> bids = flow.read("bids", memory.Source(pa.table({"price": [1, 200]})))
    >>> bids.filter(sf.col("price") > 100).write("out", memory.Sink())
    >>> print(explain(flow.graph(), name=flow.name, graphs=["logical"]))
    large-bids: logical graph
    <BLANKLINE>
    ...1  bids  read memory.Source(rows=2, splits=1) ...
    """
    return "\n\n\n".join(map(text, outlines(graph, name=name, workers=workers, key_groups=key_groups, graphs=graphs)))


def outlines(
    graph: tuple[Write, ...],
    *,
    name: str,
    workers: int = 1,
    key_groups: int = DEFAULT_KEY_GROUPS,
    graphs: Sequence[GraphName] = GRAPHS,
) -> list[Outline]:
    """The outlines of these graphs of a flow, in the order asked for."""
    made = []
    optimised = graph if set(graphs) == {"logical"} else optimise(graph)
    for which in graphs:
        match which:
            case "logical":
                made.append(logical_outline(graph, f"{name}: logical graph"))
            case "optimised":
                made.append(logical_outline(optimised, f"{name}: optimised graph"))
            case "physical":
                physical = place(optimised, name=name, workers=workers, key_groups=key_groups)
                title = f"{name}: physical graph, {_plural(workers, 'worker')}, {key_groups} key groups"
                made.append(physical_outline(physical, title + _share(workers, key_groups)))
    return made


def text(outline: Outline) -> str:
    """One graph as lines of at most `WIDTH` characters, as far as words allow."""
    steps = max((len(box.step) for box in outline.boxes), default=0)
    return "\n".join([outline.title, *_lines(outline, min(steps, 28))])


def _lines(outline: Outline, steps: int) -> Iterator[str]:
    previous: Box | None = None
    taken = {arrow.source for box in outline.boxes for arrow in box.arrows}
    for position, box in enumerate(outline.boxes):
        new_stage = bool(outline.stages) and (previous is None or previous.stage != box.stage)
        goes_on = previous is not None and _goes_on(previous, box)
        if not goes_on or new_stage:
            yield ""
        if new_stage:
            yield outline.stages[box.stage]
        if box.arrows and not goes_on:
            yield f"    from {', '.join(_origins(outline, box))}"
        following = outline.boxes[position + 1] if position + 1 < len(outline.boxes) else None
        gutter = "│" if box.number in taken and following is not None and _goes_on(box, following) else " "
        yield from _box(box, steps, gutter)
        previous = box


def _goes_on(above: Box, below: Box) -> bool:
    """Does `below` take its rows from `above` alone, in the same task?"""
    return [(arrow.source, arrow.exchange) for arrow in below.arrows] == [(above.number, None)] and (
        above.stage == below.stage
    )


def _origins(outline: Outline, box: Box) -> Iterator[str]:
    for arrow in box.arrows:
        source = outline.box(arrow.source)
        moved = "" if arrow.exchange is None else f", exchanged {arrow.exchange}"
        yield f"{arrow.source} {source.step}".rstrip() + moved


def _box(box: Box, steps: int, gutter: str) -> Iterator[str]:
    indent = 4 + (steps + 2 if steps else 0)
    room = WIDTH - indent
    first, *more = wrapped(box.title, room - len(box.line) - 2)
    head = f"{box.number:>2}  {box.step:<{steps}}  {first}" if steps else f"{box.number:>2}  {first}"
    if len(box.step) > steps:
        head = f"{box.number:>2}  {box.step}  {first}"
    yield f"{head:<{WIDTH - len(box.line)}}{box.line}".rstrip()
    margin = f"    {gutter}".ljust(indent)
    for line in more:
        yield f"{margin}  {line}"
    for label, content in box.details:
        start, *rest = wrapped(content, room - _LABEL)
        yield f"{margin}{label:<{_LABEL}}{start}"
        for line in rest:
            yield f"{margin}{'':<{_LABEL}}{line}"


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _share(workers: int, key_groups: int) -> str:
    if workers == 1:
        return ""
    fewest, more = divmod(key_groups, workers)
    return f" ({fewest} or {fewest + 1} on each)" if more else f" ({fewest} on each)"
