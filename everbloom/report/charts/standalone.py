"""A picture that stands alone: for a notebook, or a file."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from everbloom.errors import InputError
from everbloom.report.charts.frame import Box, Key
from everbloom.report.markup import Markup, tag
from everbloom.report.page import PICTURE, picture_style

_WIDTH, _HEIGHT = 820, 320
_ROW = 20
_HEAD = 34


@dataclass(frozen=True)
class Picture:
    """An SVG; a notebook shows it."""

    title: str
    svg: str = field(repr=False)

    def _repr_svg_(self) -> str:
        return self.svg

    def save(self, path: Path | str) -> None:
        """Writes the SVG. Raises `InputError` if it cannot be written, or another kind of file is asked for."""
        file = Path(path)
        if file.suffix != ".svg":
            raise InputError(f"{file}: a picture is an SVG; name it {file.with_suffix('.svg')}")
        try:
            file.write_text(self.svg, encoding="utf-8")
        except OSError as error:
            raise InputError(f"{file}: cannot be written: {error.strerror or error}") from None


def standalone(title: str, keys: Sequence[Key], draw: Callable[[Box], Markup]) -> Picture:
    """Title, legend and drawing, with their colours."""
    head = _HEAD + _ROW * len(keys)
    entries = [
        tag(
            "g",
            tag(
                "line",
                x1=20,
                x2=44,
                y1=_HEAD + _ROW * row,
                y2=_HEAD + _ROW * row,
                class_="curve" + (" level" if key.level else ""),
            ),
            tag("text", key.label, x=52, y=_HEAD + _ROW * row + 4, class_="tick"),
            class_=key.classes,
        )
        for row, key in enumerate(keys)
    ]
    made = tag(
        "svg",
        tag("style", Markup(picture_style())),
        tag("title", title),
        tag("rect", width="100%", height="100%", fill="#ffffff"),
        tag("text", title, x=20, y=20, font_size=15, font_weight=600, fill="#1d2420"),
        entries,
        tag("g", draw(Box(_WIDTH, _HEIGHT)), transform=f"translate(0 {head})"),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT + head}",
        width=_WIDTH,
        role="img",
        class_=PICTURE,
    )
    return Picture(title, made)
