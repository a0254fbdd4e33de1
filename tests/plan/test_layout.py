"""Where boxes stand: in layers, without overlap, near what they are connected with."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streamflow.plan.layout import GAP_ACROSS, Layout, Size, lay_out, spread
from streamflow.plan.outline import Arrow, Box, Outline


def box(number: int, *sources: int, stage: int = 0) -> Box:
    return Box(number=number, step="", title="", details=(), line="", arrows=tuple(map(Arrow, sources)), stage=stage)


def laid_out(*boxes: Box, stages: int = 0) -> Layout:
    sizes = {one.number: Size(100.0, 50.0) for one in boxes}
    return lay_out(Outline("t", boxes, tuple("s" * stages)), sizes)


def test_a_chain_stands_in_one_line() -> None:
    layout = laid_out(box(1), box(2, 1), box(3, 2))
    assert layout.layers == ((1,), (2,), (3,))
    assert layout.centre == {1: 50.0, 2: 50.0, 3: 50.0}


def test_a_fork_stands_above_the_middle_of_its_branches() -> None:
    layout = laid_out(box(1), box(2, 1), box(3, 1))
    assert layout.centre[1] == (layout.centre[2] + layout.centre[3]) / 2
    assert layout.centre[3] - layout.centre[2] == 100.0 + GAP_ACROSS


def test_a_source_stands_right_above_what_reads_it() -> None:
    layout = laid_out(box(1), box(2, 1), box(3), box(4, 2, 3))
    assert layout.layers == ((1,), (2, 3), (4,))


def test_an_arrow_that_passes_a_layer_has_a_place_in_it() -> None:
    layout = laid_out(box(1), box(2, 1), box(3, 2, 1))
    assert layout.layers == ((1,), (2, -1), (3,))
    assert layout.paths[3, 1] == (1, -1, 3)


def test_arrows_do_not_cross_where_they_need_not() -> None:
    layout = laid_out(box(1), box(2), box(3, 2), box(4, 1))
    upper, lower = layout.layers
    assert [{1: 4, 2: 3}[number] for number in upper] == list(lower)


def test_a_stage_stands_below_all_of_the_one_before() -> None:
    layout = laid_out(box(1), box(2, 1), box(3, 2), box(4, 1, stage=1), stages=2)
    assert layout.layers[3] == (4,)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=8))
@settings(max_examples=50)
def test_spread_keeps_the_distance_and_the_mean_of_those_that_it_moves(wanted: list[int]) -> None:
    placed = spread(wanted, [10.0] * (len(wanted) - 1))
    assert all(right - left > 10 - 1e-9 for left, right in pairwise(placed))
    assert abs(sum(placed) - sum(wanted)) < 1e-6


@st.composite
def graphs(draw: st.DrawFn) -> list[Box]:
    boxes = []
    for number in range(1, draw(st.integers(1, 12)) + 1):
        sources = draw(st.sets(st.integers(1, number - 1), max_size=2)) if number > 1 else set()
        boxes.append(box(number, *sorted(sources)))
    return boxes


@given(graphs())
@settings(max_examples=50)
def test_in_any_graph_no_two_boxes_overlap_and_arrows_lead_down(boxes: list[Box]) -> None:
    layout = laid_out(*boxes)
    layer_of = {place: index for index, layer in enumerate(layout.layers) for place in layer}
    for layer in layout.layers:
        numbers = [place for place in layer if place > 0]
        assert numbers
        assert all(layout.centre[b] - layout.centre[a] > 100 + GAP_ACROSS - 1e-6 for a, b in pairwise(numbers))
    for path in layout.paths.values():
        assert all(layer_of[lower] == layer_of[upper] + 1 for upper, lower in pairwise(path))
