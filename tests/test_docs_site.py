"""The documentation builds as a site: a warning is an error, no link is broken, and no page asks for anything elsewhere."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

REPO = Path(__file__).parent.parent


class Links(HTMLParser):
    """What a page links to and loads, and its anchors."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {key: value or "" for key, value in attrs}
        if "id" in found:
            self.anchors.add(found["id"])
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        if tag in ("script", "img") and "src" in found:
            self.loads.append(found["src"])
        if tag == "link" and found.get("rel") in ("stylesheet", "icon"):
            self.loads.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Builds it as `mkdocs build --strict` does."""
    from mkdocs.commands.build import build
    from mkdocs.config import load_config

    folder = tmp_path_factory.mktemp("site")
    config = load_config(str(REPO / "mkdocs.yml"), strict=True, site_dir=str(folder))
    build(config)
    return folder


def test_every_page_is_there_and_every_link_and_picture_too(site):
    pages = {page: Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html") if page.name != "404.html"}
    documents = {page.relative_to(REPO / "docs").with_suffix(".html") for page in (REPO / "docs").rglob("*.md")}
    assert documents | {Path("index.html"), Path("notebooks/quickstart.html")} <= {
        page.relative_to(site) for page in pages
    }
    for page, found in pages.items():
        for link in [*found.links, *found.loads]:
            path, anchor = urldefrag(unquote(link))
            if re.match(r"[a-z]+:", path):
                continue
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), f"{page.relative_to(site)} links to {link}"
            if anchor and there in pages:
                assert anchor in pages[there].anchors, f"{page.relative_to(site)} links to {link}"


def test_nothing_is_fetched_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loads = Links(page.read_text(encoding="utf-8")).loads
        assert not [address for address in loads if re.match(r"(https?:)?//", address)], page.name


def test_what_lies_beside_the_documentation_is_a_page_of_its_own(site):
    assert "Registry" in (site / "source" / "everbloom" / "methods" / "content.py.html").read_text(encoding="utf-8")
    assert "<svg" in (site / "notebooks" / "quickstart.html").read_text(encoding="utf-8")
    assert "everbloom demo" in (site / "index.html").read_text(encoding="utf-8")
