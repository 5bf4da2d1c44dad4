"""Histories to explain by."""

from collections.abc import Callable

import numpy as np
import pytest
from explained_models import ITEMS, MODELS

from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.data.strings import StringColumn
from everbloom.explanations.counterfactuals import without


@pytest.fixture(params=MODELS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def one_log() -> Callable[..., EventLog]:
    """(items, behaviour=..., time=...) -> the log of one user, oldest first."""

    def build(items: list[int], behaviour: list[int] | None = None, time: list[int] | None = None) -> EventLog:
        count = len(items)
        return EventLog.build(
            user=np.zeros(count, dtype=np.int32),
            item=np.array(items, dtype=np.int32),
            time=np.array(time or [100 * place * place for place in range(count)], dtype=np.int64),
            behaviour=np.array(behaviour or [0] * count, dtype=np.uint8),
            value=np.ones(count, dtype=np.float32),
            user_ids=StringColumn.of(["ann"]),
        )

    return build


@pytest.fixture
def catalog() -> Catalog:
    """Items with a title and genres."""
    genres = [("Drama, War", "Comedy", "Drama", "")[item % 4] for item in range(ITEMS)]
    return Catalog(
        item_ids=StringColumn.of(f"i{item}" for item in range(ITEMS)),
        fields={
            "title": StringColumn.of(f"The Thing{item // 2} Returns" for item in range(ITEMS)),
            "genres": StringColumn.of(genres),
        },
        numbers={},
        first_seen=np.zeros(ITEMS, dtype=np.int64),
    )


@pytest.fixture
def random_log_of_two(one_log: Callable[..., EventLog]) -> EventLog:
    """Two users."""
    return without(one_log([1, 2, 3]), [np.array([False, False, True]), np.array([True, False, False])])
