"""Synthetic searches and lifetimes: what was searched for is what is chosen next, and what is over is chosen no more."""

import numpy as np
import pandas as pd
import pytest

from everbloom.config import DataConfig
from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.data.prepare import prepare
from everbloom.data.sources.assortment import draw_assortment
from everbloom.data.sources.synthetic import Synthetic
from everbloom.errors import DataError


def events(**settings) -> pd.DataFrame:
    return pd.concat(Synthetic(**settings).events([]), ignore_index=True)


def test_searches_come_right_before_what_they_are_for():
    settings = {"users": 50, "items": 60, "behaviours": {"view": 1, "purchase": 1}}
    plain, frame = events(**settings), events(**settings, searches=0.6)
    searched = (frame["behaviour"] == "search").to_numpy()
    pd.testing.assert_frame_equal(
        frame[~searched].reset_index(drop=True)[["user", "time"]], plain[["user", "time"]], check_dtype=False
    )
    assert frame["item"][~searched].tolist() == plain["item"].tolist()
    assert 0.55 < searched.sum() / len(plain) < 0.65
    titles = Synthetic(**settings).items([])["title"]
    for place in np.flatnonzero(searched):
        search, chosen = frame.iloc[place], frame.iloc[place + 1]
        assert (search["user"], search["time"]) == (chosen["user"], chosen["time"])
        assert chosen["behaviour"] != "search"
        assert pd.isna(search["item"])
        words = search["text"].split()
        assert len(words) == 2
        assert set(words) <= set(titles[chosen["item"]].split())
    assert (frame["text"][~searched] == "").all()


def test_every_event_can_have_a_search_beside_those_for_nothing():
    frame = events(users=20, items=40, behaviours={"click": 3, "search": 1, "rate": 1}, searches=1.0)
    of_item = frame["item"].notna()
    assert (frame["behaviour"] == "search").sum() > of_item.sum()
    assert (frame["text"][of_item] == "").all()
    assert (frame["text"][~of_item] != "").all()
    assert frame["value"][~of_item].eq(1).all()


def test_prepared_searches_stay_before_their_event():
    log = prepare(DataConfig(source={"name": "synthetic", "users": 20, "items": 40, "searches": 1.0})).events
    search = log.behaviour == BEHAVIOURS.index("search")
    assert search[::2].all()
    assert not search[1::2].any()
    assert (log.item[search] == NO_ITEM).all()


def test_an_item_is_chosen_within_its_lifetime_alone():
    config = Synthetic(users=300, items=300, days=60, periods=30, lifetime_days=4, new_item_rate=0.9)
    frame = pd.concat(config.events([]))
    span = frame.groupby("item")["time"].agg(lambda times: times.max() - times.min())
    assert span.max() <= (4 + 2) * 86_400  # chosen from the next step on, to the end of its last
    there = draw_assortment(config).there
    assert there.any(axis=1).all()
    assert there.sum(axis=0).max() <= 2  # steps of two days
    always = draw_assortment(Synthetic(users=1, items=300, days=60, periods=30, new_item_rate=0.9)).there
    assert not (there & ~always).any()


def test_what_is_not_used_leaves_the_fingerprint_of_prepared_data_as_it_was():
    dumped = Synthetic().model_dump(mode="json", exclude_none=True)
    assert not {"searches", "lifetime_days", "shifts"} & set(dumped)
    assert Synthetic(searches=0.5, lifetime_days=40).model_dump(mode="json")["searches"] == 0.5


def test_lifetimes_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="lifetime_days = 10 is shorter than a step of 30 days"):
        Synthetic(lifetime_days=10)
    with pytest.raises(DataError, match="no item is left in step 1"):
        list(Synthetic(items=20, new_item_rate=0, lifetime_days=30).events([]))
