"""The page: one file that holds all it needs."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from string import Template

from everbloom.report.markup import Markup, joined, tag
from everbloom.report.section import Section


def page(title: str, subtitle: str, sections: Sequence[Section], runs: int) -> str:
    """HTML. Its security policy allows the script and the style that it holds, by their hashes, and no request to anywhere."""
    style, script = _part("page.css"), _part("page.js")
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


def _part(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8").strip()


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
