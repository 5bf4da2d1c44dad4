"""`everbloom poison`: check every cell, run what is left, show what was stopped."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from rich.console import Console

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment, load_experiment
from everbloom.privacy.mechanisms.distributed import Distributed
from everbloom.study import Study, open_study
from simulation.campaign.grid import Cell
from simulation.campaign.running import Campaign, Checked, run_campaign
from simulation.commands import study_with_progress
from simulation.frontier.results import reached
from simulation.poisoning.grid import POISONING, Point, make_grid
from simulation.poisoning.results import Results, collect
from simulation.poisoning.scene import Scene
from simulation.poisoning.table import print_poisoning


def run_poisoning(
    path: Path,
    overrides: Iterable[str],
    attacks: Iterable[str],
    rules: Iterable[str],
    fraction: float,
    epsilon: float | None,
    units: Iterable[str],
    private_rules: Iterable[str],
    seeds: int,
    out: Path | None,
    console: Console,
) -> Results:
    """Everything is checked before the first cell runs and before anything is written. The same call again continues where it stopped."""
    base = load_experiment(path, overrides)
    _check(base)
    grid = make_grid(base, attacks, rules, fraction, epsilon, units, private_rules, seeds)
    folder = out or Path("runs") / f"{base.name}-poisoning"
    campaign = Campaign(POISONING, base, grid, folder)

    @lru_cache(maxsize=1)
    def study_of(cell: Cell[Point]) -> Study:
        return open_study(campaign.experiment(cell), _nothing, _nothing)

    def opened(experiment: Experiment) -> Study:
        study = study_with_progress(experiment, console)
        _check_mechanism(study)
        Scene.of(study, fraction)
        return study

    def write(checked: Checked[Point], failed: Mapping[Cell[Point], str]) -> None:
        collect(grid, folder, study_of, checked.refused, failed).write(base.name, folder)

    checked, failed = run_campaign(campaign, opened, console, _anything, reached, write)
    results = collect(grid, folder, study_of, checked.refused, failed)
    print_poisoning(console, results)
    console.print(f"poisoning.csv, poisoning.json: {folder}", highlight=False, soft_wrap=True)
    return results


def _check(experiment: Experiment) -> None:
    """Raises `ConfigError` for what attackers are not simulated in, or could not be measured."""
    if experiment.protocol.name != "leave-one-out":
        raise ConfigError(
            f'protocol.name: "{experiment.protocol.name}" is tested before each period is learnt; a poisoned model is measured once it is trained, '
            'so set protocol.name = "leave-one-out"'
        )
    if 10 not in experiment.evaluation.k:
        raise ConfigError("evaluation.k: the table shows NDCG@10 and HR@10; include 10")
    if experiment.model.user.personal:
        raise ConfigError("model.user.personal: attackers are simulated for shared models alone; set it to false")
    algorithm = experiment.learning.algorithm
    if algorithm is not None and (algorithm.own_pull is not None or algorithm.copies > 1):
        raise ConfigError(
            f'learning.algorithm = "{algorithm.name}": attackers are simulated for shared models alone, and devices would recommend by their own; '
            "leave it out"
        )
    if experiment.runtime.masks:
        raise ConfigError("runtime.masks: attackers exchange no masks; remove it")


def _check_mechanism(study: Study) -> None:
    if isinstance(study.experiment.privacy.mechanism, Distributed) and study.plan is not None:
        raise ConfigError(
            'privacy.mechanism = "distributed": what attackers send under secure aggregation is not simulated; use "central", "local" or "dp-sgd"'
        )


def _anything(checked: Checked[Point]) -> None:
    """Whatever is left after refusals is worth running."""


def _nothing(done: int, total: int) -> None:
    return
