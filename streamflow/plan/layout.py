"""Where the boxes of a drawing stand: layers from top to bottom, few crossings, straight arrows.

The usual four steps of a layered drawing (Sugiyama, Tagawa and Toda 1981): layers by longest path, places for arrows
that pass a layer, order within a layer by the mean of the neighbours, then positions. Positions are least squares under
"at least so far apart", solved exactly by pooling neighbours that would overlap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from streamflow.plan.outline import Outline

GAP_ACROSS = 36.0
_SWEEPS = 8


@dataclass(frozen=True, slots=True)
class Size:
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Layout:
    """`layers`: what stands in each layer, from left to right: numbers of boxes, and negative ones where arrows pass.

    `centre`: the horizontal middle of each. `paths`: for each arrow (box, place among the box's arrows) what it runs
    through, from the source to the box.
    """

    layers: tuple[tuple[int, ...], ...]
    centre: Mapping[int, float]
    paths: Mapping[tuple[int, int], tuple[int, ...]]


def lay_out(outline: Outline, sizes: Mapping[int, Size]) -> Layout:
    """Layers, order and horizontal places. All boxes of a stage stand above those of the next."""
    layer_of = _layers(outline)
    paths = _paths(outline, layer_of)
    layers: list[list[int]] = [[] for _ in range(1 + max(layer_of.values(), default=-1))]
    for place, layer in layer_of.items():
        layers[layer].append(place)
    neighbours = _neighbours(paths)
    _order(layers, neighbours)
    return Layout(tuple(map(tuple, layers)), _positions(layers, neighbours, sizes), paths)


def _layers(outline: Outline) -> dict[int, int]:
    """Each box one below the lowest that it takes rows from; sources move down to what reads them."""
    layer: dict[int, int] = {}
    readers: defaultdict[int, list[int]] = defaultdict(list)
    first = 0
    for stage in range(max(1, len(outline.stages))):
        boxes = [box for box in outline.boxes if box.stage == stage]
        for box in boxes:
            layer[box.number] = max([first, *(layer[arrow.source] + 1 for arrow in box.arrows)])
            for arrow in box.arrows:
                readers[arrow.source].append(box.number)
        for box in boxes:
            here = [layer[reader] for reader in readers[box.number] if outline.box(reader).stage == stage]
            if not box.arrows and here:
                layer[box.number] = min(here) - 1
        first = 1 + max((layer[box.number] for box in boxes), default=first - 1)
    return layer


def _paths(outline: Outline, layer_of: dict[int, int]) -> dict[tuple[int, int], tuple[int, ...]]:
    """Arrows as steps of one layer each; the places where they pass a layer are added to `layer_of`."""
    paths = {}
    passing = 0
    for box in outline.boxes:
        for place, arrow in enumerate(box.arrows):
            path = [arrow.source]
            for layer in range(layer_of[arrow.source] + 1, layer_of[box.number]):
                passing -= 1
                layer_of[passing] = layer
                path.append(passing)
            paths[box.number, place] = (*path, box.number)
    return paths


@dataclass(frozen=True, slots=True)
class _Neighbours:
    above: defaultdict[int, list[int]]
    below: defaultdict[int, list[int]]


def _neighbours(paths: Mapping[tuple[int, int], Sequence[int]]) -> _Neighbours:
    found = _Neighbours(defaultdict(list), defaultdict(list))
    for path in paths.values():
        for upper, lower in pairwise(path):
            found.above[lower].append(upper)
            found.below[upper].append(lower)
    return found


def _order(layers: list[list[int]], neighbours: _Neighbours) -> None:
    """Sort each layer by the mean place of its neighbours in the layer before, downwards and upwards in turn."""
    for sweep in range(_SWEEPS):
        for index, beside, of in _sweep(len(layers), neighbours, down=sweep % 2 == 0):
            places = {place: number for number, place in enumerate(layers[beside])}
            own = {place: number for number, place in enumerate(layers[index])}
            around = {place: [places[other] for other in of[place]] for place in layers[index]}
            own = {place: number for number, place in enumerate(layers[index])}
            means = {place: _mean(around[place], own[place]) for place in layers[index]}
            layers[index].sort(key=means.__getitem__)


def _positions(layers: list[list[int]], neighbours: _Neighbours, sizes: Mapping[int, Size]) -> dict[int, float]:
    def width(place: int) -> float:
        return sizes[place].width if place > 0 else 0.0

    centre: dict[int, float] = {}
    for layer in layers:
        right = 0.0
        for place in layer:
            centre[place] = right + width(place) / 2
            right += width(place) + GAP_ACROSS
    for sweep in range(_SWEEPS):
        for index, _, of in _sweep(len(layers), neighbours, down=sweep % 2 == 0):
            layer = layers[index]
            wanted = [_mean([centre[other] for other in of[place]], centre[place]) for place in layer]
            apart = [(width(a) + width(b)) / 2 + GAP_ACROSS for a, b in pairwise(layer)]
            centre.update(zip(layer, spread(wanted, apart), strict=True))
    left = min((centre[place] - width(place) / 2 for place in centre), default=0.0)
    return {place: x - left for place, x in centre.items()}


def _sweep(
    count: int, neighbours: _Neighbours, *, down: bool
) -> Iterator[tuple[int, int, defaultdict[int, list[int]]]]:
    """The layers after the first in this direction: index, the layer before, and who is beside whom."""
    if down:
        yield from ((index, index - 1, neighbours.above) for index in range(1, count))
    else:
        yield from ((index, index + 1, neighbours.below) for index in range(count - 2, -1, -1))


def _mean(numbers: Sequence[float], otherwise: float) -> float:
    return sum(numbers) / len(numbers) if numbers else otherwise


def spread(wanted: Sequence[float], apart: Sequence[float]) -> list[float]:
    """The positions nearest to those wanted, in least squares, with `apart[i]` or more between i and i + 1.

    >>> spread([0, 0, 100], [10, 10])
    [-5.0, 5.0, 100.0]
    """
    offsets = [0.0]
    for distance in apart:
        offsets.append(offsets[-1] + distance)
    blocks: list[tuple[float, int]] = []  # the mean of what its members want, less their offsets; and how many they are
    for position, offset in zip(wanted, offsets, strict=False):
        mean, members = position - offset, 1
        while blocks and blocks[-1][0] > mean:
            above, others = blocks.pop()
            mean, members = (mean * members + above * others) / (members + others), members + others
        blocks.append((mean, members))
    means = [mean for mean, members in blocks for _ in range(members)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=False)]
