"""`everbloom recommend`: lists with reasons for known and for new people, and one line for what cannot be."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.counterfactuals import asked_now
from simulation.export import one_user
from simulation.trained import open_trained

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

EXPERIMENT = """
name = "small"
seed = 1
[data]
text = "{title}. {group}"
[data.source]
name = "table"
path = "events.csv"
user = "user"
item = "item"
time = "time"
behaviour = "did"
items_path = "items.csv"
item_fields = ["title", "group"]
[protocol]
name = "leave-one-out"
[model]
dim = 8
[model.items]
features = { name = "tfidf", dims = 4 }
[model.user]
layers = 1
history = 4
feedforward = 1
[federation]
rounds = 2
[evaluation]
every = 1
slices = false
"""
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path, monkeypatch, capsys) -> Call:
    """(arguments) -> (exit code, stdout, stderr), in a folder with a data set of 6 people and 12 things."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    Path("small.toml").write_text(EXPERIMENT)
    rng = np.random.default_rng(2)
    rows = [
        f"u{user},i{item},{100 * place},{('view', 'purchase')[place % 2]}"
        for user in range(6)
        for place, item in enumerate(rng.choice(12, 7, replace=False))
    ]
    Path("events.csv").write_text("user,item,time,did\n" + "\n".join(rows) + "\n")
    things = [
        f"i{item},{('red', 'blue')[item % 2]} thing{item} [new],{('toys', 'tools')[item // 6]}" for item in range(12)
    ]
    Path("items.csv").write_text("item,title,group\n" + "\n".join(things) + "\n")

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["everbloom", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, error = capsys.readouterr()
        return int(ended.value.code or 0), out, error

    return run


@pytest.fixture
def trained(call) -> Call:
    """`call` where the run `run` has been made."""
    assert call("run", "small.toml", "--out", "run")[0] == 0
    return call


def answer(call: Call, *arguments: object) -> list[dict]:
    code, out, _ = call("recommend", "run", "--json", *arguments)
    assert code == 0
    return json.loads(out)["recommendations"]


def test_the_list_is_that_of_the_served_model(trained):
    found = answer(trained, "--user", "u3", "-n", 4)
    opened = open_trained(Path("run"), Console(quiet=True), "to test")
    log = one_user(opened.study.dataset.events, opened.user("u3"))
    scorer = ModelScorer(opened.study.new_model(), opened.study.layout, opened.parameters, log)
    scores = scorer.score(asked_now(log, np.ones(12, dtype=np.bool_), opened.now), np.array([0]))[0].numpy()
    new = [item for item in np.argsort(-scores, kind="stable") if item not in log.item]
    ids = opened.study.dataset.catalog.item_ids
    assert [one["item"] for one in found] == [ids[item] for item in new[:4]]
    assert [one["score"] for one in found] == pytest.approx(scores[new[:4]].tolist(), abs=1e-5)
    assert [one["rank"] for one in found] == [1, 2, 3, 4]
    assert "why" not in found[0]


def test_reasons(trained):
    met = {row.split(",")[1] for row in Path("events.csv").read_text().splitlines() if row.startswith("u3,")}
    found = answer(trained, "--user", "u3", "--why")
    assert len(found) == 5  # of twelve, seven are known
    for one in found:
        assert {event["item"] for event in one["events"]} <= met
        assert all(event["contribution"] > 0 for event in one["events"])
        assert set(one["parts"]) == {"field:title", "field:group", "content", "collaborative", "popularity"}
        assert one["why"].startswith("Because you ") == bool(one["events"])
    assert any(one["events"] for one in found)
    chinese = answer(trained, "--user", "u3", "--why", "--language", "zh")
    assert all(one["why"].startswith("因为您") for one in chinese if one["events"])


def test_somebody_new_in_words(trained):
    found = answer(trained, "--text", "red toys; blue tools", "-n", 12, "--why")
    assert len(found) == 12
    said = {event["title"] for one in found for event in one["events"]}
    assert said <= {"red toys", "blue tools"}
    assert any('you said "' in one["why"] for one in found)
    other = answer(trained, "--text", "blue", "-n", 12)
    assert [one["score"] for one in other] != [one["score"] for one in found]


def test_a_table_for_people(trained):
    code, out, _ = trained("recommend", "run", "--user", "u1", "--why", "-n", 2)
    assert code == 0
    assert "for user u1" in out
    assert "[new]" in out  # a title is no markup
    assert "Because you" in out
    _, out, _ = trained("recommend", "run", "--text", "red", "-n", 1)
    assert "for red" in out


def test_nothing_of_the_run_is_changed(trained):
    before = {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()}
    answer(trained, "--user", "u3", "--why")
    assert {path: path.read_bytes() for path in Path("run").rglob("*") if path.is_file()} == before


MISTAKES = {
    "nobody": ([], "recommend: give either --user ID"),
    "two": (["--user", "u1", "--text", "red"], "recommend: give either --user ID"),
    "unknown user": (["--user", "u9"], "--user: no user 'u9' in the data set of run; it has 6, for example 'u0'"),
    "none": (["--user", "u1", "--n", "0"], "--n: 0 items cannot be recommended; expected at least 1"),
    "fewer than none": (["--user", "u1", "--n", "-3"], "--n: -3 items cannot be recommended"),
    "no text": (["--text", ""], "--text: holds no words"),
    "no words": (["--text", " ; ...;"], "--text: holds no words"),
    "unknown words": (["--text", "red; qwertz"], "--text: the model's encoder knows no word of 'qwertz'"),
    "unknown language": (["--user", "u1", "--language", "fr"], "--language: 'fr' is not spoken here; expected one of: en, zh"),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKES)
def test_mistakes(trained, kind):
    arguments, told = MISTAKES[kind]
    code, out, error = trained("recommend", "run", *arguments)
    assert (code, out) == (2, "")
    assert error.startswith(f"error: {told}")
    assert error.count("\n") == 1


def test_runs_that_have_no_model(call):
    code, _, error = call("recommend", "nowhere", "--user", "u1")
    assert (code, error) == (2, "error: nowhere: no run to recommend from here (experiment.toml is missing)\n")
    assert call("run", "small.toml", "--out", "run")[0] == 0
    for path in Path("run/checkpoint").iterdir():
        path.unlink()
    code, _, error = call("recommend", "run", "--user", "u1")
    assert code == 2
    assert error.startswith("error: run: no checkpoint here yet")


def test_a_model_without_texts_reads_no_words(call):
    Path("small.toml").write_text(EXPERIMENT.replace('features = { name = "tfidf", dims = 4 }', "embedding = true"))
    assert call("run", "small.toml", "--out", "run")[0] == 0
    code, _, error = call("recommend", "run", "--text", "red toys")
    assert code == 2
    assert "knows items by their numbers alone and reads no words" in error
    found = answer(call, "--user", "u3", "--why")
    assert set(found[0]["parts"]) == {"collaborative", "popularity"}


def test_what_devices_have_learnt_for_themselves_counts(call):
    Path("small.toml").write_text(EXPERIMENT.replace("history = 4", "history = 4\npersonal = true"))
    assert call("run", "small.toml", "--out", "run")[0] == 0
    opened = open_trained(Path("run"), Console(quiet=True), "to test")
    own = opened.personal(opened.user("u3"))
    assert own.any()
    found = answer(call, "--user", "u3", "--why", "-n", 2)
    next(Path("run/devices").glob("personal-*.npy")).unlink()
    code, _, error = call("recommend", "run", "--user", "u3")
    assert code == 2
    assert "damaged checkpoint" in error
    assert len(found) == 2
    assert answer(call, "--text", "red", "-n", 1)  # somebody new has no device


def test_a_devices_own_model_is_what_recommends(call):
    """Under Ditto, with its reasons; somebody new is served by the shared model."""
    Path("small.toml").write_text(EXPERIMENT)
    assert call("run", "small.toml", "--out", "run", "-s", "learning.algorithm=ditto")[0] == 0
    opened = open_trained(Path("run"), Console(quiet=True), "to test")
    user, study = opened.user("u3"), opened.study
    own = opened.of_user(user).parameters
    assert np.array_equal(own, np.load(next(Path("run/devices").glob("personal-*.npy")))[user])
    assert np.abs(own - opened.parameters).max() > 1e-4
    log = one_user(study.dataset.events, user)
    scorer = ModelScorer(study.new_model(), study.layout, own, log)
    scores = scorer.score(asked_now(log, np.ones(12, dtype=np.bool_), opened.now), np.array([0]))[0].numpy()
    new = [item for item in np.argsort(-scores, kind="stable") if item not in log.item]
    found = answer(call, "--user", "u3", "--why", "-n", 4)
    assert [one["score"] for one in found] == pytest.approx(scores[new[:4]].tolist(), abs=1e-5)
    for one in found:
        told = sum(event["contribution"] for event in one["events"])
        assert np.isfinite(told)
    assert answer(call, "--text", "red", "-n", 1)
    assert call("report", "run")[0] == 0


TOWER = """
[model.user.tower]
reads = "READS"
[model.user.tower.model]
config = "gpt2"
options = { n_embd = 16, n_layer = 2, n_head = 2 }
"""


@pytest.mark.parametrize("reads", ["text", "items"])
def test_a_language_model_that_reads_histories(call, reads):
    text = EXPERIMENT.replace("feedforward = 1", "feedforward = 1\ndropout = 0" + TOWER.replace("READS", reads))
    Path("small.toml").write_text(text.replace("rounds = 2", "rounds = 1"))
    assert call("run", "small.toml", "--out", "run")[0] == 0
    found = answer(call, "--user", "u3", "--why", "-n", 2)
    assert len(found) == 2
    code, _, error = call("recommend", "run", "--text", "red toys")
    assert (code, "has none of other words" in error) == ((2, True) if reads == "text" else (0, False))
    code, _, error = call("export", "run", "--out", "new", "--no-onnx")
    assert code == 2
    assert "has no export" in error


def test_what_is_bought_again_is_recommended_again(call):
    """Where the protocol asks for repeats."""
    protocol = 'name = "timeline"\ncut = "counts"\nperiods = 2\nrepeats = true'
    Path("small.toml").write_text(EXPERIMENT.replace('name = "leave-one-out"', protocol))
    assert call("run", "small.toml", "--out", "run")[0] == 0
    assert len(answer(call, "--user", "u3", "-n", 99)) == 12
