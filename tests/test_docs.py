"""The documentation keeps up with the code: the reference is generated, links resolve, files that are named exist, examples run."""

import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest

from client.randomness import SystemRandomness
from client.store import DeviceStore
from everbloom.experiment import parse_experiment
from everbloom.reference import experiment_reference
from everbloom.registry import Registry

REPO = Path(__file__).parent.parent
PAGES = [REPO / "README.md", REPO / "CHANGELOG.md", *sorted((REPO / "docs").rglob("*.md"))]
LINK = re.compile(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)")


def block(page: str, language: str, start: str) -> str:
    """The code block of a page that begins with `start`."""
    text = (REPO / "docs" / page).read_text(encoding="utf-8")
    found = re.search(rf"```{language}\n({re.escape(start)}.*?)```", text, re.DOTALL)
    assert found is not None, f"{page} has no {language} block that begins with {start!r}"
    return found[1]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as they are made where Markdown is shown."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_reference_of_the_experiment_file_is_current():
    told = "run: python -m everbloom.reference > docs/experiment-file.md"
    assert (REPO / "docs" / "experiment-file.md").read_text(encoding="utf-8") == experiment_reference(), told


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPO)))
def test_links_and_named_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for target, anchor in LINK.findall(text):
        there = page.parent / target if target else page
        assert there.exists(), f"{page.name} links to {target}"
        if anchor:
            assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"
    for name in re.findall(r"configs/[\w/-]+\.toml", text):
        assert (REPO / name).is_file(), f"{page.name} names {name}"


def test_the_page_on_extending_shows_a_method_that_would_conform():
    """The same checks as `test_methods.py` makes of a registered one."""
    space: dict[str, object] = {}
    exec(compile(block("extending.md", "python", "# everbloom/aggregation/nesterov.py"), "nesterov.py", "exec"), space)
    nesterov = space["Nesterov"]
    optimizer = nesterov.model_validate({"name": "nesterov"})
    goal = np.array([1.0, -2.0, 0.5], dtype=np.float32)
    parameters = np.zeros(3, dtype=np.float32)
    state = optimizer.init(parameters)
    moved, once = optimizer.apply(state, parameters, goal)
    np.testing.assert_allclose(moved, 1.9 * goal, rtol=1e-6)
    assert not parameters.any()
    assert not state["v"].any()
    for _ in range(400):
        parameters, state = optimizer.apply(state, parameters, (goal - parameters) * np.float32(0.3))
    np.testing.assert_allclose(parameters, goal, atol=0.05)
    assert parameters.dtype == once["v"].dtype == np.float32
    from everbloom.methods import ServerOptimizer

    registry: Registry[ServerOptimizer] = Registry("server optimizer", ServerOptimizer, {"nesterov": "unused:Nesterov"})
    registry.method_class = lambda name: nesterov  # what the line in methods/aggregation.py would find
    chosen = tomllib.loads(block("extending.md", "toml", "# the experiment"))["federation"]["optimizer"]
    assert registry.parse(chosen).momentum == 0.8


def test_the_page_on_data_shows_a_table_that_an_experiment_takes():
    tables = tomllib.loads(block("data.md", "toml", "[data]"))
    experiment = parse_experiment({"name": "shop", **tables})
    assert experiment.data.source.name == "table"
    assert experiment.data.source.item_fields == ("title", "brand")


def test_the_page_on_data_shows_shifts_that_an_experiment_takes():
    tables = tomllib.loads(block("data.md", "toml", '[data.source]\nname = "synthetic"'))
    shifts = parse_experiment({"name": "shift", **tables}).data.source.shifts
    assert [shift.at for shift in shifts] == [2, 4]


def test_the_page_on_populations_shows_tables_that_an_experiment_takes(monkeypatch):
    monkeypatch.chdir(REPO)
    tables = tomllib.loads(block("population.md", "toml", "[population]"))
    data = {"source": {"name": "synthetic"}}
    assert parse_experiment({"name": "night", "data": data, **tables}).population.dropout == 0.1
    shown = block("population.md", "", "profile,start,end")
    assert (REPO / "docs" / "population-trace.csv").read_text(encoding="utf-8").startswith(shown)
    inline = re.search(r"`(availability = \{ name = \"trace\".*?\})`", (REPO / "docs" / "population.md").read_text())
    population = {**tables["population"], **tomllib.loads(inline[1])}
    experiment = parse_experiment({"name": "night", "data": data, "population": population})
    presence = experiment.population.availability.open(1000, seed=1)
    assert 0 < presence.there(np.arange(1000), 3600.0).sum() < 1000
    assert set(presence.seconds_per_example(np.arange(1000))) == {0.02, 0.05, 0.01, 0.2}


def test_the_page_on_deploying_makes_devices_with_noise_of_their_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    shutil.copyfile(REPO / "configs" / "smoke.toml", tmp_path / "configs" / "smoke.toml")
    exec(compile(block("deploying.md", "python", "from pathlib import Path"), "deploying.py", "exec"), {})
    for user in (0, 1):
        device = DeviceStore(tmp_path / "devices" / str(user)).open()
        assert device.client == user
        assert isinstance(device.randomness, SystemRandomness)
        assert len(device.events)
