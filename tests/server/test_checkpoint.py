"""Checkpoints: whole at every moment, refused when they are not this run's."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from everbloom.errors import CheckpointError
from server import checkpoint
from server.checkpoint import load_checkpoint, save_checkpoint
from server.run_directory import RunDirectory
from server.state import Best, FederationState, Totals


@pytest.fixture
def directory(tmp_path, small) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", small())


@pytest.fixture
def state(some_arrays) -> FederationState:
    return FederationState(
        parameters=np.array([0.1, -2.0], dtype=np.float32),
        optimizer=some_arrays,
        participations=np.array([0, 3, 1], dtype=np.int32),
        before=np.array([0, 2, 1], dtype=np.int32),
        last_asked=np.array([0, 7, 2], dtype=np.int32),
        mechanism={"clip": np.array([0.25])},
        period=1,
        round=4,
        best=Best(0.25, 2, np.array([5.0, 6.0], dtype=np.float32)),
        stale=2,
        stopped=True,
        test=[{"period": 1, "ndcg@10": 0.5, "slice": "all"}],
        clock=86400.000000000015,
        totals=Totals(rounds=9, clients=40, failed=1, unneeded=7, seconds=2.5, bytes_up=10, bytes_down=20),
    )


def loaded(directory: RunDirectory, schema: str = "abc", clients: int = 3) -> FederationState:
    found = load_checkpoint(directory, schema, clients)
    assert found is not None
    return found


def same(one: FederationState, other: FederationState) -> bool:
    first, second = asdict(one), asdict(other)
    np.testing.assert_equal(first, second)
    return True


@pytest.mark.parametrize("best", [True, False])
def test_there_and_back(directory, state, best):
    if not best:
        state.best = None
    save_checkpoint(directory, state, "abc")
    assert same(loaded(directory), state)
    assert loaded(directory).participations.dtype == np.int32
    assert loaded(directory).parameters.dtype == np.float32


def test_nothing_in_it_is_executable(directory, state):
    save_checkpoint(directory, state, "abc")
    assert {path.suffix for path in directory.checkpoints.iterdir()} == {".json", ".safetensors"}


def test_only_the_last_is_kept(directory, state):
    for state.round in range(4, 9):
        save_checkpoint(directory, state, "abc")
    assert len(list(directory.checkpoints.iterdir())) == 2
    assert loaded(directory).round == 8


def test_before_the_first_checkpoint_a_run_starts_again(directory):
    directory.append("rounds", {"round": 1})
    assert load_checkpoint(directory, "abc", 3) is None
    assert directory.records("rounds") == []


def test_records_after_the_checkpoint_are_dropped(directory, state):
    directory.append("rounds", {"round": 4})
    directory.append("metrics", {"round": 4})
    save_checkpoint(directory, state, "abc")
    directory.append("rounds", {"round": 5})
    with (directory.path / "metrics.jsonl").open("a") as stream:
        stream.write('{"round": 5, "cut sho')
    loaded(directory)
    assert directory.records("rounds") == directory.records("metrics") == [{"round": 4}]


@pytest.mark.parametrize(
    ("step", "occurrence"),
    [("save_file", 1), ("replace", 1), ("replace", 2), *(("_flush", place) for place in range(1, 5))],
)
def test_a_kill_between_any_two_writes_leaves_the_last_one_whole(directory, state, monkeypatch, step, occurrence):
    """Each step that writes is made to be the last thing that happens."""
    save_checkpoint(directory, state, "abc")
    before = loaded(directory)
    target, name = (Path, "replace") if step == "replace" else (checkpoint, step)
    real, calls = getattr(target, name), []

    def dies(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == occurrence:
            raise KeyboardInterrupt
        return real(*arguments)

    later = FederationState(
        state.parameters + 1,
        state.optimizer,
        state.participations + 1,
        state.before,
        state.last_asked,
        period=1,
        round=5,
    )
    with monkeypatch.context() as patch:
        patch.setattr(target, name, dies)
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(directory, later, "abc")
    assert same(loaded(directory), before)
    save_checkpoint(directory, later, "abc")
    assert same(loaded(directory), later)


def test_another_model_is_refused(directory, state):
    save_checkpoint(directory, state, "abc")
    with pytest.raises(
        CheckpointError, match=r"parameter schema abc is not this experiment's xyz; \[model\] or the data"
    ):
        loaded(directory, schema="xyz")


def test_another_population_is_refused(directory, state):
    save_checkpoint(directory, state, "abc")
    with pytest.raises(CheckpointError, match="holds 3 clients, the data set has 4"):
        loaded(directory, clients=4)


def change_header(directory: RunDirectory, **change: object) -> None:
    path = directory.checkpoints / "state.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))


def arrays_of(directory: RunDirectory) -> Path:
    return next(directory.checkpoints.glob("*.safetensors"))


DAMAGE = {
    "half a header": lambda run: (run.checkpoints / "state.json").write_text('{"format": 1, "sche'),
    "no header's content": lambda run: (run.checkpoints / "state.json").write_text("[]"),
    "a key less": lambda run: (run.checkpoints / "state.json").write_text('{"format": 3, "schema": "abc"}'),
    "half the arrays": lambda run: arrays_of(run).write_bytes(arrays_of(run).read_bytes()[:-9]),
    "no arrays": lambda run: arrays_of(run).unlink(),
    "other totals": lambda run: change_header(run, totals={"laps": 3}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_in_one_line_and_nothing_is_changed(directory, state, kind):
    directory.append("rounds", {"round": 4})
    save_checkpoint(directory, state, "abc")
    directory.append("rounds", {"round": 5})
    DAMAGE[kind](directory)
    with pytest.raises(CheckpointError, match="damaged checkpoint") as caught:
        loaded(directory)
    assert "\n" not in str(caught.value)
    assert len(directory.records("rounds")) == 2


def test_another_version_is_refused(directory, state):
    save_checkpoint(directory, state, "abc")
    change_header(directory, format=1)
    with pytest.raises(CheckpointError, match="written by another version"):
        loaded(directory)


def test_records_that_are_gone_are_not_filled_up(directory, state):
    directory.append("rounds", {"round": 4})
    directory.append("metrics", {"round": 4})
    save_checkpoint(directory, state, "abc")
    (directory.path / "rounds.jsonl").write_text("")
    with pytest.raises(CheckpointError, match=r"rounds\.jsonl: damaged, 0 bytes are left of the 13"):
        loaded(directory)
    assert directory.records("metrics") == [{"round": 4}]
