"""Which runs a comparison has, and what each changes in the experiment."""

import re

import pytest

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, load_experiment
from everbloom.methods import CONTINUAL_METHODS
from simulation.campaign.grid import Cell
from simulation.campaign.record import difference
from simulation.continual.grid import COMPARISON, Learner, cell_experiment, make_grid
from simulation.continual_command import _ALL


@pytest.fixture
def base(tiny_file) -> Experiment:
    return load_experiment(tiny_file)


def test_by_default_every_method_is_compared():
    assert sorted(_ALL.split(",")) == sorted(CONTINUAL_METHODS.names())


def test_methods_with_options(base):
    grid = make_grid(base, ["finetune, replay:budget=50:choice=recency", "finetune"], 2)
    assert grid.points == (Learner("finetune"), Learner("replay", ("budget=50", "choice=recency")))
    assert [cell.name for cell in grid.cells] == [
        "finetune-seed-5",
        "replay-budget=50-choice=recency-seed-5",
        "finetune-seed-6",
        "replay-budget=50-choice=recency-seed-6",
    ]
    method = cell_experiment(base, grid.cells[1]).continual.method
    assert (method.name, method.budget, method.choice) == ("replay", 50, "recency")
    assert [COMPARISON.read(point.table) for point in grid.points] == list(grid.points)


def test_the_experiment_s_own_options_hold_for_its_own_method(base):
    assert cell_experiment(base, Cell(Learner("replay"), 5)).continual.method.budget == 3
    assert cell_experiment(base, Cell(Learner("replay", ("choice=recency",)), 5)).continual.method.budget == 3
    found = cell_experiment(base, Cell(Learner("finetune"), 9))
    assert (found.seed, found.continual.method.name, found.continual.panel) == (9, "finetune", 0.3)
    again = found.model_copy(update={"seed": base.seed, "continual": base.continual})
    assert difference(again, base) is None


def test_an_experiment_without_the_table_gets_its_defaults(base):
    bare = base.model_copy(update={"continual": None})
    assert cell_experiment(bare, Cell(Learner("ewc"), 5)).continual.method.name == "ewc"


@pytest.mark.parametrize(
    ("methods", "told"),
    [
        (["finetun"], "--methods finetun: unknown method 'finetun'; expected some of: finetune, frozen, replay"),
        (["finetune,,ewc"], "--methods: an empty word"),
        (
            ["replay:budget"],
            "--methods replay:budget: 'budget' is no option; expected key=value, as in replay:budget=50",
        ),
        (["replay:budget=../x"], "--methods replay:budget=../x: 'budget=../x' is no option"),
        ([], "--methods: nothing given"),
    ],
)
def test_what_is_no_method(base, methods, told):
    with pytest.raises(ConfigError, match=re.escape(told)):
        make_grid(base, methods, 1)


def test_there_is_at_least_one_seed(base):
    with pytest.raises(ConfigError, match="--seeds 0: expected 1 or more"):
        make_grid(base, ["ewc"], 0)


def test_an_option_that_the_method_lacks_names_the_method(base):
    with pytest.raises(
        ConfigError, match=r"replay:budgit=5: continual.method.budgit: unknown key; did you mean 'budget'"
    ):
        cell_experiment(base, Cell(Learner("replay", ("budgit=5",)), 5))
