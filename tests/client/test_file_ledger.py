"""A device's own ledger: it only ever grows, counts what was begun, and refuses when it cannot be trusted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from client.ledger import FileLedger
from everbloom.errors import BudgetExceeded, PrivacyError


@pytest.fixture
def ledger(tmp_path) -> FileLedger:
    return FileLedger(tmp_path / "ledger.jsonl")


def test_a_round_is_reserved_and_committed(ledger, make_plan):
    plan = make_plan()
    ledger.reserve(plan, 0, 1)
    ledger.commit(plan, 0, 1)
    reserved, committed = ledger.entries()
    assert (reserved["status"], reserved["period"], reserved["round"]) == ("reserved", 0, 1)
    assert reserved["plan"]["noise_multiplier"] == plan.noise_multiplier
    assert committed == {"status": "committed", "period": 0, "round": 1}


def test_the_budget_is_the_plans_rounds_and_then_it_is_over(ledger, make_plan):
    plan = make_plan(max_participations=2)
    for round in (1, 2):
        ledger.reserve(plan, 0, round)
        ledger.commit(plan, 0, round)
    before = ledger.path.read_bytes()
    with pytest.raises(BudgetExceeded, match=r"the budget of 2 rounds \(epsilon 8\) is spent"):
        ledger.reserve(plan, 0, 3)
    assert ledger.path.read_bytes() == before


def test_it_only_ever_grows(ledger, make_plan):
    written = b""
    for round in range(5):
        ledger.reserve(make_plan(), 0, round)
        now = ledger.path.read_bytes()
        assert now.startswith(written)
        assert len(now) > len(written)
        written = now


def test_a_crash_between_reserving_and_committing_counts(ledger, make_plan):
    """In a process that dies where training would begin: its round is spent."""
    program = (
        "import os, sys; from pathlib import Path; from client.ledger import FileLedger; "
        "from everbloom.privacy.plan import PrivacyPlan; import ast; "
        "FileLedger(Path(sys.argv[1])).reserve(PrivacyPlan(**ast.literal_eval(sys.argv[2])), 0, 1); os._exit(9)"
    )
    plan = make_plan(max_participations=1)
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", program, str(ledger.path), repr(plan.__dict__)],
        check=False, cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
    )  # fmt: skip
    assert done.returncode == 9
    assert [entry["status"] for entry in ledger.entries()] == ["reserved"]
    with pytest.raises(BudgetExceeded):
        FileLedger(ledger.path).reserve(plan, 0, 2)


def test_the_same_round_asked_twice_is_paid_twice(ledger, make_plan):
    """Each answer has fresh noise: two answers tell more than one."""
    plan = make_plan(max_participations=2)
    ledger.reserve(plan, 0, 1)
    ledger.reserve(plan, 0, 1)
    with pytest.raises(BudgetExceeded):
        ledger.reserve(plan, 0, 1)


@pytest.mark.parametrize(
    "other",
    [
        {"noise_multiplier": 2.0},
        {"max_participations": 50},
        {"steps_per_round": 2},
        {"sample_rate": 0.5},
        {"delta": 1e-3},
        {"examples_per_interaction": 4},
    ],
)
def test_rounds_under_other_terms_are_not_added_up(ledger, make_plan, other):
    """A server that changes its terms midway gets nothing: no new budget, no cheaper rounds."""
    ledger.reserve(make_plan(), 0, 1)
    with pytest.raises(PrivacyError, match="under other privacy terms before"):
        ledger.reserve(make_plan(**other), 0, 2)
    assert len(ledger.entries()) == 1


def test_what_costs_nothing_may_change(ledger, make_plan):
    """The clip norm scales the noise with it, and the divisor comes after the noise."""
    ledger.reserve(make_plan(), 0, 1)
    ledger.reserve(make_plan(clip_norm=0.1, denominator=99.0), 0, 2)
    assert len(ledger.entries()) == 2


ENTRY = json.dumps({"status": "reserved", "period": 0, "round": 1, "plan": {}})


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b'{"status": "reser', 1),
        (ENTRY.encode() + b"\n\n" + ENTRY.encode() + b"\n", 2),
        (ENTRY.encode() + b"\n" + ENTRY.encode() + ENTRY.encode() + b"\n", 2),
        (ENTRY.encode() + b"\n\x00\x00\x00\n", 2),
        (b"\xff\xfe\n", 1),
        (b"[]\n", 1),
        (b"7\n", 1),
        (b"{}\n", 1),
        (b'{"status": "refunded"}\n', 1),
        (b'{"status": "reserved", "period": 0, "round": 1}\n', 1),
    ],
)
def test_a_damaged_ledger_refuses_and_is_left_as_it_is(ledger, make_plan, content, line):
    ledger.path.write_bytes(content)
    with pytest.raises(
        PrivacyError, match=f"ledger.jsonl:{line}: the ledger is damaged; refused, because what was spent"
    ):
        ledger.reserve(make_plan(), 0, 2)
    assert ledger.path.read_bytes() == content


def test_only_its_owner_reads_it(ledger, make_plan):
    ledger.reserve(make_plan(), 0, 1)
    assert ledger.path.stat().st_mode & 0o777 == 0o600
