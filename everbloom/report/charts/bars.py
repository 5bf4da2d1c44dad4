"""Groups of upright bars, one colour a series."""

from collections.abc import Sequence

from everbloom.report.charts.frame import Box, Key, axes, picture, table
from everbloom.report.charts.scale import Scale, headroom, nice_ticks
from everbloom.report.markup import Markup, joined, tag


def bar_chart(
    title: str,
    places: Sequence[str],
    series: Sequence[tuple[Key, Sequence[float | None]]],
    x_label: str,
    y_label: str,
    ends: Sequence[Sequence[tuple[float, float] | None]] = (),
    note: str | None = None,
) -> Markup:
    """`places`: names, which may have two lines. `series`: (key, [places] values, None where there is none). `ends` [series][places]: whiskers."""
    known = [value for _, values in series for value in values if value is not None]
    known += [end for row in ends for pair in row if pair is not None for end in pair]
    bottom, top = headroom(known)

    def draw(box: Box) -> Markup:
        x = Scale(0, len(places), box.left, box.right)
        y = Scale(bottom, top, box.bottom, box.top)
        room = (x(1) - x(0)) * 0.76 / len(series)
        bars = []
        for number, (key, values) in enumerate(series):
            drawn = [
                _bar(x(place) + (x(1) - x(0)) * 0.12 + number * room, room, value, y, _told(places[place], key, value))
                for place, value in enumerate(values)
                if value is not None
            ]
            whiskers = [
                tag("line", x1=at, x2=at, y1=y(pair[0]), y2=y(pair[1]), class_="whisker")
                for place, pair in enumerate(ends[number] if ends else ())
                if pair is not None
                for at in [x(place) + (x(1) - x(0)) * 0.12 + (number + 0.5) * room]
            ]
            bars.append(tag("g", drawn, whiskers, data_series=str(number), class_=key.classes))
        ticks = [(place + 0.5, name) for place, name in enumerate(_fitting(places, box))]
        return joined(axes(box, x, y, ticks, nice_ticks(bottom, top), x_label, y_label), bars)

    rows = [
        [name.replace("\n", " "), *(_shown(values[place]) for _, values in series)] for place, name in enumerate(places)
    ]
    return picture(
        title, [key for key, _ in series], draw, table([x_label, *(key.label for key, _ in series)], rows), note
    )


def _bar(left: float, width: float, value: float, y: Scale, hint: str) -> Markup:
    top, bottom = sorted((y(value), y(0)))
    return tag(
        "rect", tag("title", hint), x=left, y=top, width=max(width - 1.5, 0.5), height=bottom - top, class_="bar"
    )


def _told(place: str, key: Key, value: float) -> str:
    return f"{place.replace(chr(10), ' ')}\n{key.label}: {_shown(value)}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _fitting(places: Sequence[str], box: Box) -> list[str]:
    """Names that would run into each other take two lines, and lose their ends where even these are too short."""
    room = max(3, int((box.right - box.left) / len(places) / 6.4))
    return [
        name if len(name) <= room and "\n" not in name else "\n".join(_cut(line, room) for line in _halves(name))
        for name in places
    ]


def _halves(name: str) -> list[str]:
    first, _, rest = name.partition("\n" if "\n" in name else " ")
    return [first, rest] if rest else [first]


def _cut(line: str, room: int) -> str:
    return line if len(line) <= room else line[: room - 1] + "…"
