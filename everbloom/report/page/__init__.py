"""The page: one file that holds all it needs."""

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from string import Template

from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import Section

PICTURE = "everbloom-picture"


def page(title: str, subtitle: str, sections: Sequence[Section], runs: int) -> str:
    """HTML. Its security policy allows the script and the style that it holds, by their hashes, and no request to anywhere."""
    style = f":root {{ {_part('light.css')} }}\n{_part('page.css')}\n{_part('picture.css')}"
    script = _part("page.js")
    links = [tag("li", tag("a", section.title, href=f"#{section.anchor}")) for section in sections]
    bodies = [
        tag("section", tag("h2", section.title), section.body, id=section.anchor, aria_label=section.title)
        for section in sections
    ]
    return Template(_part("template.html")).substitute(
        title=joined(title),
        subtitle=joined(subtitle),
        style=style,
        style_hash=_hash(style),
        script=script,
        script_hash=_hash(script),
        links=joined(links),
        sections=Markup("\n").join(bodies),
        version=version("everbloom"),
        runs="one run" if runs == 1 else f"{runs} runs",
    )


def picture_style() -> str:
    """What a drawing of class `everbloom-picture` needs to stand alone, in light colours; it touches nothing else of the page it is put in."""
    rules = re.sub(r"(?m)(^|[,}] )\.", rf"\1.{PICTURE} .", _part("picture.css"))
    return f".{PICTURE} {{ {_part('light.css')} font-family: system-ui, sans-serif; }}\n{rules}"


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
