"""`everbloom audit`: what it prints and writes, its exit codes, and that mistakes are one line."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from everbloom.errors import InputError
from everbloom.privacy.audit.roc import Area
from server.checkpoint import save_checkpoint
from server.federation import initial_state
from server.run_directory import RunDirectory
from simulation.audit import audit as audits
from simulation.audit.audit import Audit
from simulation.audit.claims import Bound
from simulation.audit.course import checkpoint_parameters
from simulation.audit.gradient_canary import GradientCanary
from simulation.audit.items import ItemInference
from simulation.audit.report import best_attacks, best_bounds, draw_audit, to_json, verdict

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    import typer
    from typer.testing import CliRunner

    from simulation.audit_command import audit

APP = typer.Typer()
APP.command()(audit)
QUICK = ("--runs", "60", "--clients", "5", "--shadows", "0")


def run(*arguments: object, code: int = 0) -> str:
    """What the command prints; raises what the root command turns into one line and exit code 2."""
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    if isinstance(result.exception, InputError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def file(small, tmp_path: Path):
    def write(**tables) -> Path:
        path = tmp_path / "experiment.toml"
        path.write_text(small(**tables).to_toml())
        return path

    return write


def test_a_private_experiment(file, tmp_path):
    told = run(file(privacy=True), *QUICK, "--json", tmp_path / "a.json", "--picture", tmp_path / "a.png")
    for words in ("differentially private", "Gaussian DP", "one message", "with privacy", "no claim is refuted"):
        assert words in told
    found = json.loads((tmp_path / "a.json").read_text())
    assert not found["exceeded"]
    for bound in found["bounds"]:
        assert 0 <= bound["epsilon_lower"] <= bound["epsilon_claimed"]
        assert bound["delta"] == 1e-4
        assert not bound["exceeded"]
    assert {"mechanism", "about", "method", "confidence", "runs"} < set(found["bounds"][0])
    # All bounds of the audit together are wrong with a probability of at most 5%.
    assert sum(1 - bound["confidence"] for bound in found["bounds"]) == pytest.approx(0.05)
    assert {result["private"] for result in found["item_inference"]} == {True, False}
    assert all(0 <= result["auc_low"] <= result["auc"] <= 1 for result in found["item_inference"])
    assert found["membership_inference"] == []
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_an_experiment_without_privacy_has_no_claim(file):
    told = run(file(), "--clients", 5)
    assert "no claim to hold anything against" in told
    assert "without privacy" in told
    assert "with privacy" not in told.replace("without privacy", "")
    assert "LiRA" in told


@pytest.mark.parametrize(
    "privacy",
    [
        {"unit": "user", "mechanism": "local", "noise_multiplier": 9.0, "delta": 1e-5},
        {"unit": "user", "mechanism": "distributed", "noise_multiplier": 2.0, "delta": 1e-5},
        {"unit": "user", "mechanism": "matrix-factorisation", "noise_multiplier": 2.0, "delta": 1e-5},
    ],
    ids=lambda table: table["mechanism"],
)
def test_mechanisms_for_users(file, privacy):
    assert "no claim is refuted" in run(file(privacy=privacy), *QUICK)


def test_a_sampled_sum(file):
    privacy = {"unit": "user", "mechanism": "central", "noise_multiplier": 2.0, "delta": 1e-5}
    assert "always sampled" in run(file(privacy=privacy, federation={"sampler": "poisson"}), *QUICK)


def test_a_refuted_claim_is_loud_and_exits_with_1(file, monkeypatch):
    def generous(study, plan, runs):
        claim = audits.Claim(0.01, 0.01, plan.delta, gaussian=True)
        return [audits.Attack(GradientCanary(plan), claim, 400)]

    monkeypatch.setattr(audits, "attacks_on", generous)
    told = run(file(privacy=True), "--clients", 5, "--shadows", 0, code=1)
    assert "CLAIM EXCEEDED: device step" in told
    assert "EXCEEDED" in told.split("CLAIM")[0]


def test_the_same_seed_gives_the_same_audit(file, tmp_path):
    path, found = file(privacy=True), []
    for seed in (1, 1, 2):
        run(path, *QUICK, "--seed", seed, "--json", tmp_path / "a.json")
        found.append(json.loads((tmp_path / "a.json").read_text()))
    assert found[0] == found[1]
    assert found[0]["bounds"] != found[2]["bounds"]


def test_a_run_is_audited_where_it_stands(small, study_of, tmp_path):
    """With its last checkpoint's parameters; and nothing in it is touched, since it may be going on."""
    study = study_of(small(privacy=True))
    directory = RunDirectory.create(tmp_path / "run", study.experiment)
    with pytest.raises(InputError, match="no checkpoint to audit"):
        run(directory.path, *QUICK)
    state = initial_state(study)
    state.parameters = state.parameters + np.float32(1.0)
    save_checkpoint(directory, state, study.layout.schema)
    directory.append("rounds", {"round": 1})
    assert np.array_equal(checkpoint_parameters(directory, study), state.parameters)
    assert "no claim is refuted" in run(directory.path, *QUICK)
    assert directory.records("rounds") == [{"round": 1}]
    with pytest.raises(InputError, match="is a run as it was"):
        run(directory.path, "-s", "seed=2")
    (directory.checkpoints / "state.json").write_text("{")
    with pytest.raises(InputError, match="damaged checkpoint"):
        run(directory.path, *QUICK)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--runs", 3), "--runs 3: so few prove nothing"),
        (("--clients", 1), "--clients 1: expected at least 2"),
        (("--shadows", 3), "--shadows 3: expected 0, or an even number from 4 on"),
        (("--json", "nowhere/a.json"), "there is no folder nowhere"),
        (("-s", "privacy.epsilon=-1"), "privacy.epsilon"),
    ],
)
def test_mistakes_are_one_line(file, arguments, said):
    with pytest.raises(InputError, match=said) as error:
        run(file(privacy=True), *arguments)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_said():
    with pytest.raises(InputError, match=r"no-such\.toml"):
        run("no-such.toml")


# ---- the report by itself

LOW = Bound("step", "one message", "Clopper-Pearson", 2.0, 0.5, 1e-5, 0.99, 100)
HIGH = Bound("step", "one message", "Gaussian DP", 2.0, 2.5, 1e-5, 0.99, 100)
CURVE = np.linspace(0, 1, 5)
ITEMS = ItemInference("rise", True, 3, 9, Area(0.6, 0.5, 0.7), CURVE, CURVE)


def test_the_verdict_names_the_worst():
    found = Audit("e", "claimed", None, [LOW, HIGH], [ITEMS], [])
    assert found.exceeded
    assert verdict(found) == "CLAIM EXCEEDED: step, one message: epsilon is at least 2.5, claimed 2"
    assert best_bounds([LOW, HIGH]) == [HIGH]


def test_the_verdict_says_when_little_was_tried():
    weak = replace(LOW, epsilon_lower=0.0)
    assert "--runs" not in verdict(Audit("e", "claimed", None, [LOW, weak], [ITEMS], []))
    assert verdict(Audit("e", "claimed", None, [weak], [ITEMS], [])).endswith("more with --runs")


def test_the_picture_shows_the_best_attacks():
    weaker, exact = replace(ITEMS, area=Area(0.5, 0.4, 0.6)), replace(ITEMS, private=False)
    assert best_attacks([weaker, ITEMS, exact]) == [ITEMS, exact]


def test_json_is_plain():
    found = to_json(Audit("e", "claimed", None, [LOW], [ITEMS], []))
    assert json.loads(json.dumps(found)) == found
    assert found["item_inference"][0]["true_positive"] == CURVE.tolist()


def test_a_picture_that_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InputError, match="cannot be drawn"):
        draw_audit(Audit("e", "claimed", None, [], [ITEMS], []), tmp_path / "a.nonsense")
