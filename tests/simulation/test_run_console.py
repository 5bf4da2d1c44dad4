"""What a person sees: plain lines in a pipe, a live table on a terminal, the privacy spent on every round's line."""

import io

import pytest
from rich.console import Console

from simulation.commands import comparison
from simulation.console import RunConsole, progress_bar

ROUND = {"period": 0, "round": 3, "clients": 49, "failed": 1, "seconds": 0.5, "epsilon": 1.25}
MEASURED = {
    "period": 0,
    "round": 3,
    "split": "validation",
    "protocol": "full",
    "slice": "all",
    "model": "federated",
    "hr@10": 0.25,
    "ndcg@10": 0.125,
}


def shown(terminal: bool, *steps: object) -> str:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=140, color_system=None)
    watcher = RunConsole(console, 12, "smoke -> runs/smoke")
    with watcher.watching(done=0):
        for step in steps:
            step(watcher)
    return stream.getvalue()


def test_plain_lines_say_who_answered_and_what_was_spent():
    told = shown(
        False,
        lambda watcher: watcher.round_done(ROUND, ["error 7: no battery", "error 8: no network"]),
        lambda watcher: watcher.measured([MEASURED, {**MEASURED, "slice": "new-users"}]),
    )
    assert told.splitlines() == [
        "period 0 round 3: 49 clients, 1 failed, epsilon 1.250, 0.50 s",
        "  2 client(s) failed; the first: error 7: no battery",
        "  validation (full) period 0 round 3, federated: HR@10 0.2500, NDCG@10 0.1250",
    ]


def test_no_privacy_is_a_dash():
    told = shown(False, lambda watcher: watcher.round_done({**ROUND, "epsilon": None}, []))
    assert "epsilon -," in told


def test_a_terminal_gets_a_table_with_the_quality_beside_its_round():
    told = shown(
        True,
        lambda watcher: watcher.round_done(ROUND, []),
        lambda watcher: watcher.measured([MEASURED]),
    )
    row = next(line for line in reversed(told.splitlines()) if "0.1250" in line)
    assert row.replace("│", " ").split() == ["0", "3", "49", "1", "1.250", "0.50", "0.2500", "0.1250"]
    assert "NDCG@10" in told


POPULATED = {**ROUND, "unneeded": 12, "simulated_seconds": 62.4, "clock": 2 * 86400 + 4 * 3600 + 5.0}


def test_a_population_s_rounds_say_who_was_not_needed_and_what_time_it_is():
    told = shown(False, lambda watcher: watcher.round_done(POPULATED, []))
    assert told.splitlines() == [
        "period 0 round 3: 49 clients, 1 failed, 12 not needed, epsilon 1.250, 0.50 s, 0:01:02 simulated, clock 2 d 4:00:05"
    ]
    told = shown(True, lambda w: w.round_done(POPULATED, []), lambda w: w.measured([MEASURED]))
    row = next(line for line in reversed(told.splitlines()) if "0.1250" in line)
    assert row.replace("│", " ").split() == [
        "0", "3", "49", "1", "1.250", "0.50", "12", "0:01:02", "2", "d", "4:00:05", "0.2500", "0.1250",
    ]  # fmt: skip
    assert "not needed" in told


@pytest.mark.parametrize("terminal", [True, False])
def test_other_cut_offs_than_ten_are_no_error(terminal):
    measured = {key: value for key, value in MEASURED.items() if "@" not in key} | {"ndcg@5": 0.5}
    told = shown(terminal, lambda w: w.round_done(ROUND, []), lambda w: w.measured([measured]))
    assert "49" in told


def test_a_bar_appears_on_a_terminal_alone():
    for terminal in (True, False):
        stream = io.StringIO()
        with progress_bar(Console(file=stream, force_terminal=terminal, width=80), "encoding items") as report:
            report(3, 10)
        assert ("encoding items" in stream.getvalue()) == terminal


def test_comparison_shows_what_was_measured():
    stream = io.StringIO()
    models = {"federated": {"full": {"hr@10": 0.5, "ndcg@10": 0.25}}, "popularity": {"sampled-99": {"hr@10": 0.125}}}
    Console(file=stream, width=120, color_system=None).print(comparison(models))
    lines = [line.replace("│", " ").split() for line in stream.getvalue().splitlines()]
    assert ["federated", "full", "0.5000", "0.2500", "-", "-"] in lines
    assert ["popularity", "sampled-99", "0.1250", "-", "-", "-"] in lines
