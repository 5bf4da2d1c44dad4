"""The synthetic population: what its settings say is in the data."""

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from everbloom.config import DataConfig
from everbloom.data.prepare import prepare
from everbloom.data.sources import synthetic
from everbloom.data.sources.synthetic import Synthetic
from everbloom.data.sources.topics import TOPICS

DAY = 86_400


def events(**settings) -> pd.DataFrame:
    return pd.concat(Synthetic(**settings).events([]), ignore_index=True)


def category(**settings) -> np.ndarray:
    return Synthetic(**settings).items([])["category"].to_numpy()


def test_a_seed_gives_the_same_data_and_another_one_other_data():
    settings = {"users": 60, "items": 50}
    pd.testing.assert_frame_equal(events(**settings), events(**settings))
    assert not events(**settings).equals(events(**settings, seed=1))
    pd.testing.assert_frame_equal(Synthetic(**settings).items([]), Synthetic(**settings).items([]))


def test_blocks_do_not_depend_on_each_other(monkeypatch):
    monkeypatch.setattr(synthetic, "_BLOCK_USERS", 50)
    few, many = events(users=100, items=50, new_user_rate=0), events(users=150, items=50, new_user_rate=0)
    pd.testing.assert_frame_equal(few, many[many["user"] < 100])
    assert few["user"].nunique() == 100


def test_the_file_says_items_and_comes_back():
    config = DataConfig(source={"name": "synthetic", "items": 33, "users": 5})
    dumped = config.model_dump(mode="json", exclude_none=True)
    assert dumped["source"]["items"] == 33
    assert DataConfig.model_validate(dumped) == config
    with pytest.raises(ValidationError):
        DataConfig(source={"name": "synthetic", "item_count": 33})


def test_sizes_and_times():
    frame = events(users=400, items=2000, events_per_user=30, days=100)
    assert frame["user"].nunique() == 400
    assert 0.75 * 30 < len(frame) / 400 <= 30 * 1.1
    assert not frame.duplicated(["user", "item"]).any()
    assert frame["time"].max() - frame["time"].min() <= 100 * DAY
    assert (frame.groupby("user")["time"].diff().dropna() >= 0).all()
    assert len(events(users=400, items=2000, events_per_user=30, repeats=True)) > len(frame)


def test_popularity_is_skewed_as_set():
    def top_share(exponent: float) -> float:
        counts = events(users=300, items=300, popularity=exponent, repeats=True)["item"].value_counts()
        return float(counts.head(30).sum() / counts.sum())

    assert top_share(0.0) < 0.25 < 0.45 < top_share(1.0)


def test_items_and_users_arrive():
    frame = events(users=500, items=500, new_item_rate=0.4, new_user_rate=0.4, days=100, periods=5)
    start = frame["time"].min()
    first_items, first_users = frame.groupby("item")["time"].min(), frame.groupby("user")["time"].min()
    assert (first_items[first_items.index >= 300] >= start + 19.9 * DAY).all()
    assert (first_users[first_users.index >= 300] >= start + 19.9 * DAY).all()
    assert (first_users[first_users.index < 300] < start + 20 * DAY).mean() > 0.8


def test_tastes_differ_between_users_persist_and_drift():
    """How often two of a user's events share a category: early with early, and early with late."""

    def agreement(drift: float) -> tuple[float, float, float]:
        settings = {"users": 400, "items": 800, "days": 120, "periods": 6, "new_user_rate": 0, "seed": 3}
        frame = events(**settings, drift=drift, persistence=0, focus=3)
        kind = pd.Series(category(items=800, seed=3)[frame["item"]])
        step = (frame["time"] - frame["time"].min()) // (20 * DAY)
        shares = pd.crosstab([frame["user"], step], kind, normalize="index")
        first, last = (shares.xs(when, level=1) for when in (0, 5))
        both = first.index.intersection(last.index)
        others = first.loc[both].sample(frac=1, random_state=0).to_numpy()
        early = first.loc[both].to_numpy()
        return (
            float((early**2).sum(1).mean()),
            float((early * last.loc[both].to_numpy()).sum(1).mean()),
            float((early * others).sum(1).mean()),
        )

    same, later, other = agreement(drift=0.0)
    assert later > 1.5 * other
    _, drifted, other = agreement(drift=0.9)
    assert drifted < 1.3 * other
    assert same > other


def test_persistence_keeps_the_topic():
    def kept(persistence: float) -> float:
        frame = events(users=200, items=500, persistence=persistence, repeats=True)
        kind = pd.Series(category(items=500)[frame["item"]])
        same_user = frame["user"].eq(frame["user"].shift())
        return float(kind.eq(kind.shift())[same_user].mean())

    assert kept(0.8) > kept(0.0) + 0.15


def test_texts_tell_the_topic():
    items = Synthetic(items=600, latent_dim=6).items([])
    words_of = {name: set(words) for name, words in TOPICS.items()}
    told = [
        any(word in words_of[kind] for word in title.split())
        for title, kind in zip(items["title"], items["category"], strict=True)
    ]
    assert np.mean(told) > 0.9
    assert set(items["category"]) == set(list(TOPICS)[:6])
    assert (items["price"] > 0).all()


def test_behaviours_have_their_shares_values_and_texts():
    shares = {"view": 0.6, "rate": 0.2, "search": 0.2}
    frame = events(users=300, items=300, behaviours=shares)
    found = frame["behaviour"].value_counts(normalize=True)
    for name, share in shares.items():
        assert abs(found[name] - share) < 0.03
    searched = frame["behaviour"] == "search"
    assert frame["item"].isna().equals(searched)
    assert (frame["text"] != "").equals(searched)
    assert set(frame.loc[frame["behaviour"] == "rate", "value"]) <= {1.0, 2.0, 3.0, 4.0, 5.0}
    assert (frame.loc[frame["behaviour"] == "view", "value"] == 1).all()


def test_it_prepares_without_files():
    dataset = prepare(
        DataConfig(source={"name": "synthetic", "users": 50, "items": 40, "behaviours": {"view": 1, "search": 1}})
    )
    assert dataset.events.users == 50
    assert dataset.report.left_out == {}
    assert dataset.report.unused_items == 40 - len(dataset.catalog)


@pytest.mark.parametrize(
    "wrong", [{"users": 0}, {"latent_dim": 99}, {"drift": 2}, {"behaviours": {}}, {"behaviours": {"buy": 1}}]
)
def test_wrong_settings(wrong):
    with pytest.raises(ValidationError):
        Synthetic(**wrong)
