"""The schedule of shifts: what it says is in the data and in the truth, and nothing else changes."""

import hashlib

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from everbloom.config import DataConfig
from everbloom.data.fingerprint import data_fingerprint
from everbloom.data.sources import synthetic
from everbloom.data.sources.synthetic import Synthetic
from everbloom.data.sources.truth import Truth, truth
from everbloom.errors import ConfigError
from everbloom.experiment import parse_experiment

SIZE = {"users": 200, "items": 120, "periods": 6, "days": 60, "seed": 4}


def known(*shifts: dict, **settings) -> Truth:
    return truth(Synthetic(**{**SIZE, **settings}, shifts=shifts))


def events(*shifts: dict, **settings) -> pd.DataFrame:
    config = Synthetic(**{**SIZE, **settings}, shifts=shifts)
    return pd.concat(config.events([]), ignore_index=True)


@pytest.mark.parametrize(
    ("settings", "content", "fingerprint"),
    [
        ({"users": 60, "items": 50}, "e07f0d0e5b4823aa", "8d95165354c77cfb"),
        (
            {
                "users": 40,
                "items": 70,
                "behaviours": {"view": 0.5, "rate": 0.3, "search": 0.2},
                "repeats": True,
                "new_item_rate": 0.4,
                "seed": 5,
            },
            "1349e9ff5dbeb377",
            "ca33fd4eddedd67f",
        ),
    ],
)
def test_without_shifts_data_and_fingerprints_are_those_of_before_there_were_shifts(settings, content, fingerprint):
    source = Synthetic(**settings)
    told = pd.concat(source.events([]), ignore_index=True).to_csv(index=False) + source.items([]).to_csv(index=False)
    assert hashlib.sha256(told.encode()).hexdigest()[:16] == content
    assert data_fingerprint(DataConfig(source=source), [], version=1) == fingerprint


def test_before_a_shift_nothing_changes():
    shift = {"at": 3, "tastes": 0.5, "popularity": 0.5, "retire": 0.3}
    plain, shifted = known(), known(shift)
    np.testing.assert_array_equal(plain.tastes[:, :3], shifted.tastes[:, :3])
    np.testing.assert_array_equal(plain.popularity[:3], shifted.popularity[:3])
    np.testing.assert_array_equal(plain.available[:3], shifted.available[:3])
    calm, moved = events(), events(shift)
    early = calm["time"] < plain.start[3]
    kept = calm[early].merge(moved[moved["time"] < plain.start[3]], how="outer", indicator=True)
    assert (kept["_merge"] == "both").all()


def test_a_redrawn_taste_knows_nothing_of_the_one_before():
    told = known({"at": 3, "tastes": 0.4}, drift=0.0, users=2000)
    moved = ~np.isclose(told.tastes[:, 2], told.tastes[:, 3]).all(axis=1)
    assert abs(moved.mean() - 0.4) < 0.04
    np.testing.assert_array_equal(told.tastes[:, 3], told.tastes[:, 5])
    logs = np.log(told.tastes[moved])
    centred = logs - logs.mean(axis=2, keepdims=True)
    before, after = centred[:, 2], centred[:, 3]
    assert abs(np.corrcoef(before.ravel(), after.ravel())[0, 1]) < 0.05
    assert abs(before.std() - after.std()) < 0.1


def test_a_rotated_taste_likes_of_the_next_topic_what_it_liked_of_one():
    told = known({"at": 2, "tastes": 1.0, "taste_change": "rotate"}, drift=0.0)
    np.testing.assert_allclose(told.tastes[:, 2], np.roll(told.tastes[:, 1], 1, axis=1))


def test_who_is_met_depends_on_the_user_alone(monkeypatch):
    whole = known({"at": 2, "tastes": 0.5, "taste_change": "rotate"}, drift=0.0, new_user_rate=0)
    monkeypatch.setattr(synthetic, "_BLOCK_USERS", 50)
    parts = known({"at": 2, "tastes": 0.5, "taste_change": "rotate"}, drift=0.0, new_user_rate=0)
    moved = [~np.isclose(told.tastes[:, 1], told.tastes[:, 2]).all(axis=1) for told in (whole, parts)]
    np.testing.assert_array_equal(*moved)


def test_introduced_items_arrive_together_and_have_the_highest_ids():
    shift = {"at": 3, "introduce": 0.25}
    told = known(shift, new_item_rate=0)
    np.testing.assert_array_equal(told.available.sum(axis=1), [90, 90, 90, 120, 120, 120])
    frame = events(shift, new_item_rate=0, repeats=True)
    assert frame.loc[frame["item"] >= 90, "time"].min() >= told.start[3]
    assert frame["item"].nunique() > 110


def test_retired_items_are_not_chosen_until_they_return():
    shift = {"at": 2, "retire": 0.25, "returns": 4}
    told = known(shift, new_item_rate=0)
    np.testing.assert_array_equal(told.available.sum(axis=1), [120, 120, 90, 90, 120, 120])
    frame = events(shift, new_item_rate=0, repeats=True)
    step = told.step_at(frame["time"].to_numpy())
    assert told.available[step, frame["item"]].all()
    gone = ~told.available[2]
    assert gone[frame["item"][step == 4]].any()
    assert known({"at": 2, "retire": 0.25}, new_item_rate=0).available[5].sum() == 90


def test_retiring_again_and_again_leaves_something():
    told = known(*({"at": at, "retire": 0.9} for at in range(1, 6)), items=5, new_item_rate=0)
    np.testing.assert_array_equal(told.available.sum(axis=1), [5, 1, 1, 1, 1, 1])
    assert len(events(*({"at": at, "retire": 0.9} for at in range(1, 6)), items=5, new_item_rate=0)) > 200


def test_popularity_changes_hands():
    told = known({"at": 3, "popularity": 0.5}, new_item_rate=0)
    changed = told.popularity[2] != told.popularity[3]
    assert 50 <= changed.sum() <= 60  # of the 60 who are drawn, one or the other keeps its place
    np.testing.assert_array_equal(np.sort(told.popularity[2]), np.sort(told.popularity[3]))
    np.testing.assert_array_equal(told.popularity[3], told.popularity[5])


def test_the_log_has_the_probabilities_that_the_truth_tells():
    """A chi-squared test of each step's items against `choice`, which the probabilities of another step must fail."""
    shift = {"at": 1, "tastes": 0.5, "popularity": 0.5, "retire": 0.2, "introduce": 0.1}
    settings = {"periods": 2, "users": 300, "items": 60, "repeats": True, "persistence": 0, "events_per_user": 60}
    told, frame = known(shift, **settings), events(shift, **settings)
    step = told.step_at(frame["time"].to_numpy())
    for now in (0, 1):
        seen = frame[step == now]
        users = np.bincount(seen["user"], minlength=300)
        counts = np.bincount(seen["item"], minlength=60)
        there = told.available[now]
        assert not counts[~there].any()
        expected = users @ told.choice(now)
        deviation = ((counts - expected)[there] ** 2 / expected[there]).sum() / there.sum()
        assert deviation < 1.6
        other = users @ known(**settings).choice(now)
        if now == 1:
            assert ((counts - other)[there] ** 2 / np.maximum(other[there], 1)).sum() / there.sum() > 10


def test_probabilities_are_probabilities():
    told = known({"at": 3, "retire": 0.3, "introduce": 0.2})
    for step in (0, 3):
        choice = told.choice(step)
        np.testing.assert_allclose(choice.sum(axis=1), 1)
        assert not choice[:, ~told.available[step]].any()
        assert (choice[:, told.available[step]] > 0).all()
    np.testing.assert_array_equal(told.choice(2, users=np.array([7, 3])), told.choice(2)[[7, 3]])
    np.testing.assert_allclose(told.tastes.sum(axis=2), 1)
    np.testing.assert_allclose(told.mixtures.sum(axis=1), 1)


def test_users_join_when_the_truth_says():
    told, frame = known(new_user_rate=0.5), events(new_user_rate=0.5)
    first = told.step_at(frame.groupby("user")["time"].min().to_numpy())
    assert (first >= told.joined).all()
    assert (first == told.joined).mean() > 0.8
    assert set(told.joined) == set(range(6))


def test_an_experiment_takes_a_schedule_and_gives_it_back():
    shifts = [{"at": 1, "tastes": 0.5}, {"at": 3, "retire": 0.2, "returns": 5}]
    experiment = parse_experiment({"name": "e", "data": {"source": {"name": "synthetic", "shifts": shifts}}})
    told = experiment.model_dump(mode="json", exclude_none=True)
    assert parse_experiment(told) == experiment
    assert told["data"]["source"]["shifts"][1]["returns"] == 5


@pytest.mark.parametrize(
    ("shifts", "told"),
    [
        ([{"at": 2, "tastes": 0.1}, {"at": 2, "retire": 0.1}], "at = 2 follows at = 2; one entry a step"),
        ([{"at": 6, "tastes": 0.1}], "periods = 6 makes the steps 0 to 5"),
        ([{"at": 2, "retire": 0.1, "returns": 6}], "returns = 6, but periods = 6"),
        ([{"at": 2, "retire": 0.1, "returns": 2}], "returns = 2 must be later than at = 2"),
        ([{"at": 2, "tastes": 0.1, "returns": 3}], "needs retire"),
        ([{"at": 2}], "changes nothing"),
        ([{"at": 2, "introduce": 0.5}, {"at": 3, "introduce": 0.4}], "make 1.1 of the items"),
        ([{"at": 2, "retire": 1.0}], "less than 1"),
    ],
)
def test_wrong_schedules(shifts, told):
    with pytest.raises(ValidationError, match=told):
        Synthetic(shifts=shifts)


def test_a_wrong_key_in_one_of_the_shifts_is_named():
    source = {"name": "synthetic", "shifts": [{"at": 1, "tastes": 1}, {"at": 2, "tates": 0.5}]}
    with pytest.raises(ConfigError, match=r"data\.source\.shifts\.1\.tates: unknown key; did you mean 'tastes'\?"):
        parse_experiment({"name": "e", "data": {"source": source}})
