"""The documentation keeps up with the code: the reference is generated, links resolve, files that are named exist."""

import re
from pathlib import Path

import pytest

from everbloom.reference import experiment_reference

REPO = Path(__file__).parent.parent
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").rglob("*.md"))]


def test_the_reference_of_the_experiment_file_is_current():
    told = "run: python -m everbloom.reference > docs/experiment-file.md"
    assert (REPO / "docs" / "experiment-file.md").read_text(encoding="utf-8") == experiment_reference(), told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!https?://)([^)#]+)\)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    for name in re.findall(r"configs/[\w-]+\.toml", text):
        assert (REPO / name).is_file(), f"{page.name} names {name}"


def test_the_page_on_extending_shows_code_that_runs():
    text = (REPO / "docs" / "extending.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(# everbloom/aggregation/fedlion.py\n.*?)```", text, re.DOTALL)
    assert code is not None
    space: dict[str, object] = {}
    exec(compile(code[1], "fedlion.py", "exec"), space)
    import numpy as np

    lion = space["FedLion"](name="fedlion", learning_rate=0.5)
    parameters = np.zeros(2, dtype=np.float32)
    moved, state = lion.apply(lion.init(parameters), parameters, np.array([2.0, -3.0], dtype=np.float32))
    assert moved.tolist() == [0.5, -0.5]
    assert np.allclose(state["m"], [0.2, -0.3])
