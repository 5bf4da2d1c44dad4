"""Rolling evaluation: which cuts, what each trains on, and end to end."""

import io
import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation.rolling.course import run_rolling

from everbloom.errors import ConfigError
from everbloom.evaluation.training_events import training_rows
from server.run_directory import RunDirectory
from simulation.campaign.grid import Cell
from simulation.rolling.grid import Cut, cell_experiment, make_grid


def rolling_tables(**tables):
    return {
        "protocol": {"periods": 4, "warm_start": 0.5, "validation": 0.2},
        "evaluation": {"k": [10, 20]},
        **tables,
    }


@pytest.fixture
def base(small):
    return small(**rolling_tables())


@pytest.fixture
def file(base, tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(base.to_toml())
    return Path("small.toml")


def roll(file: Path, cuts: int = 2, seeds: int = 2, overrides: tuple[str, ...] = ()):
    stream = io.StringIO()
    found = run_rolling(file, overrides, cuts, seeds, Path("out"), Console(file=stream, width=80, color_system=None))
    return found, stream.getvalue()


def test_cuts_are_spread_evenly(base):
    def origins(periods, cuts):
        return [cut.origin for cut in make_grid(base, periods, cuts, 1).points]

    assert origins(10, 4) == [1, 4, 6, 9]
    assert origins(10, 9) == list(range(1, 10))
    assert origins(10, 1) == [9]
    for cuts in (0, 10):
        with pytest.raises(ConfigError, match=f"--cuts {cuts}: expected 1 to 9; the timeline has 10 periods"):
            make_grid(base, 10, cuts, 1)


def test_a_cut_trains_on_all_that_precedes_it_and_on_nothing_else(base, study_of):
    whole = study_of(base).timeline
    for origin in (1, 2, 3):
        study = study_of(cell_experiment(base, Cell(Cut(origin), 4)))
        assert study.timeline.boundaries.tolist() == whole.boundaries[[0, origin, origin + 1]].tolist()
        assert study.rounds == base.federation.rounds  # none after the warm start
        assert study.trainers == study.clients
        end = whole.boundaries[origin]
        assert whole.log.time[training_rows(study.timeline, 0)].max() < end
        cases, same = study.timeline.cases(1, "test"), whole.cases(origin, "test")
        for name in ("user", "history_start", "history_end", "targets", "available"):
            assert np.array_equal(getattr(cases, name), getattr(same, name))


def test_the_warm_start_s_own_number_of_rounds_holds(small, study_of):
    base = small(**rolling_tables(continual={"method": "ewc", "warm_rounds": 5}))
    assert study_of(cell_experiment(base, Cell(Cut(2), 4))).rounds == 5


def test_a_rolling_evaluation(file):
    found, told = roll(file)
    assert [(row["period"], row["seed"], row["status"]) for row in found.rows] == [
        (1, 3, "done"), (3, 3, "done"), (1, 4, "done"), (3, 4, "done"),
    ]  # fmt: skip
    first, last = found.starts
    means = [found.of_cut(cut, "federated", "ndcg@10").mean for cut in (first, last)]
    assert found.together("federated", "ndcg@10").mean == pytest.approx(sum(means) / 2)
    assert found.of_cut(first, "popularity", "hr@10").half == 0  # no seed changes it
    gains = [
        mean - found.of_cut(cut, "popularity", "ndcg@10").mean for mean, cut in zip(means, (first, last), strict=True)
    ]
    assert found.gain("ndcg@10").mean == pytest.approx(sum(gains) / 2)
    assert "all cuts" in told
    assert "…" not in told
    assert {path.name for path in Path("out").iterdir()} == {"cells", "rolling.toml", "rolling.csv", "rolling.json"}
    told_cuts = json.loads(Path("out/rolling.json").read_text())["cuts"]
    assert told_cuts[1]["federated"]["ndcg@10"]["mean"] == pytest.approx(means[1], abs=1e-6)
    # Each is an ordinary run, and no round follows the warm start.
    run = RunDirectory.open(Path("out/cells/period-3-seed-4"))
    assert {record["period"] for record in run.records("rounds")} == {0}
    assert run.experiment.protocol.origin == 3


def test_a_deleted_cell_runs_again(file):
    roll(file)
    before = [Path("out", name).read_bytes() for name in ("rolling.csv", "rolling.json")]
    shutil.rmtree("out/cells/period-1-seed-4")
    _, told = roll(file)
    assert told.startswith("1/1 period 1, seed 4: ")
    assert [Path("out", name).read_bytes() for name in ("rolling.csv", "rolling.json")] == before


def test_mistakes_before_anything_is_written(file):
    for overrides, told in (
        (("protocol.origin=2",), "protocol.origin: a rolling evaluation sets it itself"),
        (("protocol.name=leave-one-out",), "has no periods one after another"),
        (("evaluation.k=[10]",), "include 10 and 20"),
    ):
        with pytest.raises(ConfigError, match=told):
            roll(file, overrides=overrides)
    assert [path.name for path in Path().iterdir()] == ["small.toml"]
