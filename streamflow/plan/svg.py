"""A graph as SVG, which needs nothing to be seen.

Boxes stand in layers from top to bottom, stages are frames, exchanges are dashed and say by which keys rows move.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from streamflow.plan.layout import Size, lay_out
from streamflow.plan.outline import Box, Outline, wrapped

_CHARACTERS = 38
"""Labels are broken at this many characters."""
_ADVANCE = 0.602
"""All text is in the viewer's monospaced font; such fonts advance by 0.60 of their size."""
_FONT_SIZES = {"title": 15.0, "more": 11.0, "keys": 12.0}
_SHOWN = ("computes", "watermark", "reads only", "state")
"""The details that a box has room for."""
_LINE = 17.0
_PAD = 12.0
_MARGIN = 24.0
_FRAME_PAD, _FRAME_HEAD = 18.0, 26.0
_GAP_DOWN, _GAP_STAGE = 34.0, 44.0
_TITLE = 36.0

_STYLE = """
text { font-family: ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; font-size: 13px; fill: #1f2328 }
.title { font-size: 15px; font-weight: bold }
.step { font-weight: bold }
.page { fill: #ffffff }
.more { fill: #59636e; font-size: 11px }
.heading { paint-order: stroke; stroke: #ffffff; stroke-width: 6px }
.box { fill: #f6f8fa; stroke: #818b98 }
.source { fill: #ddf4ff; stroke: #0969da }
.sink { fill: #dafbe1; stroke: #1a7f37 }
.state { fill: #fff8c5; stroke: #9a6700 }
.frame { fill: none; stroke: #d1d9e0; stroke-width: 1.5 }
.arrow { fill: none; stroke: #59636e; stroke-width: 1.5 }
.exchange { stroke: #8250df; stroke-dasharray: 6 4 }
.head { fill: #59636e }
.exchange-head { fill: #8250df }
.chip { fill: #ffffff; stroke: #8250df }
.keys { fill: #8250df; font-size: 12px }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.page { fill: #0d1117 }
.more { fill: #9198a1 }
.heading { stroke: #0d1117 }
.box { fill: #151b23; stroke: #656c76 }
.source { fill: #0c2d4d; stroke: #4493f8 }
.sink { fill: #0f2d1a; stroke: #3fb950 }
.state { fill: #342500; stroke: #d29922 }
.frame { stroke: #3d444d }
.arrow { stroke: #9198a1 }
.exchange { stroke: #ab7df8 }
.head { fill: #9198a1 }
.exchange-head { fill: #ab7df8 }
.chip { fill: #0d1117; stroke: #ab7df8 }
.keys { fill: #ab7df8 }
}
""".strip()


def svg(outlines: Sequence[Outline]) -> str:
    """A drawing of these graphs, one below the other; light or dark as the viewer prefers."""
    sheets, top = [], _MARGIN
    for outline in outlines:
        sheets.append(_Sheet(outline, top))
        top = sheets[-1].bottom + _MARGIN
    width = max(sheet.width for sheet in sheets) + 2 * _MARGIN
    size = f'width="{width:.0f}" height="{top:.0f}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:.0f} {top:.0f}" role="img">',
            f"<title>{escape('; '.join(outline.title for outline in outlines))}</title>",
            f"<style>{_STYLE}</style>",
            f"<defs>{_marker('head')}{_marker('exchange-head')}</defs>",
            f'<rect class="page" {size}/>',
            *(part for sheet in sheets for part in sheet.draw()),
            "</svg>",
        ]
    )


@dataclass(frozen=True, slots=True)
class _Label:
    """What stands in a box, line by line, each with its style."""

    lines: tuple[tuple[str, str], ...]

    @property
    def size(self) -> Size:
        width = max(_text_width(text, _FONT_SIZES.get(style, 13.0)) for text, style in self.lines)
        return Size(max(width + 2 * _PAD, 120.0), len(self.lines) * _LINE + 2 * _PAD - 4)


def _label(box: Box) -> _Label:
    lines = [(line, "step") for line in wrapped(box.step, _CHARACTERS)] if box.step else []
    lines += [(line, "what") for line in wrapped(box.title, _CHARACTERS)]
    for name, content in box.details:
        if name in _SHOWN:
            lines += [(line, "more") for line in wrapped(f"{name}: {content}", _CHARACTERS + 6)]
    if box.line:
        lines.append((box.line, "more"))
    return _Label(tuple(lines))


class _Sheet:
    """One graph, laid out below `top`."""

    def __init__(self, outline: Outline, top: float) -> None:
        self._outline = outline
        self._labels = {box.number: _label(box) for box in outline.boxes}
        self._sizes = {number: label.size for number, label in self._labels.items()}
        self._layout = lay_out(outline, self._sizes)
        self._top = top
        self._left = _MARGIN + (_FRAME_PAD if outline.stages else 0.0)
        self._inner = max(
            (self._layout.centre[number] + size.width / 2 for number, size in self._sizes.items()), default=0.0
        )
        self._rows = self._place_rows()

    @property
    def width(self) -> float:
        across = self._inner + (2 * _FRAME_PAD if self._outline.stages else 0.0)
        return max(across, _text_width(self._outline.title, _FONT_SIZES["title"]))

    @property
    def bottom(self) -> float:
        return self._rows[-1][1] + (_FRAME_PAD if self._outline.stages else 0.0)

    def draw(self) -> Iterator[str]:
        """Later parts lie over earlier ones: headings and keys over the arrows that cross them."""
        yield _text(self._outline.title, _MARGIN, self._top + 16, "title")
        frames = list(self._frames())
        yield from (_rect("frame", x, y, width, height, 10) for _, x, y, width, height in frames)
        chips = []
        for (target, place), path in self._layout.paths.items():
            exchange = self._outline.box(target).arrows[place].exchange
            points = self._points(path)
            yield _arrow(points, exchange is not None)
            if exchange is not None:
                chips += _chip(f"exchange {exchange}", points[-2:])
        yield from (_text(heading, x + 12, y + 18, "more heading") for heading, x, y, _, _ in frames)
        for box in self._outline.boxes:
            yield from self._box(box)
        yield from chips

    def _place_rows(self) -> list[tuple[float, float]]:
        """Upper and lower edge of each layer."""
        stage_of = {box.number: box.stage for box in self._outline.boxes}
        rows: list[tuple[float, float]] = []
        y, before = self._top + _TITLE, None
        for layer in self._layout.layers:
            boxes = [place for place in layer if place > 0]
            stage = stage_of[boxes[0]]
            if rows:
                y += _GAP_DOWN if stage == before else 2 * _FRAME_PAD + _GAP_STAGE
            if self._outline.stages and stage != before:
                y += _FRAME_HEAD
            height = max(self._sizes[number].height for number in boxes)
            rows.append((y, y + height))
            y, before = y + height, stage
        return rows

    def _frames(self) -> Iterator[tuple[str, float, float, float, float]]:
        """Of each stage its heading, left and upper edge, width and height."""
        layer_of = {place: index for index, layer in enumerate(self._layout.layers) for place in layer}
        for stage, heading in enumerate(self._outline.stages):
            layers = [layer_of[box.number] for box in self._outline.boxes if box.stage == stage]
            y = self._rows[min(layers)][0] - _FRAME_HEAD - 4
            yield heading, _MARGIN, y, self._inner + 2 * _FRAME_PAD, self._rows[max(layers)][1] + _FRAME_PAD - y

    def _box(self, box: Box) -> Iterator[str]:
        x, y = self._corner(box.number)
        size = self._sizes[box.number]
        yield _rect(f"box {_kind(box)}".rstrip(), x, y, size.width, size.height, 6)
        for index, (line, style) in enumerate(self._labels[box.number].lines):
            yield _text(line, x + _PAD, y + _PAD + 10 + index * _LINE, style)

    def _corner(self, number: int) -> tuple[float, float]:
        """The upper left corner of a box; boxes of a layer share a middle line."""
        size = self._sizes[number]
        upper, lower = next(row for row, layer in zip(self._rows, self._layout.layers, strict=True) if number in layer)
        return self._left + self._layout.centre[number] - size.width / 2, (upper + lower - size.height) / 2

    def _points(self, path: Sequence[int]) -> list[tuple[float, float]]:
        """Where an arrow leaves, passes layers and arrives: each passage is two points, straight down."""
        source, *passed, target = path
        points = [self._bottom_of(source)]
        for place in passed:
            upper, lower = next(
                row for row, layer in zip(self._rows, self._layout.layers, strict=True) if place in layer
            )
            x = self._left + self._layout.centre[place]
            points += [(x, upper), (x, lower)]
        return [*points, self._top_of(target, passed[-1] if passed else source)]

    def _bottom_of(self, number: int) -> tuple[float, float]:
        x, y = self._corner(number)
        size = self._sizes[number]
        return x + size.width / 2, y + size.height

    def _top_of(self, number: int, coming_from: int) -> tuple[float, float]:
        """Several arrows arrive side by side, in the order in which they come."""
        x, y = self._corner(number)
        lasts = sorted(
            (path[-2] for path in self._layout.paths.values() if path[-1] == number),
            key=self._layout.centre.__getitem__,
        )
        share = (lasts.index(coming_from) + 1) / (len(lasts) + 1)
        return x + self._sizes[number].width * share, y


def _kind(box: Box) -> str:
    """What a box is coloured by: where rows come in, where they go out, where state is kept."""
    if not box.arrows:
        return "source"
    if box.title.startswith("write "):
        return "sink"
    return "state" if any(name == "state" for name, _ in box.details) else ""


def _arrow(points: Sequence[tuple[float, float]], exchange: bool) -> str:
    (x, y), *more = points
    path = [f"M{x:.1f} {y:.1f}"]
    for x_to, y_to in more:
        middle = (y + y_to) / 2
        path.append(f"C{x:.1f} {middle:.1f} {x_to:.1f} {middle:.1f} {x_to:.1f} {y_to:.1f}")
        x, y = x_to, y_to
    style, head = ("arrow exchange", "exchange-head") if exchange else ("arrow", "head")
    return f'<path class="{style}" d="{"".join(path)}" marker-end="url(#{head})"/>'


def _chip(text: str, ends: Sequence[tuple[float, float]]) -> list[str]:
    """The keys of an exchange, in the middle of its last stretch."""
    (x0, y0), (x1, y1) = ends
    lines = wrapped(text, _CHARACTERS)
    width = max(_text_width(line, 12.0) for line in lines) + 16
    height = 15.0 * len(lines) + 6
    x, y = (x0 + x1 - width) / 2, (y0 + y1 - height) / 2 - 4
    return [
        _rect("chip", x, y, width, height, 9),
        *(_text(line, x + 8, y + 14 + 15 * index, "keys") for index, line in enumerate(lines)),
    ]


def _marker(name: str) -> str:
    size = 'viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"'
    return f'<marker id="{name}" {size} orient="auto"><path class="{name}" d="M0 0L10 5L0 10z"/></marker>'


def _rect(style: str, x: float, y: float, width: float, height: float, radius: float) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="{radius:.0f}"'
    return f'<rect class="{style}" {place}/>'


def _text(text: str, x: float, y: float, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" xml:space="preserve">{escape(text)}</text>'


def _text_width(text: str, size: float) -> float:
    return len(text) * size * _ADVANCE
