"""What every picture has: a legend of buttons, a drawing for wide and one for narrow pages, axes, and the numbers as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from everbloom.report.charts.scale import Scale, short
from everbloom.report.markup import Markup, joined, tag

SIZES = {"wide": (820, 320), "narrow": (400, 300)}
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 12, 56


@dataclass(frozen=True)
class Box:
    """The drawing's size and the plot's edges in it."""

    width: int
    height: int

    @property
    def left(self) -> float:
        """Where values begin."""
        return LEFT

    @property
    def right(self) -> float:
        """Where they end."""
        return self.width - RIGHT

    @property
    def top(self) -> float:
        """Upper edge."""
        return TOP

    @property
    def bottom(self) -> float:
        """Lower edge."""
        return self.height - BOTTOM


@dataclass(frozen=True)
class Key:
    """One entry of a legend. `colour` is its number in the page's palette; a `level` is a dashed line."""

    label: str
    colour: int
    level: bool = False

    @property
    def classes(self) -> str:
        """Of what is drawn for it."""
        return f"s{self.colour % 8}" + (f" turn{self.colour // 8}" if self.colour >= 8 else "")


def picture(
    title: str,
    keys: Sequence[Key],
    draw: Callable[[Box], Markup],
    numbers: Markup | None = None,
    note: str | None = None,
) -> Markup:
    """A figure. `draw` draws into a box and is called for each width of the page; `numbers` is what the picture shows, as a table."""
    drawings = [
        tag(
            "svg",
            tag("title", title),
            draw(Box(*size)),
            viewBox=f"0 0 {size[0]} {size[1]}",
            class_=name,
            role="img",
            aria_label=title,
            tabindex="0",
            focusable="true",
        )
        for name, size in SIZES.items()
    ]
    return tag(
        "figure",
        tag("figcaption", title),
        legend(keys) if len(keys) > 1 else None,
        drawings,
        tag("p", note, class_="note") if note else None,
        tag("details", tag("summary", "Numbers"), numbers, class_="numbers") if numbers else None,
        class_="chart",
    )


def legend(keys: Sequence[Key]) -> Markup:
    """Buttons that hide and show; without a script they are labels."""
    buttons = [
        tag(
            "button",
            tag("span", class_=f"swatch {key.classes}" + (" level" if key.level else ""), aria_hidden="true"),
            key.label,
            type="button",
            aria_pressed="true",
            data_key=str(place),
        )
        for place, key in enumerate(keys)
    ]
    return tag("div", buttons, class_="legend", role="group", aria_label="What is shown")


def axes(
    box: Box,
    x: Scale,
    y: Scale,
    x_ticks: Sequence[tuple[float, str]],
    y_ticks: Sequence[float],
    x_label: str,
    y_label: str,
) -> Markup:
    """Level lines with labels, ticks, and what the axes are."""
    levels = [
        joined(
            tag("line", x1=box.left, x2=box.right, y1=y(tick), y2=y(tick), class_="grid"),
            tag("text", short(tick), x=box.left - 8, y=y(tick) + 4, class_="tick end"),
        )
        for tick in y_ticks
    ]
    steps = [
        tag("text", line, x=x(tick), y=box.bottom + 18 + 13 * row, class_="tick middle")
        for tick, label in x_ticks
        for row, line in enumerate(label.split("\n"))
    ]
    return joined(
        levels,
        steps,
        tag("line", x1=box.left, x2=box.right, y1=box.bottom, y2=box.bottom, class_="axis"),
        tag("text", x_label, x=(box.left + box.right) / 2, y=box.height - 8, class_="name middle"),
        tag(
            "text",
            y_label,
            transform=f"translate(13 {(box.top + box.bottom) / 2:.0f}) rotate(-90)",
            class_="name middle",
        ),
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str | Markup]], caption: str | None = None) -> Markup:
    """A table whose first column names the rows; it scrolls sideways where the page is narrow."""
    body = [tag("tr", tag("th", row[0], scope="row"), [tag("td", cell) for cell in row[1:]]) for row in rows]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else None,
            tag("thead", tag("tr", [tag("th", name, scope="col") for name in head])),
            tag("tbody", body),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption or head[0],
    )
