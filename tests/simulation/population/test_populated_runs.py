"""Whole federations on a simulated clock: who is asked and heard, and that nothing but the seed decides it."""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from safetensors.numpy import load_file

from everbloom.errors import InputError
from server.federation import Federation, initial_state
from server.observer import Silent
from server.roster import KnowsTime
from server.run_directory import RunDirectory
from simulation.grid import client_of
from simulation.jobs import replies
from simulation.population.grid import TimedGrid, simulated_grid
from simulation.workers import dealt, make_worker, open_ledger


def rounds(run: RunDirectory) -> list[dict[str, Any]]:
    """Without what a real clock decides."""
    return [{key: value for key, value in record.items() if key != "seconds"} for record in run.records("rounds")]


def summary(run: RunDirectory) -> dict[str, Any]:
    whole = json.loads((run.path / "summary.json").read_text())
    return {key: value for key, value in whole.items() if key not in ("seconds", "peak_memory_mb")}


def same_run(one: RunDirectory, other: RunDirectory) -> bool:
    assert rounds(one) == rounds(other)
    assert (one.path / "metrics.jsonl").read_bytes() == (other.path / "metrics.jsonl").read_bytes()
    assert summary(one) == summary(other)
    return True


class Stop:
    """Interrupts a run after so many rounds, before their checkpoint."""

    def __init__(self, after: int) -> None:
        self.left = after

    def round_done(self, record: object, reasons: object) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def measured(self, records: object) -> None:
        return


def test_the_records_say_what_became_of_everybody(run, populated):
    found = run(populated())
    rows = rounds(found)
    assert len(rows) == 8
    assert list(rows[0]) == [
        "period", "round", "clients", "failed", "unneeded", "simulated_seconds", "clock", "bytes_up", "bytes_down", "epsilon",
    ]  # fmt: skip
    size = 4 * summary(found)["parameters"]
    for row in rows:
        asked = row["clients"] + row["failed"] + row["unneeded"]
        assert 0 < asked <= 9, "six wanted, half as many more asked"
        assert row["clients"] <= 6
        assert (row["bytes_up"], row["bytes_down"]) == (row["clients"] * size, asked * size)
        assert row["unneeded"] == 0 or row["clients"] == 6
        assert row["simulated_seconds"] <= 30
    assert any(row["failed"] for row in rows)
    assert any(row["unneeded"] for row in rows)
    for before, after in itertools.pairwise(rows):
        assert after["clock"] >= before["clock"] + 3000 + after["simulated_seconds"] - 0.002
    told = summary(found)
    assert told["simulated_seconds"] == rows[-1]["clock"]
    assert told["unneeded"] == sum(row["unneeded"] for row in rows)
    assert told["failed"] == sum(row["failed"] for row in rows)


def test_one_seed_one_run(run, populated):
    assert same_run(run(populated(), "one"), run(populated(), "two"))
    assert rounds(run(populated(seed=4), "other")) != rounds(RunDirectory.open(run.folder / "one"))


@pytest.mark.parametrize("after", [2, 6])
def test_resumed_is_uninterrupted(run, populated, after, small):
    experiment = populated(federation={"checkpoint_every": 2})
    whole = run(experiment, "whole")
    with pytest.raises(KeyboardInterrupt):
        run(experiment, "broken", Stop(after))
    assert same_run(run.resume("broken"), whole)


def test_two_workers_give_the_same_bytes_as_one(run, populated):
    experiment = populated(federation={"rounds": 2})
    parallel = experiment.model_copy(update={"runtime": experiment.runtime.model_copy(update={"workers": 2})})
    assert same_run(run(experiment, "one"), run(parallel, "two"))


def test_who_is_always_there_and_instant_changes_nothing(run, small):
    plain = run(small(), "plain")
    ideal = run(small(population={}), "ideal")
    assert (ideal.path / "metrics.jsonl").read_bytes() == (plain.path / "metrics.jsonl").read_bytes()
    kept = [
        {key: value for key, value in row.items() if key not in ("simulated_seconds", "clock")} for row in rounds(ideal)
    ]
    assert kept == rounds(plain)
    assert {row["clock"] for row in rounds(ideal)} == {0}
    assert "simulated_seconds" not in summary(plain)
    assert "unneeded" not in summary(plain)


def test_nothing_is_computed_for_those_who_do_not_count(study_of, populated, tmp_path):
    study = study_of(populated())
    worker = make_worker(study, open_ledger(tmp_path / "d" / "p.npy", np.zeros(study.clients, dtype=np.int32)), None)
    trained: list[list[int]] = []

    def answer(messages: list[Message]) -> Iterator[Message]:
        trained.append([client_of(message.metadata.dst_node_id) for message in messages])
        for job, clients in dealt(study, messages):
            yield from replies(messages, job, worker.train(messages[0].content, clients))

    grid = simulated_grid(study, answer)
    assert isinstance(grid, TimedGrid)
    assert isinstance(grid, KnowsTime)
    directory = RunDirectory.create(tmp_path / "run", study.experiment)
    federation = Federation(study, directory, grid, grid.client_nodes(), Silent(), initial_state(study))
    while federation.state.round < 4:
        federation._round()
    assert [len(clients) for clients in trained] == [row["clients"] for row in rounds(directory) if row["clients"]]


def test_only_those_who_are_there_are_asked(run, populated, tmp_path):
    """Even clients by day, odd ones by night: at noon nobody odd is charged."""
    lines = [f"{client},{0 if client % 2 else 43200},{43200 if client % 2 else 86400}\n" for client in range(20)]
    (tmp_path / "t.csv").write_text("client,start,end\n" + "".join(lines))
    table = {"availability": {"name": "trace", "path": str(tmp_path / "t.csv")}, "start_seconds": 43200}
    run(populated(table, federation={"over_selection": 0.0, "rounds": 1}, protocol={"name": "leave-one-out"}))
    (arrays,) = (tmp_path / "run" / "checkpoint").glob("*.safetensors")
    charged = load_file(arrays)["participations"]
    assert charged[::2].sum() == 6
    assert charged[1::2].sum() == 0


def test_the_clock_moves_on_to_when_somebody_is_there(run, populated, tmp_path):
    """One hour a day, and half an hour from one round's start to the next: the third waits for the next day."""
    lines = "".join(f"{client},3600,7200\n" for client in range(20))
    (tmp_path / "t.csv").write_text("client,start,end\n" + lines)
    table = {
        "availability": {"name": "trace", "path": str(tmp_path / "t.csv")},
        "overhead_seconds": 600.0,
        "pause_seconds": 1500.0,
    }
    found = run(populated(table, federation={"reply_timeout": 900.0, "rounds": 4}, protocol={"name": "leave-one-out"}))
    day = 86400
    assert [row["clock"] for row in rounds(found)] == [4200, 6300, day + 4200, day + 6300]
    assert {row["simulated_seconds"] for row in rounds(found)} == {600}


def test_when_nobody_can_ever_be_asked_again_the_run_says_so(run, populated):
    with pytest.raises(
        InputError,
        match=r"population\.availability: after simulated second 0 none of the 20 devices .*looking a year ahead",
    ):
        run(populated({"availability": {"name": "constant", "rate": 1e-12}}))


def test_a_deadline_that_nobody_keeps_stops_the_run_with_the_reason(run, populated):
    table = {"overhead_seconds": 31.0}
    told = r"all 9 clients failed, 12 rounds in a row; the first: error 5: the device needed 31\.0 s, federation\.reply_timeout is 30 s"
    with pytest.raises(InputError, match=told):
        run(populated(table, federation={"rounds": 50}))


def test_a_few_who_fail_by_chance_do_not_end_the_run(run, populated):
    """One device a round that drops out nine times in ten: three in a row fail all the time."""
    table = {"dropout": 0.9}
    experiment = populated(
        table, federation={"cohort": 1, "over_selection": 0.0, "rounds": 30}, protocol={"name": "leave-one-out"}
    )
    answered = [row["clients"] for row in rounds(run(experiment))]
    assert len(answered) == 30
    assert [0, 0, 0] in [answered[start : start + 3] for start in range(28)]
    assert sum(answered) > 0


def test_everybody_who_was_asked_is_charged_whether_heard_or_not(study_of, populated, private_tables, run):
    found = run(populated(privacy={**private_tables, "max_participations": 3}))
    rows = rounds(found)
    asked = sum(row["clients"] + row["failed"] + row["unneeded"] for row in rows)
    assert sum(row["failed"] + row["unneeded"] for row in rows) > 0
    (arrays,) = found.checkpoints.glob("*.safetensors")
    charged = load_file(arrays)["participations"]
    assert charged.sum() == asked
    assert charged.max() <= 3
