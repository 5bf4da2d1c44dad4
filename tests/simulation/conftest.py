"""A population small enough to start real processes for."""

from collections.abc import Callable
from typing import Any

import pytest

from everbloom.experiment import Experiment, parse_experiment
from everbloom.study import Study, open_study

Tiny = Callable[..., Experiment]
Opened = Callable[[Experiment], Study]


@pytest.fixture
def tiny() -> Tiny:
    """Builds an experiment of `users` synthetic users whose features, user model and protocol are the smallest there are."""

    def build(users: int = 2, rounds: int = 2, **tables: Any) -> Experiment:
        source = {
            "name": "synthetic",
            "users": users,
            "items": 60,
            "events_per_user": 25,
            "new_user_rate": 0.0,
            "seed": 5,
        }
        model = {
            "dim": 8,
            "items": {"features": {"name": "tfidf", "dims": 8}, "embedding": False, "bias": "features"},
            "user": {"layers": 1, "heads": 2, "history": 8, "feedforward": 1, "dropout": 0.0},
        }
        return parse_experiment(
            {
                "name": "tiny",
                "seed": 3,
                "data": {"text": "{title}", "source": source},
                "protocol": {"name": "leave-one-out"},
                "model": model,
                "learning": {"examples": "next-item", "negatives": 16},
                "federation": {"rounds": rounds, "optimizer": {"name": "fedavg", "learning_rate": 1.0}},
                "evaluation": {"every": 1, "slices": False},
                **tables,
            }
        )

    return build


@pytest.fixture
def opened() -> Opened:
    """Opens a study without progress."""
    return lambda experiment: open_study(experiment, lambda done, total: None, lambda done, total: None)


@pytest.fixture
def study(tiny: Tiny, opened: Opened) -> Study:
    """Three users under differential privacy."""
    privacy = {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 20}
    return opened(tiny(users=3, privacy=privacy))
