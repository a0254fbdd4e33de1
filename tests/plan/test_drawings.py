"""SVG and Mermaid: what is in them, and that they are well formed."""

from __future__ import annotations

from xml.etree import ElementTree

from streamflow.plan.mermaid import mermaid
from streamflow.plan.outline import Arrow, Box, Outline
from streamflow.plan.svg import svg

SVG = "{http://www.w3.org/2000/svg}"

TWO_STAGES = Outline(
    "words: physical graph",
    (
        Box(number=1, step="words", title="read memory", details=(), line="words.py:7", arrows=()),
        Box(
            number=2,
            step="after words",
            title="filter col('n') < 3 & col('w') == \"a\"",
            details=(),
            line="",
            arrows=(Arrow(1),),
        ),
        Box(
            number=3,
            step="counts",
            title="running aggregate",
            details=(("state", "table (keyed table)"), ("columns", "word: string")),
            line="",
            arrows=(Arrow(2, "by word"),),
            stage=1,
        ),
        Box(number=4, step="out", title="write memory", details=(), line="", arrows=(Arrow(3),), stage=1),
    ),
    ("stage 1: 2 tasks", "stage 2: 2 tasks"),
)


def drawn(*outlines: Outline) -> ElementTree.Element:
    return ElementTree.fromstring(svg(outlines))


def classes(root: ElementTree.Element, tag: str) -> list[str]:
    return [element.get("class", "") for element in root.iter(f"{SVG}{tag}")]


def words(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in root.iter(f"{SVG}text")]


def test_a_drawing_has_a_box_for_each_step_and_a_frame_for_each_stage() -> None:
    rectangles = classes(drawn(TWO_STAGES), "rect")
    assert rectangles.count("frame") == 2
    assert [name for name in rectangles if name.startswith("box")] == ["box source", "box", "box state", "box sink"]


def test_an_exchange_is_dashed_and_says_its_keys() -> None:
    root = drawn(TWO_STAGES)
    arrows = [element.get("class") for element in root.iter(f"{SVG}path") if element.get("marker-end")]
    assert arrows == ["arrow", "arrow exchange", "arrow"]
    assert "exchange by word" in words(root)
    assert ".exchange { stroke: #8250df; stroke-dasharray: 6 4 }" in svg([TWO_STAGES])


def test_boxes_say_the_step_what_it_does_the_line_and_the_state() -> None:
    said = words(drawn(TWO_STAGES))
    for text in (
        "words",
        "read memory",
        "words.py:7",
        "filter col('n') < 3 & col('w') == \"a\"",
        "state: table (keyed table)",
    ):
        assert text in said
    assert not [text for text in said if "columns" in text]


def test_a_long_label_is_broken_and_its_box_grows() -> None:
    long = Outline("t", (Box(number=1, step="s", title="word " * 40, details=(), line="", arrows=()),))
    root = drawn(long)
    assert max(map(len, words(root))) <= 38
    (rectangle,) = [element for element in root.iter(f"{SVG}rect") if element.get("class") == "box source"]
    assert float(rectangle.get("height", 0)) > 100


def test_everything_lies_within_the_page() -> None:
    root = drawn(TWO_STAGES)
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    for element in root.iter(f"{SVG}rect"):
        x, y = float(element.get("x", 0)), float(element.get("y", 0))
        assert 0 <= x <= x + float(element.get("width", 0)) <= width
        assert 0 <= y <= y + float(element.get("height", 0)) <= height


def test_a_drawing_follows_the_viewers_light_or_dark() -> None:
    assert "@media (prefers-color-scheme: dark)" in svg([TWO_STAGES])


def test_several_graphs_stand_one_below_the_other() -> None:
    one, two = drawn(TWO_STAGES), drawn(TWO_STAGES, TWO_STAGES)
    assert float(two.get("height", 0)) > 1.8 * float(one.get("height", 0))


def test_mermaid_has_stages_as_frames_and_dotted_exchanges() -> None:
    assert (
        mermaid([TWO_STAGES])
        == """\
---
title: "words: physical graph"
---
flowchart TD
    subgraph g1s1 ["stage 1: 2 tasks"]
        g1n1["<b>words</b><br/>read memory"]
        g1n2["<b>after words</b><br/>filter col('n') #lt; 3 #amp; col('w') == #quot;a#quot;"]
    end
    subgraph g1s2 ["stage 2: 2 tasks"]
        g1n3["<b>counts</b><br/>running aggregate"]
        g1n4["<b>out</b><br/>write memory"]
    end
    g1n1 --> g1n2
    g1n2 -. "exchange by word" .-> g1n3
    g1n3 --> g1n4"""
    )


def test_mermaid_of_several_graphs_has_a_frame_for_each() -> None:
    text = mermaid([Outline("a", TWO_STAGES.boxes), Outline("b", TWO_STAGES.boxes)])
    assert text.startswith('flowchart TD\n    subgraph g1 ["a"]\n')
    assert '    subgraph g2 ["b"]\n        g2n1[' in text
