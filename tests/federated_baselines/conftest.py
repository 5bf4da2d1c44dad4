"""A few users with histories of very different lengths, and every registered baseline made small."""

from collections.abc import Callable

import numpy as np
import pytest

from everbloom.federated_baselines.positives import Positives
from everbloom.methods import FEDERATED_BASELINES, FederatedBaseline

ITEMS = 23
HISTORIES = [[3, 1, 4], [5, 9, 2, 6, 8, 7, 10, 11, 12], [], [0], [22, 21, 20, 19, 18]]
SMALL = {"fedncf": {"layers": [6, 5]}, "gpfedrec": {"layers": [6, 5]}}
RATES = {"user_rate": 0.7, "item_rate": 3.0, "score_rate": 0.4}


@pytest.fixture
def positives() -> Positives:
    """Of five users, one without any; each spares its own items, and user 0 item 17 too."""
    lengths = [len(items) for items in HISTORIES]
    spared = [sorted([*items, 17] if user == 0 else items) for user, items in enumerate(HISTORIES)]
    return Positives(
        np.concatenate(HISTORIES).astype(np.int64),
        np.concatenate(([0], np.cumsum(lengths))),
        np.concatenate(spared).astype(np.int64),
        np.concatenate(([0], np.cumsum([len(items) for items in spared]))),
        ITEMS,
    )


@pytest.fixture(scope="session")
def small_baseline() -> Callable[..., FederatedBaseline]:
    """(name, **options) -> the method with few dimensions, small batches, two local epochs and rates that move everything."""

    def build(name: str, **options: object) -> FederatedBaseline:
        fields = FEDERATED_BASELINES.method_class(name).model_fields
        rates = {key: value for key, value in RATES.items() if key in fields}
        table = {"dim": 4, "batch": 8, "negatives": 3, "local_epochs": 2, **rates, **SMALL.get(name, {}), **options}
        return FEDERATED_BASELINES.parse({"name": name, **table})

    return build
