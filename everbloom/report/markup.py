"""HTML and SVG as nested calls: every text is escaped unless it is markup already, so that no title and no path becomes part of the page's code."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = {"meta", "link", "br", "hr"}


class Markup(str):
    """Text that is markup already."""

    __slots__ = ()


Child: TypeAlias = "str | float | Iterable[Child] | None"


def tag(name: str, *children: Child, **attributes: str | float | bool | None) -> Markup:
    """One element. An attribute's trailing underscore is dropped and others become hyphens (`class_`, `data_tip`); None and False leave it out."""
    shown = "".join(
        _attribute(key, value) for key, value in attributes.items() if value is not None and value is not False
    )
    if name in _VOID:
        return Markup(f"<{name}{shown}>")
    return Markup(f"<{name}{shown}>{joined(*children)}</{name}>")


def joined(*children: Child) -> Markup:
    """Children one after the other, escaped where they are plain text."""
    return Markup("".join(_text(child) for child in children))


def _text(child: Child) -> str:
    if child is None:
        return ""
    if isinstance(child, Markup):
        return str.__str__(child)
    if isinstance(child, str):
        return escape(child, quote=False)
    if isinstance(child, (int, float)):
        return number(child)
    return "".join(_text(part) for part in child)


def _attribute(key: str, value: str | float | bool) -> str:
    name = key.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    return f' {name}="{escape(value if isinstance(value, str) else number(value))}"'


def number(value: float) -> str:
    """A coordinate or a number in as few characters as two decimals allow."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
