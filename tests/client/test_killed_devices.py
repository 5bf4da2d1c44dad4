"""A device killed at any point of reserve, train and commit never has less spent on record than it released.

The devices are real processes with a store on disk, killed by SIGKILL: at eight chosen points, and at arbitrary moments. See `device_processes.py`.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from device_processes import POINTS

from client.ledger import SqliteLedger
from client.store import DeviceStore
from everbloom.privacy.budget import Budget
from everbloom.wire import Task
from simulation.export import one_user

ROOT = Path(__file__).parent.parent.parent

CHARGED = {"before reserve": 0, "inside reserve": 0}
"""Nothing is on record, and nothing was released; from all other points on, one round is."""


class Processes:
    """The process that starts the devices."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        program = [sys.executable, str(Path(__file__).parent / "device_processes.py")]
        self.launcher = subprocess.Popen(
            program, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, work: Path, **order: object) -> list[int]:
        """How the processes ended that this order started."""
        assert self.launcher.stdin is not None
        assert self.launcher.stdout is not None
        self.launcher.stdin.write(json.dumps({"work": str(work), **order}) + "\n")
        self.launcher.stdin.flush()
        return json.loads(self.launcher.stdout.readline())


@pytest.fixture(scope="module")
def processes():
    started = Processes()
    yield started
    started.launcher.communicate(timeout=30)


def answers(work: Path) -> int:
    """What was released."""
    path = work / "answers"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def work(small, study_of, tmp_path, processes) -> Path:
    """A folder with a device that may take part 40 times and did so once, and the task that it is asked for."""
    study = study_of(small(privacy=True))
    assert study.plan is not None
    task = Task(study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.timeline.window(0))
    (tmp_path / "task.pickle").write_bytes(pickle.dumps(task))
    budget = Budget.of_rounds(study.plan.cost(), 40, study.plan.unit, study.plan.relation, study.plan.delta)
    one = one_user(study.dataset.events, 2)
    DeviceStore.create(tmp_path / "device", 2, one, study.dataset.catalog, seed=5, budget=budget)
    assert processes(tmp_path, do="answer") == [0]
    return tmp_path


def test_killed_at_each_point_it_has_never_less_on_record_than_it_released(work, processes):
    ledger = SqliteLedger(work / "device" / "ledger.sqlite")
    for point in POINTS:
        before, released = len(ledger.account().reservations), answers(work)
        assert processes(work, do="kill at", point=point) == [-signal.SIGKILL], point
        account = ledger.account()
        charged, told = len(account.reservations) - before, answers(work) - released
        assert charged >= told, point
        assert charged == CHARGED.get(point, 1), point
        assert told == (point == "after answering"), point
        if charged:
            finished = account.reservations[-1].sequence in account.committed
            assert finished == (point in ("after commit", "after answering")), point
    # And it goes on from there as if nothing had happened.
    DeviceStore(work / "device").open().train(pickle.loads((work / "task.pickle").read_bytes()))
    assert len(ledger.account().reservations) == 1 + sum(CHARGED.get(point, 1) for point in POINTS) + 1


def test_killed_at_arbitrary_moments_likewise(work, processes):
    """Twelve processes that train without end; whatever they were doing, the chain holds and the record covers what they released."""
    ledger = SqliteLedger(work / "device" / "ledger.sqlite")
    for place in range(12):
        (code,) = processes(work, do="kill after", seconds=0.02 + 0.019 * place)
        assert code in (-signal.SIGKILL, 7)
        account = ledger.account()
        assert answers(work) <= len(account.committed) <= len(account.reservations) <= 40
    assert answers(work) > 1


def test_rounds_at_once_cannot_both_spend_the_last_of_the_budget(make_plan, tmp_path, processes):
    """Four processes, each asking twenty times at once, for a budget of seven rounds."""
    plan = make_plan(max_participations=7, epsilon=1.0)
    ledger = SqliteLedger.create(tmp_path / "ledger.sqlite")
    (tmp_path / "plan.pickle").write_bytes(pickle.dumps(plan))
    assert processes(tmp_path, do="rush", processes=4) == [0] * 4
    assert answers(tmp_path) == len(ledger.account().reservations) == 7
