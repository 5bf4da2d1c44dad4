"""Histories to explain by."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from explained_models import FEATURES, ITEMS, MODELS

from everbloom.config import ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, NO_ITEM, EventLog
from everbloom.data.strings import StringColumn
from everbloom.explanations.counterfactuals import without
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.recommender import Recommender, build_recommender


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


@pytest.fixture
def searching() -> tuple[EventLog, Recommender]:
    """Three items and three searches, of which two are for one text; and a model that reads them."""
    view, search = BEHAVIOURS.index("view"), BEHAVIOURS.index("search")
    log = EventLog.build(
        user=np.zeros(6, dtype=np.int32),
        item=np.array([4, NO_ITEM, 7, NO_ITEM, 9, NO_ITEM], dtype=np.int32),
        time=np.arange(6, dtype=np.int64),
        behaviour=np.array([view, search, view, search, view, search], dtype=np.uint8),
        value=np.ones(6, dtype=np.float32),
        user_ids=StringColumn.of(["ann"]),
        text=["", "red", "", "blue", "", "red"],
    )
    user = {"layers": 1, "heads": 2, "history": 7, "dropout": 0.0, "searches": True}
    config = ModelConfig.model_validate({"dim": 8, "items": {"features": {"name": "lm"}}, "user": user})
    features = replace(ItemFeatures.of(FEATURES), searches=FEATURES[:2])
    model = build_recommender(ITEMS, features, config, 1)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return log, model.eval()
