"""Every registered baseline as a whole run: repeatable, resumable, blind to what is held out, and readable beside other runs."""

import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from everbloom.data.events import EventLog
from everbloom.data.timeline import Timeline
from everbloom.errors import ConfigError, DataError
from everbloom.experiment import load_experiment, parse_experiment
from everbloom.methods import FEDERATED_BASELINES
from everbloom.report.comparing import compare_runs
from everbloom.report.records import find_runs
from everbloom.report.report import report
from everbloom.study import open_study
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.cli import app
from simulation.commands import check_experiment, resume_run, start_experiment
from simulation.federated_baseline.course import Course, open_baseline

EVERY = FEDERATED_BASELINES.names()


@pytest.fixture
def quiet():
    return Console(quiet=True)


def tables(name="pfedrec", rounds=3, **more):
    source = {"name": "synthetic", "users": 60, "items": 400, "events_per_user": 12, "new_user_rate": 0.0, "seed": 5}
    return {
        "name": "baseline",
        "seed": 3,
        "data": {"source": source},
        "protocol": {"name": "leave-one-out"},
        "baseline": {"name": name, "dim": 4, "batch": 8, "item_rate": 20.0},
        "federation": {"rounds": rounds},
        "evaluation": {
            "every": 1,
            "slices": False,
            "candidates": "drawn",
            "select": "hr@10",
            "select_protocol": "sampled-99",
        },
        **more,
    }


def lasting(path):
    """What a run leaves behind that does not depend on the clock."""
    rounds = [{**json.loads(line), "seconds": 0} for line in (path / "rounds.jsonl").read_text().splitlines()]
    summary = json.loads((path / "summary.json").read_text())
    for key in ("seconds", "peak_memory_mb"):
        del summary[key]
    return (path / "metrics.jsonl").read_text(), rounds, summary


@pytest.mark.parametrize("name", EVERY)
def test_a_run_is_repeatable_resumable_and_complete(name, tmp_path, quiet, monkeypatch):
    experiment = parse_experiment(tables(name))
    start_experiment(experiment, tmp_path / "one", quiet)
    start_experiment(experiment, tmp_path / "two", quiet)
    assert lasting(tmp_path / "one") == lasting(tmp_path / "two")

    class Killed(Exception):
        pass

    account = Course._account

    def killed(self, seconds):
        account(self, seconds)
        if self.state.round == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Course, "_account", killed)
        with pytest.raises(Killed):
            start_experiment(experiment, tmp_path / "cut", quiet)
    resume_run(tmp_path / "cut", quiet)
    assert lasting(tmp_path / "cut") == lasting(tmp_path / "one")

    metrics, rounds, summary = lasting(tmp_path / "one")
    method = experiment.baseline
    other = "aggregated" if method.own_items else "own-items"
    assert {json.loads(line)["model"] for line in metrics.splitlines()} == {"federated", "popularity", other}
    assert set(summary["test"]) == set(summary["baselines"][other]) == {"full", "sampled-99"}
    up, down = method.traffic(method.initial(summary["users"], summary["items"], 3))
    assert summary["bytes_up"] == 3 * 60 * up == sum(record["bytes_up"] for record in rounds)
    assert summary["bytes_down"] == 3 * 60 * down
    assert summary["privacy"]["unit"] == "none"


@pytest.mark.parametrize("name", EVERY)
def test_training_never_reads_what_is_held_out(name, tmp_path):
    """With the two held-out items of everybody exchanged for others, every round is the same."""

    def trained(study):
        path = tmp_path / str(len(list(tmp_path.iterdir())))
        course = Course(study, RunDirectory.create(path, study.experiment), Silent(), resume=False)
        for _ in range(2):
            course._round()
        return course.state.parameters

    experiment = parse_experiment(tables(name, evaluation={"every": 9, "slices": False}))
    study = open_baseline(experiment, lambda done, total: None)
    log = study.dataset.events
    item = log.item.copy()
    for user in range(log.users):
        end = log.offsets[user + 1]
        if end - log.offsets[user] > 2:  # of fewer, nothing is held out
            item[end - 2 : end] = (item[end - 2 : end] + 101) % len(study.dataset.catalog)
    other = EventLog(**{**{key: getattr(log, key) for key in log.__dataclass_fields__}, "item": item})
    timeline = Timeline(other, study.dataset.catalog, experiment.data, experiment.protocol)
    changed = type(study)(experiment, study.dataset, timeline, None)
    assert np.array_equal(trained(study), trained(changed))


def test_sparing_what_is_held_out_reads_it_and_says_so(tmp_path):
    """The switch that papers need is not on by itself."""
    assert all(FEDERATED_BASELINES.parse(name).held_out_negatives for name in EVERY)


def test_report_and_compare_read_it_beside_other_runs(tmp_path, quiet):
    start_experiment(parse_experiment(tables("fedmf")), tmp_path / "fedmf", quiet)
    start_experiment(parse_experiment(tables("pfedrec")), tmp_path / "pfedrec", quiet)
    own = {key: table for key, table in tables(rounds=1).items() if key != "baseline"}
    own["model"] = {"dim": 4, "user": {"layers": 1, "heads": 1, "history": 5, "feedforward": 1}}
    start_experiment(parse_experiment(own), tmp_path / "own", quiet)
    runs = find_runs([tmp_path])
    page = report(runs)
    assert "aggregated" in page
    assert "own-items" in page
    assert "the published pfedrec" in report(find_runs([tmp_path / "pfedrec"]))
    found = compare_runs(runs)
    assert len({one.contender.label for one in found.against}) == 2
    ran = CliRunner().invoke(app, ["check", str(tmp_path / "pfedrec" / "experiment.toml")])
    assert ran.exit_code == 0


def test_check_shows_what_it_costs(tmp_path, capsys):
    path = tmp_path / "experiment.toml"
    path.write_text(parse_experiment(tables("gpfedrec")).to_toml())
    assert load_experiment(path).baseline == parse_experiment(tables("gpfedrec")).baseline
    check_experiment(path, [], Console(width=200))
    shown = capsys.readouterr().out
    assert "KDD 2024" in shown
    assert "3,904, 7,808" in shown  # 244 items x 4 dimensions x 4 bytes, and twice


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"privacy": {"unit": "user", "epsilon": 8.0, "delta": 1e-5}},
            "pfedrec has no privacy guarantee, because the rows",
        ),
        ({"protocol": {"name": "timeline"}}, 'protocol.name = "leave-one-out"'),
        ({"model": {"dim": 8}}, r"\[model\] with \[baseline\]: pfedrec does not read it"),
        ({"learning": {"negatives": 8}}, r"\[learning\] with \[baseline\]"),
        ({"runtime": {"workers": 2}}, r"\[runtime\] with \[baseline\]"),
        ({"federation": {"cohort": 5}}, r"federation.cohort with \[baseline\]: in pfedrec every client"),
        ({"federation": {"optimizer": "fedavg"}}, r"federation.optimizer with \[baseline\]"),
        ({"evaluation": {"select_protocol": "sampled-99"}}, "needs evaluation.candidates"),
        ({"baseline": {"name": "pfedrec", "user_rate": 1.0}}, "unknown key"),
    ],
)
def test_what_a_baseline_would_ignore_is_refused(more, told):
    with pytest.raises(ConfigError, match=told):
        parse_experiment(tables(**more))


def test_too_many_negatives_are_refused(tmp_path, quiet):
    wanted = tables(baseline={"name": "pfedrec", "negatives": 300})
    with pytest.raises(DataError, match=r"baseline.negatives: 300 negatives a positive .* leaves 2\d\d of 244"):
        start_experiment(parse_experiment(wanted), tmp_path / "run", quiet)


def test_commands_for_the_projects_own_model_refuse_it():
    with pytest.raises(ConfigError, match="pfedrec has a model of its own, which only `everbloom run` trains"):
        open_study(parse_experiment(tables()), lambda done, total: None, lambda done, total: None)
