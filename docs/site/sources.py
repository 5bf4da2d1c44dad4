"""Pages link to files of the repository beside docs/; on the site each such file is a page of its own, so that no link leaves it or breaks.

A folder becomes the list of its files. A link to nothing is left as it is, and the strict build refuses it.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)#\s]+)(#[^)]*)?\)")
_LANGUAGES = {".py": "python", ".toml": "toml", ".csv": "text"}
_PLACE = "source"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds a page for everything outside docs/ that a page links to."""
    repository = Path(config.docs_dir).parent
    wanted = {
        target
        for file in files.documentation_pages()
        for link, _ in _LINK.findall(file.content_string)
        if (target := _outside(file.src_uri, link)) is not None and (repository / target).exists()
    }
    for target in sorted(wanted):
        files.append(File.generated(config, _page(target), content=_content(repository / target, target)))
    return files


def on_page_markdown(markdown: str, page, config: MkDocsConfig, files: Files) -> str:  # type: ignore[no-untyped-def]
    """Sends links to them."""

    def changed(match: re.Match[str]) -> str:
        target = _outside(page.file.src_uri, match[1])
        if target is None or files.get_file_from_path(_page(target)) is None:
            return match[0]
        return f"]({posixpath.relpath(_page(target), posixpath.dirname(page.file.src_uri) or '.')})"

    return _LINK.sub(changed, markdown)


def _outside(page: str, link: str) -> str | None:
    """The path in the repository of what a page under docs/ links to; None if it is under docs/ too, or outside of the repository."""
    place = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link))
    return None if place == "docs" or place.startswith(("docs/", "../")) else place


def _page(target: str) -> str:
    return f"{_PLACE}/{target}.md"


def _content(path: Path, target: str) -> str:
    if path.is_dir():
        names = sorted(file.relative_to(path).as_posix() for file in path.rglob("*") if file.suffix in _LANGUAGES)
        return f"# {target}\n\n" + "\n".join(f"- `{name}`" for name in names) + "\n"
    language = _LANGUAGES.get(path.suffix, "text")
    return f"# {target}\n\n`````{language}\n{path.read_text(encoding='utf-8')}\n`````\n"
