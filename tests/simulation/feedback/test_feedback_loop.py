"""The loop end to end: it trains as a run does, spends one budget, and moves exposure the way the literature says."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.feedback import course
from simulation.feedback.arms import arms_of, control
from simulation.feedback.measures import MEASURES
from simulation.run import run_in_process


@pytest.fixture(autouse=True)
def quickly(request, monkeypatch):
    """Drawing takes longer than training here: one test does it, the others leave an empty file."""
    if "drawing" not in request.fixturenames:
        monkeypatch.setattr(course, "draw_feedback", lambda results, title, path: path.touch())


@pytest.fixture
def drawing():
    """For a test that wants the picture."""


def value(results, lists: str, step: int, name: str) -> float:
    return results.estimate(lists, step, name).mean


def test_the_known_directions_hold(feedback):
    """Greedy lists concentrate and grow alike (Chaney et al., 2018); exploring lists do less; clicks on random items stay true to tastes."""
    results, _ = feedback(
        "data.source.users=150",
        "data.source.items=120",
        "data.source.events_per_user=30",
        "data.source.popularity=0.6",
        "model.dim=16",
        "federation.rounds=30",
        "federation.cohort=60",
        "federation.optimizer={name='fedadam',learning_rate=0.02,tau=1e-3}",
        "feedback.steps=4",
        "feedback.rounds=8",
        "feedback.explorations=[{name='greedy'},{name='epsilon-greedy',epsilon=0.3}]",
    )
    greedy, exploring, organic = "greedy", "epsilon-greedy-0.3", "organic"
    for measure in ("gini", "homogeneity", "taste_distance"):
        assert value(results, greedy, 4, measure) > value(results, greedy, 1, measure), measure
        assert value(results, greedy, 4, measure) > value(results, exploring, 4, measure), measure
        assert value(results, exploring, 4, measure) > value(results, organic, 4, measure), measure
    assert value(results, greedy, 4, "exposure_bias") > value(results, exploring, 4, "exposure_bias")
    assert abs(value(results, organic, 4, "exposure_bias")) < 0.2
    assert value(results, organic, 4, "taste_distance") < value(results, organic, 1, "taste_distance")
    assert value(results, greedy, 4, "amplified_homogeneity") > 0.05
    assert value(results, greedy, 1, "amplified_homogeneity") == 0  # one warm start
    # A trained model shows what people like, and exploring costs some of it.
    assert value(results, greedy, 1, "utility") > value(results, exploring, 1, "utility")
    assert value(results, exploring, 1, "utility") > 1.5 * value(results, organic, 1, "utility")
    for row in results.rows:
        assert row["regret"] >= 0
        assert (row["utility"] == row["model_utility"]) == (row["lists"] == greedy)


def test_the_warm_start_is_the_first_period_of_a_run(feedback, opened):
    """Same cohorts, batches and measurements: a loop goes on from where a run stands."""
    feedback(explorations=("greedy",))
    study = opened()
    run = RunDirectory.create(Path("run"), study.experiment)
    run_in_process(study, run, Silent(), resume=False)
    expected = [record for record in run.records("metrics") if record["period"] == 0]
    assert RunDirectory(Path("out/runs/seed-5/warm-start")).records("metrics") == expected
    assert len(expected) == 5  # popularity and four measurements


def test_one_budget_lasts_for_the_whole_loop(feedback):
    results, printed = feedback(
        "privacy={unit='example',epsilon=8,delta=1e-3,denominator=10}",
        "federation.cohort=1.0",
        explorations=("greedy",),
    )
    spent = [row["epsilon"] for row in results.rows if row["lists"] == "greedy"]
    assert spent == sorted(spent)
    assert spent[0] < spent[1] < spent[2] == pytest.approx(8, abs=0.05)
    assert "(8, 0.001)-differentially private" in " ".join(printed.split())
    devices = np.load("out/runs/seed-5/greedy/devices/participations.npy")
    assert (devices == 3 + 2 * 2).all()


def test_devices_whose_budget_is_spent_are_not_asked_again(feedback):
    results, _ = feedback(
        "privacy={unit='example',epsilon=8,delta=1e-3,denominator=10,max_participations=4}",
        "federation.cohort=1.0",
        explorations=("greedy",),
    )
    rounds = RunDirectory(Path("out/runs/seed-5/greedy")).records("rounds")
    assert [(record["period"], record["round"], record["clients"]) for record in rounds] == [(1, 1, 40)]
    assert [row["step"] for row in results.rows if row["lists"] == "greedy"] == [1, 2, 3]


def test_equal_calls_give_equal_files_and_seeds_differ(feedback):
    feedback(out="one", seeds=2, explorations=("epsilon-greedy",))
    feedback(out="other", seeds=2, explorations=("epsilon-greedy",))
    for name in ("feedback.csv", "feedback.json"):
        assert Path("one", name).read_bytes() == Path("other", name).read_bytes()
    rows = list(csv.DictReader(Path("one/feedback.csv").read_text().splitlines()))
    assert [(row["lists"], row["seed"], row["step"]) for row in rows] == [
        (lists, seed, step) for seed in "56" for lists in ("organic", "epsilon-greedy") for step in "123"
    ]
    assert rows[0]["ctr"] != rows[6]["ctr"]
    told = json.loads(Path("one/feedback.json").read_text())
    assert told["seeds"] == 2
    assert set(told["measures"]) == set(MEASURES)
    mean, low, high = told["steps"][3]["utility"]
    assert low < mean < high
    found = [float(row["utility"]) for row in rows if (row["lists"], row["step"]) == ("epsilon-greedy", "1")]
    assert mean == pytest.approx(np.mean(found), abs=1e-6)


def test_what_was_shown_is_logged_and_clicks_are_what_devices_learn_from(feedback, opened):
    results, _ = feedback(explorations=("epsilon-greedy",))
    for step in (1, 2, 3):
        log = np.load(f"out/runs/seed-5/epsilon-greedy/exposure/{step:04d}.npz")
        assert log["item"].shape == log["propensity"].shape == log["clicked"].shape == (len(log["user"]), 5)
        assert ((log["propensity"] > 0) & (log["propensity"] <= 1)).all()
        row = next(row for row in results.rows if (row["lists"], row["step"]) == ("epsilon-greedy", step))
        assert log["clicked"].sum() == row["clicks"] == round(row["ctr"] * log["item"].size)


def test_without_repeats_nothing_known_is_shown(feedback, opened):
    feedback("feedback.repeats=false", explorations=("epsilon-greedy",))
    study = opened()
    start = study.timeline.boundaries[1]
    known = {
        user: set(own.item[own.time < start].tolist())
        for user, own in ((user, study.dataset.events.of(user)) for user in range(study.clients))
    }
    for step in (1, 2, 3):
        log = np.load(f"out/runs/seed-5/epsilon-greedy/exposure/{step:04d}.npz")
        for user, items, clicked in zip(log["user"].tolist(), log["item"], log["clicked"], strict=True):
            assert not known[user] & set(items.tolist())
            known[user] |= set(items[clicked].tolist())


def test_a_part_of_the_people_is_shown_lists_anew_each_step(feedback):
    feedback("feedback.active=0.5", explorations=("greedy",))
    shown = [np.load(f"out/runs/seed-5/greedy/exposure/{step:04d}.npz")["user"].tolist() for step in (1, 2, 3)]
    assert all(len(users) == len(set(users)) == 20 for users in shown)
    assert shown[0] != shown[1] != shown[2]
    same = np.load("out/runs/seed-5/organic/exposure/0001.npz")["user"].tolist()
    assert same == shown[0]


def test_a_loop_on_real_events_knows_tastes_by_what_came_later(feedback, opened):
    """The same log without its generator."""
    study = opened()
    log = study.dataset.events
    rows = "\n".join(f"{u},{i},{t}" for u, i, t in zip(log.user, log.item, log.time, strict=True))
    Path("events.csv").write_text(f"user,item,time\n{rows}\n")
    items = "\n".join(f"{item},thing {item}" for item in range(len(study.dataset.catalog)))
    Path("items.csv").write_text(f"item,title\n{items}\n")
    source = "{name='table',path='events.csv',user='user',item='item',time='time',items_path='items.csv'}"
    results, _ = feedback(f"data.source={source}", "feedback.repeats=false", explorations=("greedy",))
    first = results.rows[0]
    later = {int(u) for u, t in zip(log.user, log.time, strict=True) if t >= study.timeline.boundaries[1]}
    assert 0 < first["users"] <= len(later)
    assert first["utility"] > 0.02
    assert all(row["clicks"] > 0 for row in results.rows)
    # Whoever clicks on nothing but what they meet later may find nothing at all; that is a result too.
    results, _ = feedback(f"data.source={source}", "feedback.base_rate=0", "feedback.top_n=1", out="bare")
    assert all(0 <= row["taste_distance"] <= 1 for row in results.rows)


def test_one_step_measures_the_warm_start_alone(feedback):
    results, printed = feedback("feedback.steps=1", explorations=("greedy", "random"))
    assert results.labels() == ["organic", "greedy", "random"]
    assert not RunDirectory(Path("out/runs/seed-5/greedy")).records("rounds")
    assert "greedy, step 1/1" in printed


def test_the_picture_and_the_table(feedback, drawing):
    pytest.importorskip("matplotlib")
    _, printed = feedback(seeds=2, explorations=("greedy",))
    assert Path("out/feedback.png").read_bytes().startswith(b"\x89PNG")
    assert "lists as shown: mean over 2 seeds, 95% interval" in printed
    assert "greedy: in step 3 its model's own best lists exceed the organic model's by utility" in printed
    assert "feedback.csv, feedback.json, feedback.png: out" in printed


def test_a_missing_matplotlib_costs_the_picture_only(feedback, drawing, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, printed = feedback("feedback.steps=1", explorations=("greedy",))
    assert "pip install 'everbloom[demo]'" in printed
    assert "feedback.csv, feedback.json: out" in printed


def test_arms_are_named_by_their_options_and_none_runs_twice(load):
    from everbloom.config import FeedbackConfig

    feedback = FeedbackConfig(
        explorations=(
            {"name": "epsilon-greedy", "epsilon": 0.1},
            "epsilon-greedy",
            {"name": "epsilon-greedy", "epsilon": 0.25},
            "softmax",
        )
    )
    assert [arm.label for arm in arms_of(feedback)] == ["organic", "epsilon-greedy", "epsilon-greedy-0.25", "softmax"]
    assert arms_of(feedback)[0] == control()


def test_options_override_the_table_and_keep_a_names_own_options(feedback, load):
    feedback(
        "feedback.steps=1",
        "feedback.explorations=[{name='epsilon-greedy',epsilon=0.4},{name='softmax'}]",
        "feedback.user_model={name='cascade'}",
        explorations=("epsilon-greedy,greedy",),
        user_model="dependent-click",
    )
    from everbloom.experiment import load_experiment

    kept = load_experiment(Path("out/experiment.toml")).feedback
    assert [each.name for each in kept.explorations] == ["epsilon-greedy", "greedy"]
    assert kept.explorations[0].epsilon == 0.4
    assert kept.user_model.name == "dependent-click"
