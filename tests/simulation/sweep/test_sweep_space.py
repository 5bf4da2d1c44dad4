"""What a sweep may search, and what becomes of a value on its way to the experiment file and back."""

import tomllib
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from simulation.sweep.file import load_sweep
from simulation.sweep.pruners import PRUNERS
from simulation.sweep.results import short
from simulation.sweep.samplers import SAMPLERS
from simulation.sweep.space import Dimension, refusal, toml

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "sweeps").glob("*.toml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_sweep_in_configs_is_one(path):
    sweep = load_sweep(path)
    assert sweep.config.space
    assert sweep.base.seed not in sweep.seeds


def test_kinds_of_dimensions():
    assert Dimension(low=1, high=8).distribution == IntDistribution(1, 8)
    assert Dimension(low=0.1, high=1, log=True).distribution == FloatDistribution(0.1, 1.0, log=True)
    assert Dimension(low=0, high=0.4, step=0.1).distribution == FloatDistribution(0.0, 0.4, step=0.1)
    choices = Dimension(choices=(True, "a", {"name": "bce"}, [1, 2]))
    assert choices.distribution == CategoricalDistribution([True, "a", '{ "name" = "bce" }', "[1, 2]"])
    assert choices.written("[1, 2]") == "[1, 2]"
    assert choices.written('{ "name" = "bce" }') == '{ "name" = "bce" }'


@pytest.mark.parametrize("value", [1, 1e-05, True, 'a "b"', [1, "x"], {"name": "x", "deep": {"y": [0.5]}}, 0.1 + 0.2])
def test_a_value_survives_as_toml(value):
    assert tomllib.loads(f"value = {toml(value)}")["value"] == value


@pytest.mark.parametrize(
    "key",
    [
        "seed",
        "evaluation.select",
        "data.source.users",
        "privacy",
        "privacy.epsilon",
        "privacy.mechanism",
        "runtime.workers",
    ],
)
def test_what_must_not_be_searched(key):
    assert refusal(key)


def test_what_may_be_searched():
    assert not any(map(refusal, ["data.text", "privacy.clip_norm", "privacy.mechanism.bands", "model.dim"]))


def test_keys_are_named_as_short_as_they_can_be():
    keys = {"a.b.rate": 0, "c.b.rate": 0, "c.dim": 0}
    assert [short(key, keys) for key in keys] == ["a.b.rate", "c.b.rate", "dim"]


@pytest.mark.parametrize("name", SAMPLERS.names())
def test_every_sampler_draws_the_same_by_the_same_seed_and_history(name):
    sampler = SAMPLERS.parse({"name": name})
    distributions = {"x": FloatDistribution(0, 1), "n": IntDistribution(1, 9), "c": CategoricalDistribution(["a", "b"])}

    def asked(seed):
        study = optuna.create_study(sampler=sampler.open(1))
        study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=12)
        study.sampler = sampler.open(seed)
        return study.ask(distributions).params

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    assert asked(3) == asked(3) != asked(4)


@pytest.mark.parametrize("name", PRUNERS.names())
def test_every_pruner_says_whether_it_judges_and_never_gives_up_the_best(name):
    pruner = PRUNERS.parse({"name": name})
    study = optuna.create_study(direction="maximize", pruner=pruner.open(9, 1), study_name="s")
    given_up = 0
    for place in range(30):
        trial = study.ask()
        value = 1.0 if place == 29 else 0.01 * (30 - place)
        for step in range(1, 10):
            trial.report(value, step)
            if trial.should_prune():
                given_up += 1
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    assert study.best_trial.number == 29
    assert (given_up > 0) == pruner.judges


def test_the_page_shows_a_sweep(tmp_path):
    root = Path(__file__).parents[3]
    shown = (root / "docs" / "sweep.md").read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    place = tmp_path / "shown.toml"
    place.write_text(shown.replace("../smoke.toml", str(root / "configs" / "smoke.toml")))
    assert len(load_sweep(place).config.space) == 4
