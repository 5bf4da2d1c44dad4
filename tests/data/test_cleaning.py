"""Cleaning does what a slow, obvious implementation does, and counts it."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.config import CleaningConfig
from everbloom.data.cleaning import CleaningReport, clean
from everbloom.data.collecting import Columns
from everbloom.errors import DataError

row = st.tuples(
    st.integers(0, 5), st.integers(-1, 5), st.integers(0, 3), st.integers(0, 1), st.sampled_from(["", "red", "blue"])
)


def columns_of(rows, with_time=True):
    return Columns(
        user=np.array([row[0] for row in rows], dtype=np.int32),
        item=np.array([row[1] for row in rows], dtype=np.int32),
        behaviour=np.array([row[3] for row in rows], dtype=np.uint8),
        value=np.arange(len(rows), dtype=np.float32),
        time=np.array([row[2] for row in rows], dtype=np.int64) if with_time else None,
        text=np.array([row[4] for row in rows], dtype=object),
    )


def slowly(rows, config: CleaningConfig) -> list[int]:
    """Places of the rows that survive."""
    kept, seen = [], set()
    for place, (user, item, time, behaviour, text) in enumerate(rows):
        key = (user, item if item >= 0 else text, time, behaviour)
        if not config.drop_duplicates or key not in seen:
            kept.append(place)
        seen.add(key)
    counts = Counter(rows[place][0] for place in kept)
    if config.max_user_events is not None:
        kept = [place for place in kept if counts[rows[place][0]] <= config.max_user_events]
    while True:
        users = Counter(rows[place][0] for place in kept)
        items = Counter(rows[place][1] for place in kept if rows[place][1] >= 0)
        fewer = [
            place
            for place in kept
            if users[rows[place][0]] >= config.min_user_events
            and (rows[place][1] < 0 or items[rows[place][1]] >= config.min_item_events)
        ]
        if fewer == kept:
            return kept
        kept = fewer


@given(
    st.lists(row, min_size=1, max_size=50),
    st.builds(
        CleaningConfig,
        min_user_events=st.integers(1, 4),
        min_item_events=st.integers(1, 4),
        max_user_events=st.one_of(st.none(), st.integers(1, 12)),
        drop_duplicates=st.booleans(),
    ),
)
def test_the_rules_keep_what_they_should(rows, config):
    expected = slowly(rows, config)
    if not expected:
        with pytest.raises(DataError, match="no event is left"):
            clean(columns_of(rows), config)
        return
    cleaned, removed = clean(columns_of(rows), config)
    assert cleaned.value.astype(int).tolist() == expected
    assert removed.duplicates + removed.overactive_events + removed.rare_events == len(rows) - len(expected)


def test_minimum_counts_are_repeated_until_stable():
    chain = [(user, user + step, 0, 0, "") for user in range(5) for step in (0, 1)]  # users and items hang together
    cleaned, removed = clean(columns_of([*chain, *chain[2:]]), CleaningConfig(min_item_events=2, drop_duplicates=False))
    assert removed.passes >= 1
    assert removed.rare_items == 1
    assert len(cleaned) == len(chain) + len(chain) - 2 - 1


def test_without_timestamps_a_repetition_is_an_event():
    cleaned, removed = clean(columns_of([(0, 1, 0, 0, "")] * 3, with_time=False), CleaningConfig())
    assert len(cleaned) == 3
    assert removed.duplicates == 0


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (CleaningConfig(max_user_events=1), r"max_user_events = 1 removed 2 events"),
        (CleaningConfig(min_user_events=9), r"min_user_events = 9 .* removed 2 events \(1 users, 0 items\)"),
        (CleaningConfig(min_item_events=2), r"min_item_events = 2 removed 2 events \(0 users, 2 items\)"),
    ],
)
def test_an_empty_result_says_which_rule_removed_how_much(config, told):
    with pytest.raises(DataError, match=told):
        clean(columns_of([(0, 1, 0, 0, ""), (0, 2, 0, 0, "")]), config)


def test_no_events_at_all():
    with pytest.raises(DataError, match="the source holds no events"):
        clean(columns_of([]), CleaningConfig())


def test_the_report_survives_saving(tmp_path):
    report = CleaningReport(
        rows=10, left_out={"no user": 1}, duplicates=0, overactive_users=1, overactive_events=2, rare_users=0,
        rare_items=0, rare_events=0, passes=0, item_rows=0, duplicate_item_rows=0, unused_items=0, undescribed_items=0,
        users=2, items=3, events=7, behaviours={"view": 7}, numbers={},
    )  # fmt: skip
    report.save(tmp_path / "report.json")
    assert CleaningReport.open(tmp_path / "report.json") == report
    assert report.lines() == [("rows read", "10"), ("left out: no user", "1"), ("overactive users", "1 (2 events)")]
