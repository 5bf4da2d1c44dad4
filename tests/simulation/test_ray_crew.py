"""A Ray worker by itself, and a crew of workers that get lost, both without Ray."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from everbloom.errors import InputError
from everbloom.study import Study
from everbloom.wire import Task
from simulation.jobs import JobResult
from simulation.ray_workers import Crew, Opening, RayWorker

PRIVACY = {"unit": "example", "epsilon": 8.0, "delta": 1e-3, "denominator": 10, "max_participations": 2}


def opening_of(study: Study) -> Opening:
    return Opening(
        study.experiment.to_toml(), str(Path.cwd()), study.dataset.fingerprint, study.layout.schema, workers=1, others=0
    )


@pytest.mark.parametrize("clients", ["together", "unfolded", "one-by-one"])
def test_a_job_that_is_done_again_is_charged_once_and_gives_the_same(clients, tiny, opened):
    study = opened(tiny(users=8, privacy=PRIVACY, runtime={"clients": clients}))
    worker = RayWorker(opening_of(study))
    task = Task(
        study.layout.flat(study.new_model()), study.layout.schema, study.terms, 0, 1, study.timeline.window(0)
    ).pack()
    clients, before = np.array([1, 4, 6]), np.array([0, 2, 1], dtype=np.int32)
    once, after = worker.train(task, clients, before)
    again, still = worker.train(task, clients, before)
    assert after.tolist() == still.tolist() == [1, 2, 2]
    assert list(once.failures) == list(again.failures) == [1]
    assert once.deltas.tobytes() == again.deltas.tobytes()


def test_a_machine_with_other_data_says_so(tiny, opened, monkeypatch, tmp_path):
    study = opened(tiny())
    other = RayWorker(replace(opening_of(study), fingerprint="another"))
    monkeypatch.setenv("EVERBLOOM_HOME", str(tmp_path))
    with pytest.raises(
        InputError, match=f"Ray worker on .*: the data set or the version .* EVERBLOOM_HOME = {tmp_path}"
    ):
        other.open()


class Lossy:
    """As much of Ray as a crew uses, in this process: each call is made when it is waited for, the last one first, and is lost if `lost` says so."""

    class Error(Exception):
        pass

    exceptions = SimpleNamespace(RayError=Error, RayTaskError=ZeroDivisionError)

    def __init__(self, lost: Callable[[int], bool]) -> None:
        self.lost = lost
        self.calls = 0
        self.most = 0

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": 3.0}

    available_resources = cluster_resources

    def put(self, content: object) -> object:
        return content

    def remote(self, actor: type) -> Any:
        def call(method: Callable[..., object], *given: object) -> Callable[[], object]:
            return lambda: method(*given)

        def create(opening: Opening) -> Any:
            train = lambda *given: call(_number, *given)  # noqa: E731
            opened = SimpleNamespace(remote=lambda: call(lambda: None))
            return SimpleNamespace(
                train=SimpleNamespace(remote=train), open=SimpleNamespace(options=lambda **_: opened)
            )

        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=create))

    def wait(self, calls: list[Callable[[], object]], num_returns: int) -> tuple[list[Any], list[Any]]:
        self.most = max(self.most, len(calls))
        return calls[-1:], calls[:-1]

    def get(self, call: Callable[[], object]) -> object:
        self.calls += 1
        if self.lost(self.calls):
            raise self.Error("The worker died.\nand more\nof it")
        return call()


def _number(content: object, clients: np.ndarray, participations: np.ndarray) -> tuple[JobResult, np.ndarray]:
    deltas = clients.astype(np.float32)[None]
    return JobResult(np.arange(len(clients)), deltas, True, "schema"), participations + 1


JOBS = [np.array([2 * job, 2 * job + 1]) for job in range(40)]


@pytest.mark.parametrize("every", [1000, 5, 3])
def test_whatever_is_lost_results_come_in_order_and_are_charged_once(every, study):
    ray = Lossy(lambda call: call > 3 and call % every == 0)
    ledger = np.zeros(80, dtype=np.int32)
    crew = Crew(ray, on_ray(study, 3))
    found = [result.deltas.tolist() for result in crew.results("task", JOBS, ledger)]  # type: ignore[arg-type]
    assert found == [[[2.0 * job, 2.0 * job + 1]] for job in range(40)]
    assert ledger.tolist() == [1] * 80
    assert ray.most <= 9, "two jobs for each of three workers, or a worker that opens"


def test_a_round_that_nobody_waits_for_any_more_charges_what_came(study):
    ledger = np.zeros(80, dtype=np.int32)
    results = Crew(Lossy(lambda call: False), on_ray(study, 3)).results("task", JOBS, ledger)  # type: ignore[arg-type]
    next(results)
    next(results)
    del results
    assert ledger.tolist() == [1] * 4 + [0] * 76


def test_what_is_lost_again_and_again_ends_the_run(study):
    ray = Lossy(lambda call: False)
    crew = Crew(ray, on_ray(study, 1))
    ray.lost = lambda call: call % 2 == 0  # what is sent after a worker has come back
    with pytest.raises(
        InputError, match=r"died 4 times .*\(out of memory\?; The worker died\. \.\.\. of it\); continue with --resume"
    ):
        list(crew.results("task", JOBS, np.zeros(80, dtype=np.int32)))  # type: ignore[arg-type]


def test_a_worker_that_never_lives_is_one_line(study):
    with pytest.raises(
        InputError, match=r"cannot be started \(The worker died\. \.\.\. of it\); is the same everbloom installed"
    ):
        Crew(Lossy(lambda call: True), study)


def on_ray(study: Study, workers: int) -> Study:
    runtime = study.experiment.runtime.model_copy(update={"name": "ray", "workers": workers})
    return replace(study, experiment=study.experiment.model_copy(update={"runtime": runtime}))
