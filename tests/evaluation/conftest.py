"""A small random log with repeats, searches, ties in time and latecomers, and cases made by hand."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.cases import Cases
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS, EventLog
from everbloom.data.strings import StringColumn
from everbloom.data.timeline import Timeline
from everbloom.methods import Source


class InMemory(Source):
    """A source that is never read."""

    name: str = "in-memory"

    def locate(self, home: Path) -> list[Path]:
        return []

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        yield from ()

    def items(self, files: list[Path]) -> pd.DataFrame | None:
        return None


def build_timeline(user: Any, item: Any, time: Any, behaviour: Any, items: int, **protocol: Any) -> Timeline:
    users = int(max(user)) + 1
    log = EventLog.build(
        user=np.asarray(user, dtype=np.int32),
        item=np.asarray(item, dtype=np.int32),
        time=np.asarray(time, dtype=np.int64),
        behaviour=np.asarray(behaviour, dtype=np.uint8),
        value=np.ones(len(user), dtype=np.float32),
        user_ids=StringColumn.of([f"u{index}" for index in range(users)]),
    )
    first_seen = np.full(items, np.iinfo(np.int64).max)
    real = log.item >= 0
    np.minimum.at(first_seen, log.item[real], log.time[real])
    catalog = Catalog(StringColumn.of([f"i{index}" for index in range(items)]), {}, {}, first_seen)
    data = DataConfig(source=InMemory(), positives={"rate": 1.0, "purchase": 2.0})
    return Timeline(log, catalog, data, ProtocolConfig(**protocol))


@pytest.fixture
def make_timeline() -> Callable[..., Timeline]:
    """(user, item, time, behaviour, items, **protocol) -> Timeline; columns in file order."""
    return build_timeline


@pytest.fixture
def random_timeline() -> Callable[..., Timeline]:
    """(seed=0, **protocol) -> a timeline over a random log of 30 users and 40 items."""

    def build(seed: int = 0, **protocol: Any) -> Timeline:
        rng = np.random.default_rng(seed)
        rows, users, items = 900, 30, 40
        user = np.concatenate((np.arange(users), rng.integers(0, users, rows - users)))
        arrival = rng.integers(0, 600, users)
        time = arrival[user] + rng.integers(0, 400, rows)
        behaviour = rng.choice([BEHAVIOURS.index(name) for name in ("rate", "purchase", "view", "search")], rows)
        known = np.clip(time // 20 + 5, 1, items)
        item = np.where(behaviour == BEHAVIOURS.index("search"), -1, rng.integers(0, known))
        defaults: dict[str, Any] = {"cut": "counts", "periods": 4, "warm_start": 0.4, "validation": 0.4}
        return build_timeline(user, item, time, behaviour, items, **(protocol or defaults))

    return build


@pytest.fixture
def one_target_cases() -> Callable[..., Cases]:
    """(targets, items) -> cases without a history, one target each."""

    def build(targets: NDArray[np.int32], items: int) -> Cases:
        count = len(targets)
        zeros = np.zeros(count, dtype=np.int64)
        return Cases(
            np.arange(count, dtype=np.int32),
            zeros,
            zeros,
            targets,
            np.arange(count + 1),
            np.ones(items, dtype=np.bool_),
            0,
        )

    return build
