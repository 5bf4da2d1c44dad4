"""What every test shares: a home of its own, and a small experiment to vary."""

from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch

from everbloom.experiment import Experiment, parse_experiment
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.study import Study, open_study

torch.set_num_threads(1)  # the tests' tensors are too small to share

SMALL: dict[str, Any] = {
    "name": "small",
    "seed": 3,
    "data": {
        "text": "{title}",
        "source": {"name": "synthetic", "users": 20, "items": 30, "events_per_user": 20, "seed": 2},
    },
    "protocol": {"name": "timeline", "cut": "counts", "periods": 2, "warm_start": 0.7, "validation": 0.2},
    "model": {"dim": 8, "user": {"layers": 1, "heads": 2, "history": 5, "feedforward": 1, "dropout": 0.0}},
    "learning": {"examples": "next-item", "negatives": 7},
    "federation": {"rounds": 2, "cohort": 6, "optimizer": {"name": "fedavg"}},
    "evaluation": {"every": 1, "k": [5, 10], "slices": False},
}

PRIVATE = {"unit": "example", "noise_multiplier": 1.0, "delta": 1e-4, "denominator": 10}
"""A [privacy] table that turns privacy on."""


@pytest.fixture(autouse=True)
def everbloom_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty EVERBLOOM_HOME: no test reads or writes the user's own."""
    home = tmp_path_factory.mktemp("everbloom-home")
    monkeypatch.setenv("EVERBLOOM_HOME", str(home))
    return home


@pytest.fixture(scope="session")
def small() -> Callable[..., Experiment]:
    """(**tables) -> the small experiment with these tables merged in, for example `small(model={"dim": 4})`; `privacy=True` turns privacy on."""

    def build(**tables: Any) -> Experiment:
        if tables.get("privacy") is True:
            tables["privacy"] = PRIVATE
        return parse_experiment(_merged(SMALL, tables))

    return build


@pytest.fixture(scope="session")
def private_tables() -> dict[str, Any]:
    """A [privacy] table that turns privacy on."""
    return dict(PRIVATE)


@pytest.fixture
def study_of() -> Callable[[Experiment], Study]:
    """Opens an experiment on its data."""
    return lambda experiment: open_study(experiment, lambda done, total: None, lambda done, total: None)


@pytest.fixture(scope="session")
def make_plan() -> Callable[..., DpSgdPlan]:
    """(**fields) -> a plan for tests of the mechanism; it need not come from an experiment."""

    def build(**fields: Any) -> DpSgdPlan:
        defaults: dict[str, Any] = {
            "unit": "example",
            "epsilon": 8.0,
            "delta": 1e-5,
            "clip_norm": 1.0,
            "noise_multiplier": 1.0,
            "sample_rate": 1.0,
            "denominator": 10.0,
            "steps_per_round": 1,
            "max_participations": 5,
            "examples_per_interaction": 1,
            "example": "a window",
        }
        return DpSgdPlan(**{**defaults, **fields})

    return build


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    merged = deepcopy(dict(base))
    for key, value in change.items():
        both_tables = isinstance(value, Mapping) and isinstance(merged.get(key), dict)
        # A method's table is replaced when another method is named: its options belong to it alone.
        other = both_tables and value.get("name", merged[key].get("name")) != merged[key].get("name")
        merged[key] = _merged(merged[key], value) if both_tables and not other else value
    return merged
