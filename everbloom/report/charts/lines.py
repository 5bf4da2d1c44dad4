"""Curves over a common axis, with level lines and bands; what they are at a place is said in one hint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

from everbloom.report.charts.frame import Box, Key, axes, picture, table
from everbloom.report.charts.scale import Scale, headroom, nice_ticks, short, whole_ticks
from everbloom.report.markup import Markup, joined, number, tag

_MOST_MARKERS = 40


@dataclass(frozen=True)
class Line:
    """`points` (x, y), several at one x where a line jumps; a point's `band` is its interval's two ends. A `level` has one y everywhere."""

    label: str
    colour: int
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float]] = ()
    level: float | None = None

    @property
    def key(self) -> Key:
        """For the legend."""
        return Key(self.label, self.colour, self.level is not None)

    @cached_property
    def told(self) -> dict[float, str]:
        """x -> what the line says there."""
        ends = [_ends(self.band[at]) if self.band else "" for at in range(len(self.points))]
        found: dict[float, str] = {}
        for (x, y), end in zip(self.points, ends, strict=True):
            found[x] = f"{found[x]}, then {_value(y)}{end}" if x in found else _value(y) + end
        return found

    def at(self, place: float) -> str | None:
        """The same; of a level everywhere."""
        return self.told.get(place) if self.level is None else _value(self.level)


@dataclass(frozen=True)
class Axis:
    """`ticks` (value, label), default: chosen. `marks` (value, label): where something begins."""

    label: str
    log: bool = False
    whole: bool = True
    ticks: Sequence[tuple[float, str]] = ()
    marks: Sequence[tuple[float, str]] = field(default=())
    word: str = ""
    """What a place is called in hints and in the table; default: the label."""


def line_chart(title: str, lines: Sequence[Line], x_axis: Axis, y_label: str, note: str | None = None) -> Markup:
    """At least one line with a point."""
    numbers = _numbers(x_axis, _places(lines), lines)
    return picture(title, [line.key for line in lines], line_drawing(lines, x_axis, y_label), numbers, note)


def line_drawing(lines: Sequence[Line], x_axis: Axis, y_label: str) -> Callable[[Box], Markup]:
    """The picture alone, drawn into a box."""
    places = _places(lines)
    values = [y for line in lines for _, y in line.points]
    values += [end for line in lines for ends in line.band for end in ends]
    values += [line.level for line in lines if line.level is not None]
    bottom, top = headroom(values)
    hints = [_hint(x_axis, place, lines) for place in places]

    def draw(box: Box) -> Markup:
        margin = 12 if x_axis.log or len(places) < 12 else 0
        x = Scale(places[0], places[-1], box.left + margin, box.right - 12, x_axis.log)
        y = Scale(bottom, top, box.bottom, box.top)
        return joined(
            axes(box, x, y, _ticks(x_axis, places, box), nice_ticks(bottom, top), x_axis.label, y_label),
            [_mark(box, x(at), label) for at, label in x_axis.marks],
            [
                tag("g", _drawn(line, x, y, box), data_series=str(place), class_=line.key.classes)
                for place, line in enumerate(lines)
            ],
            _columns(box, [x(place) for place in places], hints),
        )

    return draw


def _places(lines: Sequence[Line]) -> list[float]:
    return sorted({x for line in lines for x, _ in line.points})


def _drawn(line: Line, x: Scale, y: Scale, box: Box) -> Markup:
    if line.level is not None:
        return tag("line", x1=box.left, x2=box.right, y1=y(line.level), y2=y(line.level), class_="curve level")
    band = None
    if any(low < high for low, high in line.band):
        upper = [
            f"{number(x(at))},{number(y(high))}" for (at, _), (_, high) in zip(line.points, line.band, strict=True)
        ]
        lower = [f"{number(x(at))},{number(y(low))}" for (at, _), (low, _) in zip(line.points, line.band, strict=True)]
        band = tag("polygon", points=" ".join([*upper, *reversed(lower)]), class_="band")
        if len(line.points) == 1:
            low, high = line.band[0]
            band = tag(
                "line", x1=x(line.points[0][0]), x2=x(line.points[0][0]), y1=y(low), y2=y(high), class_="whisker"
            )
    path = " ".join(f"{number(x(at))},{number(y(value))}" for at, value in line.points)
    few = len(line.points) <= _MOST_MARKERS
    dots = [tag("circle", cx=x(at), cy=y(value), r=3, class_="dot") for at, value in line.points] if few else []
    return joined(band, tag("polyline", points=path, class_="curve"), dots)


def _columns(box: Box, places: Sequence[float], hints: Sequence[str]) -> Markup:
    """Strips that reach half way to their neighbours, each with its hint."""
    edges = [box.left, *((a + b) / 2 for a, b in pairwise(places)), box.right]
    return tag(
        "g",
        [
            tag(
                "rect",
                tag("title", hint),
                x=left,
                y=box.top,
                width=max(right - left, 0.1),
                height=box.bottom - box.top,
                data_at=at,
            )
            for hint, at, (left, right) in zip(hints, places, pairwise(edges), strict=True)
        ],
        class_="columns",
    )


def _mark(box: Box, at: float, label: str) -> Markup:
    return joined(
        tag("line", x1=at, x2=at, y1=box.top, y2=box.bottom, class_="mark"),
        tag("text", label, x=at + 4, y=box.top + 10, class_="tick"),
    )


def _ticks(axis: Axis, places: Sequence[float], box: Box) -> Sequence[tuple[float, str]]:
    if axis.ticks:
        return axis.ticks
    chosen = (whole_ticks if axis.whole else nice_ticks)(places[0], places[-1], max(2, int(box.width / 110)))
    return [(tick, short(tick)) for tick in chosen]


def _hint(axis: Axis, place: float, lines: Sequence[Line]) -> str:
    told = [f"{line.label}: {value}" for line in lines if (value := line.at(place)) is not None]
    return "\n".join([f"{axis.word or axis.label} {_named(axis, place)}", *told])


def _numbers(axis: Axis, places: Sequence[float], lines: Sequence[Line]) -> Markup:
    rows = [[_named(axis, place), *(line.at(place) or "" for line in lines)] for place in places]
    return table([axis.word or axis.label, *(line.label for line in lines)], rows)


def _named(axis: Axis, place: float) -> str:
    return next((label for value, label in axis.ticks if value == place), short(place))


def _ends(band: tuple[float, float]) -> str:
    low, high = band
    return f" ({_value(low)} to {_value(high)})" if low < high else ""


def _value(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 1 else f"{value:,.4g}" if abs(value) < 1e4 else short(value)
