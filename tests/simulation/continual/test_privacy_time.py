"""Methods, epsilons and periods at once: which runs there are, what they are compared with, what is drawn."""

import json
import shutil
from pathlib import Path

import pytest

from everbloom.errors import ConfigError, InputError
from everbloom.experiment import Experiment, load_experiment
from simulation.campaign.grid import Cell
from simulation.continual import course
from simulation.continual.grid import COMPARISON, Learner, cell_experiment, make_grid
from simulation.frontier.grid import Point

PRIVATE = ("privacy={unit = 'user', mechanism = 'central', epsilon = 4, delta = 1e-2}", "federation.sampler=poisson")


@pytest.fixture
def base(tiny_file) -> Experiment:
    return load_experiment(tiny_file, PRIVATE)


def test_every_method_with_every_epsilon(base):
    grid = make_grid(base, ["finetune,replay:budget=2"], 2, ["8,none,2"])
    assert [point.label for point in grid.points] == [
        "finetune, epsilon 2",
        "replay:budget=2, epsilon 2",
        "finetune, epsilon 8",
        "replay:budget=2, epsilon 8",
        "finetune, no privacy",
        "replay:budget=2, no privacy",
    ]
    names = [cell.name for cell in grid.cells]
    assert names[1] == "replay-budget=2-user-central-epsilon-2-seed-5"
    assert len(set(names)) == 12
    assert [COMPARISON.read(point.table) for point in grid.points] == list(grid.points)


def test_a_cell_changes_method_epsilon_and_seed(base):
    private = cell_experiment(base, Cell(Learner("ewc", (), Point("user", "central", 8.0)), 9))
    assert (private.seed, private.continual.method.name, private.privacy.epsilon) == (9, "ewc", 8)
    assert (private.privacy.delta, private.federation) == (base.privacy.delta, base.federation)
    open_ = cell_experiment(base, Cell(Learner("ewc", (), Point("none", None, None)), 9))
    assert open_.privacy.unit == "none"
    assert cell_experiment(base, Cell(Learner("ewc"), 9)).privacy == base.privacy


def test_an_epsilon_wants_a_private_experiment(tiny_file):
    with pytest.raises(ConfigError, match=r"privacy.unit: the experiment is not private"):
        make_grid(load_experiment(tiny_file), ["finetune"], 1, ["8"])


def test_the_figure_from_end_to_end(compare, monkeypatch):
    from matplotlib.figure import Figure

    drawn: dict[str, Figure] = {}
    save = Figure.savefig

    def keep(figure, path, **how):
        drawn[Path(path).name] = figure
        if Path(path).name == "privacy-time.png":
            save(figure, path, **how)

    monkeypatch.setattr(Figure, "savefig", keep)
    arguments = {"methods": "frozen,finetune,ewc", "seeds": 1, "overrides": PRIVATE}
    found, told = compare(epsilons=("8,none",), **arguments)
    assert "privacy-time.png" in told
    assert Path("out/privacy-time.png").stat().st_size > 10_000
    figure = drawn["privacy-time.png"]
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == ["frozen", "finetune", "ewc"]
    for axes in panels:
        lines = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        assert list(lines) == ["epsilon 8", "no privacy", "popularity"]
        assert list(lines["epsilon 8"].get_xdata()) == [1, 2, 3]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["epsilon 8", "no privacy", "popularity"]
    # Each is compared with fine-tuning under the same epsilon.
    by_label = {result.learner.label: result for result in found.finished}
    for budget in ("epsilon 8", "no privacy"):
        plain, other = by_label[f"finetune, {budget}"], by_label[f"ewc, {budget}"]
        assert plain.differences == {}
        gain = other.values["ndcg@10"][5] - plain.values["ndcg@10"][5]
        assert other.differences["ndcg@10"].mean == pytest.approx(gain)
        assert by_label[f"frozen, {budget}"].values["forward_transfer"] == {5: 0.0}
    assert "Differences are to finetune with the same epsilon." in told
    methods = json.loads(Path("out/continual.json").read_text())["methods"]
    assert methods[0]["privacy"] == {"unit": "user", "mechanism": "central", "epsilon": 8.0}
    # It resumes, and refuses to leave an epsilon out.
    monkeypatch.setattr(course, "draw_comparison", lambda results, title, folder: [])
    shutil.rmtree("out/cells/ewc-no-privacy-seed-5")
    _, told = compare(epsilons=("8,none",), **arguments)
    assert told.startswith("1/1 ewc, no privacy, seed 5: ")
    with pytest.raises(InputError, match="with frozen, epsilon 8; finetune, epsilon 8; ewc, epsilon 8, which this"):
        compare(epsilons=("none",), **arguments)
