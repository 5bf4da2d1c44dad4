"""Few people with tables of items, of whom some attack."""

from collections.abc import Callable
from typing import Any

import pytest

from everbloom.experiment import Experiment

MODEL = {
    "dim": 8,
    "items": {"features": {"name": "tfidf", "dims": 8}},
    "user": {"layers": 1, "heads": 2, "history": 8, "feedforward": 1, "dropout": 0.0},
}


@pytest.fixture
def robust(tiny: Callable[..., Experiment]) -> Callable[..., Experiment]:
    """(privacy, **federation) -> 14 users in cohorts of 10, three rounds."""

    def build(privacy: dict[str, Any] | None = None, **federation: Any) -> Experiment:
        fixed = {"rounds": 3, "cohort": 10, "optimizer": {"name": "fedavg"}}
        tables = {} if privacy is None else {"privacy": privacy}
        return tiny(users=14, model=MODEL, federation={**fixed, **federation}, **tables)

    return build
