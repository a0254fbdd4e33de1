"""A flow's three graphs as text: as it was written, as the rules left it, and as n workers run it.

Rows go down the page. A line at the left leads from a step to the one below that takes its rows; where it breaks, the
next step says where its rows come from.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamflow.plan.logical.nodes import Write
from streamflow.plan.outline import Arrow, Box, Outline, logical_outline, physical_outline, wrapped
from streamflow.plan.physical import DEFAULT_KEY_GROUPS
from streamflow.plan.placement import place
from streamflow.plan.rules import optimise

GraphName: TypeAlias = 'Literal["logical", "optimised", "physical"]'
GRAPHS: tuple[GraphName, ...] = ("logical", "optimised", "physical")

WIDTH = 110
_LABEL, _STEPS = 12, 28


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


def text(outline: Outline, width: int = WIDTH) -> str:
    """One graph as lines of at most `width` characters, as far as words allow."""
    steps = min(max((len(box.step) for box in outline.boxes), default=0), _STEPS)
    return "\n".join([outline.title, *_Page(outline, width, steps).lines()])


@dataclass(frozen=True, slots=True)
class _Page:
    """`steps`: the width of the column of step names; 0 when no step has one."""

    outline: Outline
    width: int
    steps: int

    def lines(self) -> Iterator[str]:
        boxes = self.outline.boxes
        for above, box, below in zip((None, *boxes), boxes, (*boxes[1:], None), strict=False):
            goes_on = _goes_on(above, box)
            if not goes_on:
                yield from self._break(above, box)
            yield from self._box(box, "│" if _goes_on(box, below) else " ")

    def _break(self, above: Box | None, box: Box) -> Iterator[str]:
        """What stands before a step that does not simply take the rows of the one above it."""
        yield ""
        if self.outline.stages and (above is None or above.stage != box.stage):
            yield self.outline.stages[box.stage]
        if box.arrows:
            yield f"    from {' and '.join(self._origin(arrow) for arrow in box.arrows)}"

    def _origin(self, arrow: Arrow) -> str:
        moved = "" if arrow.exchange is None else f", exchanged {arrow.exchange}"
        return f"{arrow.source} {self.outline.box(arrow.source).step}".rstrip() + moved

    def _box(self, box: Box, gutter: str) -> Iterator[str]:
        indent = 4 + (self.steps + 2 if self.steps else 0)
        margin = f"    {gutter}".ljust(indent)
        title = wrapped(box.title, self.width - indent - len(box.line) - 2)
        start = f"{box.number:>2}  {box.step:<{self.steps}}"
        if len(box.step) <= self.steps:
            start = f"{start:<{indent}}{title.pop(0)}"
        yield f"{start:<{self.width - len(box.line)}}{box.line}".rstrip()
        for line in title:
            yield f"{margin}  {line}"
        for label, content in box.details:
            for line in wrapped(content, self.width - indent - _LABEL):
                yield f"{margin}{label:<{_LABEL}}{line}"
                label = ""


def _goes_on(above: Box | None, below: Box | None) -> bool:
    """Does `below` take its rows from `above` alone, in the same task?"""
    if above is None or below is None or above.stage != below.stage:
        return False
    return below.arrows == (Arrow(above.number),)


def _plural(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _share(workers: int, key_groups: int) -> str:
    if workers == 1:
        return ""
    fewest, more = divmod(key_groups, workers)
    return f" ({fewest} or {fewest + 1} on each)" if more else f" ({fewest} on each)"
