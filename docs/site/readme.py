"""The site's first page is the README, and the decisions have a page that lists them; a code host shows both without help."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds `index.md` and `decisions/index.md`."""
    docs = Path(config.docs_dir)
    readme = (docs.parent / "README.md").read_text(encoding="utf-8")
    index = re.sub(r"\]\(docs/decisions/?\)", "](docs/decisions/index.md)", readme)
    index = re.sub(r"\]\((?![a-z]+:|#|docs/)", "](../", index)  # the page is one folder deeper than the README
    index = index.replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=index))
    pages = sorted((docs / "decisions").glob("*.md"))
    lines = [f"- [{_title(page)}]({page.name})" for page in pages]
    told = "# Decisions\n\nWhy it is built as it is, and what was tried and did not help.\n\n"
    files.append(File.generated(config, "decisions/index.md", content=told + "\n".join(lines) + "\n"))
    return files


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
