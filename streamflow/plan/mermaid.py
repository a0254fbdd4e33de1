"""A graph as a Mermaid flowchart, which code hosts and documentation tools draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from streamflow.plan.outline import Box, Outline


def mermaid(outlines: Sequence[Outline]) -> str:
    """One flowchart; several graphs, and the stages of each, are frames in it.

    >>> from streamflow.plan.outline import Arrow
    >>> read = Box(number=1, step="bids", title="read", details=(), line="", arrows=())
    >>> write = Box(number=2, step="out", title="write", details=(), line="", arrows=(Arrow(1, "by key"),))
    >>> print(mermaid([Outline("a flow", (read, write))]))
    ---
    title: "a flow"
    ---
    flowchart TD
        g1n1["<b>bids</b><br/>read"]
        g1n2["<b>out</b><br/>write"]
        g1n1 -. "exchange by key" .-> g1n2
    """
    lines = ["---", f'title: "{_mermaid_text(outlines[0].title)}"', "---"] if len(outlines) == 1 else []
    lines.append("flowchart TD")
    for index, outline in enumerate(outlines, 1):
        prefix = f"g{index}"
        body = list(_mermaid_graph(outline, prefix))
        if len(outlines) > 1:
            body = list(_frame(prefix, outline.title, body))
        lines += [f"    {line}" for line in body]
    return "\n".join(lines)


def _mermaid_graph(outline: Outline, prefix: str) -> Iterator[str]:
    for stage, heading in enumerate(outline.stages or ("",)):
        boxes = [_mermaid_box(box, prefix) for box in outline.boxes if box.stage == stage]
        yield from _frame(f"{prefix}s{stage + 1}", heading, boxes) if heading else boxes
    for box in outline.boxes:
        for arrow in box.arrows:
            link = "-->" if arrow.exchange is None else f'-. "exchange {_mermaid_text(arrow.exchange)}" .->'
            yield f"{prefix}n{arrow.source} {link} {prefix}n{box.number}"


def _frame(name: str, heading: str, body: Sequence[str]) -> Iterator[str]:
    yield f'subgraph {name} ["{_mermaid_text(heading)}"]'
    yield from (f"    {line}" for line in body)
    yield "end"


def _mermaid_box(box: Box, prefix: str) -> str:
    text = _mermaid_text(box.title)
    label = f"<b>{_mermaid_text(box.step)}</b><br/>{text}" if box.step else text
    return f'{prefix}n{box.number}["{label}"]'


def _mermaid_text(text: str) -> str:
    """Mermaid writes what its syntax uses as entities that start with #."""
    entities = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;"}
    return "".join(entities.get(character, character) for character in text)
