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
    """`series`: (key, [places] values, None where there is none). `ends` [series][places]: intervals, drawn as whiskers."""
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

    rows = [[name, *(_shown(values[place]) for _, values in series)] for place, name in enumerate(places)]
    return picture(
        title, [key for key, _ in series], draw, table([x_label, *(key.label for key, _ in series)], rows), note
    )


def _bar(left: float, width: float, value: float, y: Scale, hint: str) -> Markup:
    top, bottom = sorted((y(value), y(0)))
    return tag(
        "rect", tag("title", hint), x=left, y=top, width=max(width - 1.5, 0.5), height=bottom - top, class_="bar"
    )


def _told(place: str, key: Key, value: float) -> str:
    return f"{place}\n{key.label}: {_shown(value)}"


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _fitting(places: Sequence[str], box: Box) -> list[str]:
    """Names that would run into each other are broken to their first letters' worth of room."""
    room = int((box.right - box.left) / len(places) / 6.2)
    return [name if len(name) <= room else name[: max(1, room - 1)] + "…" for name in places]
