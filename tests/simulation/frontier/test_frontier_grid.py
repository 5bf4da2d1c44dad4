"""Which cells a frontier has and what each changes in the experiment."""

from pathlib import Path

import pytest

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, load_experiment
from simulation.campaign.grid import Cell, Grid
from simulation.campaign.record import difference
from simulation.frontier.grid import Point, cell_experiment, make_grid
from simulation.frontier.grid import _lines as lines


@pytest.fixture
def base(experiment: Path) -> Experiment:
    return load_experiment(experiment)


def grid_of(base: Experiment, *epsilons: str, seeds: int = 1) -> Grid:
    return make_grid(base, epsilons, [], [], seeds)


def test_epsilons_rise_and_no_privacy_is_last(base):
    grid = grid_of(base, "8,none, 0.5", "2,8")
    assert [point.epsilon for point in grid.points] == [0.5, 2.0, 8.0, None]


def test_one_seed_everywhere_comes_before_the_next(base):
    cells = grid_of(base, "1,none", seeds=3).cells
    assert [(cell.seed, cell.point.epsilon) for cell in cells] == [
        (5, 1),
        (5, None),
        (6, 1),
        (6, None),
        (7, 1),
        (7, None),
    ]


def test_no_two_cells_share_a_directory():
    points = [
        Point(unit, mechanism, epsilon)
        for unit in ("example", "user")
        for mechanism in (None, "central", "local")
        for epsilon in (1.0, 1.0000001, 10.0, 0.1)
    ]
    names = [Cell(point, seed).name for point in [*points, Point("none", None, None)] for seed in (0, 1, 10)]
    assert len(set(names)) == len(names)
    assert Cell(Point("user", "central", 0.5), 3).name == "user-central-epsilon-0.5-seed-3"


def test_a_cell_changes_its_budget_and_seed_alone(base):
    point = next(point for point in grid_of(base, "2").points)
    changed = cell_experiment(base, Cell(point, 9))
    assert (changed.privacy.epsilon, changed.seed) == (2.0, 9)
    again = changed.model_copy(update={"seed": 5, "privacy": changed.privacy.model_copy(update={"epsilon": 8.0})})
    assert difference(again, base) is None


def test_an_epsilon_takes_the_place_of_a_noise_multiplier(experiment):
    base = load_experiment(
        experiment, ["privacy={unit = 'example', noise_multiplier = 1, delta = 1e-3, clip_norm = 0.5}"]
    )
    privacy = cell_experiment(base, Cell(grid_of(base, "2").points[0], 1)).privacy
    assert (privacy.noise_multiplier, privacy.epsilon, privacy.clip_norm) == (None, 2.0, 0.5)


def test_without_privacy_nothing_of_it_is_left(base):
    point = grid_of(base, "none").points[0]
    privacy = cell_experiment(base, Cell(point, 1)).privacy
    assert (privacy.unit, privacy.epsilon, privacy.delta) == ("none", None, None)


def test_units_and_mechanisms(base):
    own = grid_of(base, "1").points[0].mechanism
    assert lines(base, [], []) == [("example", own)]
    assert lines(base, ["example", "user"], []) == [("example", own), ("user", None)]
    # A mechanism implies its unit: the experiment's where it can, otherwise its first.
    assert lines(base, [], ["dp-sgd", "central"]) == [("example", "dp-sgd"), ("user", "central")]
    # Both: paired where they fit.
    assert lines(base, ["example", "user"], ["dp-sgd", "local"]) == [("example", "dp-sgd"), ("user", "local")]
    assert lines(base, ["interaction"], ["dp-sgd"]) == [("interaction", "dp-sgd")]


@pytest.mark.parametrize(
    ("units", "mechanisms", "told"),
    [
        (["none"], [], "--unit none: runs without privacy are asked for with --epsilon none"),
        ([], ["magic"], "--mechanism magic: unknown; expected one of: dp-sgd, central"),
        (["user"], ["dp-sgd"], "--unit user: none of --mechanism dp-sgd gives a guarantee for it"),
        (["user"], ["dp-sgd", "central"], "--mechanism dp-sgd: gives a guarantee for example and interaction, not for --unit user"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together(base, units, mechanisms, told):
    with pytest.raises(ConfigError, match=told):
        make_grid(base, ["1"], units, mechanisms, 1)
