"""A poisoning suite from end to end: complete, interrupted and continued, on every runtime, refused."""

import json
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from everbloom.errors import ConfigError, InputError
from everbloom.methods import AGGREGATION_RULES
from server.federation import initial_state
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell
from simulation.campaign.progress import CampaignConsole
from simulation.poisoning import measure
from simulation.poisoning.attack import ATTACKS
from simulation.poisoning.course import run_poisoning
from simulation.poisoning.grid import POISONING, cell_experiment, make_grid
from simulation.poisoning.scene import Scene
from simulation.run import run_in_process


@pytest.fixture
def suite(robust, tmp_path, monkeypatch):
    """(**options) -> (results, what was printed) of `everbloom poison tiny.toml --out out`."""
    monkeypatch.chdir(tmp_path)

    def build(out="out", overrides=(), experiment=None, **options):
        Path("tiny.toml").write_text((experiment or robust()).to_toml())
        told = StringIO()
        asked = {"attacks": ["sign-flip"], "rules": ["mean,median"], "fraction": 0.3, "epsilon": None}
        asked |= {"units": ["user,example"], "private_rules": ["mean"], "seeds": 1, **options}
        console = Console(file=told, width=300)
        return run_poisoning(Path("tiny.toml"), overrides, **asked, out=Path(out), console=console), told.getvalue()

    return build


def files(folder="out"):
    return [(Path(folder) / name).read_bytes() for name in ("poisoning.csv", "poisoning.json")]


def test_a_suite(suite):
    found, told = suite()
    assert [(row["attack"], row["rule"], row["status"]) for row in found.rows] == [
        ("none", "mean", "done"), ("none", "median", "done"), ("sign-flip", "mean", "done"), ("sign-flip", "median", "done"),
    ]  # fmt: skip
    for row in found.rows:
        assert row["attackers"] == 4
        assert 0 < row["honest"] <= 10
        assert 0 < row["asked"] <= 10
        assert 0 <= row["promoted"] <= 1 <= row["rank"] <= 60
        assert row["target"] == found.rows[0]["target"]
    assert "sign-flip" in told
    assert told.splitlines()[-1] == "poisoning.csv, poisoning.json: out"
    assert {path.name for path in Path("out").iterdir()} == {
        "cells",
        "poisoning.csv",
        "poisoning.json",
        "poisoning.toml",
    }


def test_an_interrupted_suite_continues_to_the_same_files_and_runs_nothing_twice(suite):
    suite("whole")
    left, done = iter(range(8, 0, -1)), CampaignConsole.round_done

    def round_done(self, record, reasons):
        if next(left, 0) == 1:
            raise KeyboardInterrupt
        done(self, record, reasons)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(CampaignConsole, "round_done", round_done)
        with pytest.raises(KeyboardInterrupt):
            suite()
    finished = {path: path.stat().st_mtime_ns for path in Path("out").rglob("summary.json")}
    assert len(finished) == 2
    suite()
    assert files() == files("whole")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    extended, _ = suite(attacks=["sign-flip,random"])
    assert len(extended.rows) == 6
    with pytest.raises(InputError, match="holds a poisoning suite with sign-flip, mean"):
        suite(attacks=["random"])
    with pytest.raises(InputError, match="which this grid leaves out"):
        suite(fraction=0.2)


def test_private_cells_and_what_is_refused_among_them(suite, robust):
    privacy = {"unit": "none", "delta": 1e-3, "denominator": 10}
    experiment = robust(privacy=privacy, sampler="poisson")
    found, told = suite(experiment=experiment, rules=["mean"], epsilon=8.0, private_rules=["mean,median"])
    assert {(row["rule"], row["unit"]): row["status"] for row in found.rows} == {
        ("mean", "none"): "done",
        ("mean", "user"): "done",
        ("median", "user"): "refused",
        ("mean", "example"): "done",
        ("median", "example"): "done",
    }
    assert 0 < next(row for row in found.rows if row["unit"] == "user")["epsilon_spent"] <= 8
    (line,) = [line for line in told.splitlines() if line.startswith("refused")]
    assert line.startswith('refused (attack none, sign-flip): federation.aggregation = "median": looks at every')


@pytest.mark.parametrize("attack", ATTACKS.names())
def test_an_attacked_run_is_one_on_every_runtime_and_resumes_to_its_bytes(robust, opened, tmp_path, attack):
    base = robust()
    (point,) = [
        point
        for point in make_grid(base, [attack], ["trimmed-mean:byzantine=0.3"], 0.3, None, [], ["mean"], 1).points
        if point.attack is not None
    ]
    experiment, between = cell_experiment(base, Cell(point, base.seed)), POISONING.between(point)

    def run(name, observer=None, resume=False, **runtime):
        chosen = experiment.model_copy(update={"runtime": experiment.runtime.model_copy(update=runtime)})
        folder = tmp_path / name
        directory = RunDirectory.open(folder) if resume else RunDirectory.create(folder, chosen)
        run_in_process(opened(chosen), directory, observer or Silent(), resume, between)
        return measure.released(opened(chosen), directory, lambda state: None)[1]

    class Stops(Silent):
        def round_done(self, record, reasons):
            if record["round"] == 2:
                raise KeyboardInterrupt

    whole = run("together")
    start = initial_state(opened(experiment)).parameters
    for clients in ("unfolded", "one-by-one"):
        assert np.linalg.norm(run(clients, clients=clients) - whole) <= 1e-3 * max(1e-3, np.linalg.norm(whole - start))
    with pytest.raises(KeyboardInterrupt):
        run("cut", Stops())
    assert run("cut", resume=True).tobytes() == whole.tobytes()


def test_the_promoted_items_rank_is_that_of_the_scores(suite, robust, opened):
    """By hand: the number of items that score above it and are new to the person, plus one."""
    suite()
    (cell, *_) = [path for path in Path("out/cells").iterdir() if path.name.startswith("sign-flip-mean")]
    study = opened(RunDirectory.open(cell).experiment)
    scene, (_, parameters) = Scene.of(study, 0.3), measure.released(study, RunDirectory.open(cell), lambda state: None)
    scorer = measure.ModelScorer(study.new_model(), study.layout, parameters, study.dataset.events)
    cases, expected = study.timeline.cases(0, "test"), []
    scores = scorer.score(cases, np.arange(len(cases))).numpy()
    for case, user in enumerate(cases.user.tolist()):
        known = set(study.dataset.events.item[cases.history_start[case] : cases.history_end[case]].tolist())
        wanted = set(cases.targets[cases.target_offsets[case] : cases.target_offsets[case + 1]].tolist())
        if user in scene.attackers or scene.target in known | wanted:
            continue
        ranked = [item for item in range(len(study.dataset.catalog)) if item not in known or item in wanted]
        expected.append(1 + sum(scores[case, item] > scores[case, scene.target] for item in ranked))
    assert measure.target_ranks(cell, study, scene).tolist() == expected
    row = json.loads((cell / "poisoning.json").read_text())
    assert row["rank"] == pytest.approx(np.mean(expected))
    assert row["promoted"] == pytest.approx(np.mean(np.array(expected) <= 10))


WRONG = {
    "an unknown attack": ({"attacks": ["nope"]}, "--attacks nope: expected one of: random, sign-flip"),
    "an unknown rule": ({"rules": ["nope"]}, "--rules nope: expected one of: mean, median"),
    "an unknown option": ({"attacks": ["random:boost=2"]}, "--attacks random.*boost"),
    "a wrong option": ({"rules": ["median:byzantine=0.7"]}, "--rules median.*less than 0.5"),
    "no value": ({"rules": ["median:byzantine=x"]}, "--rules median"),
    "everybody": ({"fraction": 0.5}, "--fraction 0.5: expected a share"),
    "nobody": ({"fraction": 0.01}, "--fraction 0.01: of 14 people that is nobody"),
    "no budget": ({"epsilon": -1.0}, "--epsilon -1: expected a positive number"),
    "no list of ten": ({"overrides": ["evaluation.k=[5]", "evaluation.select=ndcg@5"]}, "evaluation.k: .* include 10"),
    "periods": ({"overrides": ["protocol.name=timeline"]}, 'protocol.name = "leave-one-out"'),
    "personal": ({"overrides": ["model.user.personal=true"]}, "model.user.personal: attackers"),
    "own models": ({"overrides": ["learning.algorithm=ditto"]}, 'learning.algorithm = "ditto": attackers'),
    "masks": ({"overrides": ["runtime.masks=true"]}, "runtime.masks: attackers exchange no masks"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_are_one_line_before_anything_is_written(suite, case):
    options, told = WRONG[case]
    with pytest.raises(ConfigError, match=told) as caught:
        suite(**options)
    assert "\n" not in str(caught.value)
    assert not Path("out").exists()


def test_sums_of_integers_are_not_attacked(suite, robust):
    privacy = {"unit": "user", "mechanism": "distributed", "epsilon": 8.0, "delta": 1e-3}
    with pytest.raises(ConfigError, match=r'privacy\.mechanism = "distributed": what attackers send'):
        suite(experiment=robust(privacy=privacy), rules=["mean"], epsilon=8.0, units=["user"])


def test_an_experiments_own_rule_keeps_its_options(robust):
    own = {"name": "median", "byzantine": 0.3}
    grid = make_grid(robust(aggregation=own), ["random"], ["mean,median"], 0.1, None, [], ["mean"], 1)
    assert [point.rule for point in grid.points[:2]] == [
        AGGREGATION_RULES.parse("mean"),
        AGGREGATION_RULES.parse(own),
    ]
    for point in grid.points:
        assert POISONING.read(point.table) == point


def test_one_rule_with_several_options_has_a_cell_for_each(robust):
    grid = make_grid(
        robust(), ["promote:boost=5,promote"], ["median,median:byzantine=0.2,median"], 0.1, None, [], ["mean"], 1
    )
    assert [point.label for point in grid.points] == [
        f"{attack}, {rule}"
        for attack in ("no attack", "promote:boost=5.0", "promote")
        for rule in ("median", "median:byzantine=0.2")
    ]
    assert len({point.name for point in grid.points}) == 6
    assert not any(":" in point.name for point in grid.points)
