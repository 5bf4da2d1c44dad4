"""A device asked how good the model is: only if its owner lets it be, charged once a message, and nothing leaves but noised sums in a box."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import RecordDict
from served_devices import Service, changed

from client.app import ask
from client.device import Device
from client.randomness import SeededRandomness, SystemRandomness
from client.service.folder import DeviceFolder
from client.workbench import build_workbench
from everbloom.data.events import Histories
from everbloom.errors import InputError, PrivacyError, SchemaError
from everbloom.evaluation_wire import EVALUATE, EvaluationTask, Tally
from everbloom.privacy.counting_query import CountingQuery
from everbloom.wire import Task

MEASURES = ("hr@10", "ndcg@10")


class Free:
    """A ledger that counts."""

    charges = 0

    def reserve(self, plan: object, period: int, round: int) -> None:
        self.charges += 1

    def commit(self, plan: object, period: int, round: int) -> None:
        return


@pytest.fixture
def asked(task: Task, device_study) -> EvaluationTask:
    return EvaluationTask(task, device_study.timeline.held_out(0, "validation"), MEASURES)


def device_of(study, events: Histories, ledger: Free, randomness=None) -> Device:
    bench = build_workbench(study.terms, study.dataset.catalog.first_seen, study.features)
    return Device(2, events, ledger, randomness or SeededRandomness(7, 2), lambda terms: bench)


def allow(folder: DeviceFolder) -> None:
    folder.policy.write_text(folder.policy.read_text().replace("# evaluation = true", "evaluation = true"))


def send(service: Service, message: str, asked: EvaluationTask) -> RecordDict:
    return ask(str(service.folder.socket), message, EVALUATE, asked.pack())


def test_only_if_the_owner_lets_it_and_charged_once_a_message(
    serving: Callable[..., Service], folder, asked, own_events
):
    service = serving()
    service.call("POST", "/events", body={"events": own_events})
    with pytest.raises(InputError, match="this device's owner allows none"):
        send(service, "m1", asked)
    assert not service.account().reservations
    allow(folder)
    first = Tally.unpack(send(service, "m2", asked), np.zeros(3))
    assert [one.round for one in service.account().reservations] == [1]
    np.testing.assert_array_equal(Tally.unpack(send(service, "m2", asked), np.zeros(3)).sums, first.sums)
    assert len(service.account().committed) == 1
    with pytest.raises(InputError, match="another message of this id"):
        send(service, "m2", replace(asked, measures=("hr@5",)))
    with pytest.raises(InputError, match="a cohort of 1"):
        send(service, "m3", replace(asked, task=changed(asked.task, course={"cohort": 1})))
    service.call("POST", "/pause")
    with pytest.raises(InputError, match="paused"):
        send(service, "m4", asked)
    assert len(service.account().reservations) == 1


def test_sums_are_the_device_s_own_with_noise_of_its_own(device_study, asked):
    events, ledger = device_study.dataset.events.of(2), Free()
    once, again = (device_of(device_study, events, ledger).evaluate(asked).sums for _ in range(2))
    np.testing.assert_array_equal(once, again)
    other = device_of(device_study, events, ledger, SystemRandomness()).evaluate(asked).sums
    assert not np.array_equal(once, other)
    assert ledger.charges == 3


def test_without_held_out_events_all_is_zero_but_the_noise(device_study, asked):
    some = device_study.dataset.events.of(int(device_study.timeline.cases(0, "validation").user[0]))
    empty = Histories.of_one(some.item[:0], some.time[:0], some.behaviour[:0], some.value[:0])
    full = device_of(device_study, some, Free()).evaluate(asked).sums
    none = device_of(device_study, empty, Free()).evaluate(asked).sums
    assert full[0] - none[0] == pytest.approx(1 / np.sqrt(3)), "the same noise, one person less"


def test_whatever_a_device_finds_its_answer_stays_in_the_box():
    answer = CountingQuery().answer(np.array([1.0, 7.0, -3.0, np.nan]), None)
    assert answer.tolist() == [0.5, 0.5, 0.0, 0.0]
    assert np.linalg.norm(CountingQuery().answer(np.ones(9), None)) == pytest.approx(1.0)
    assert CountingQuery().opened(answer, 4, 1, None).tolist() == [1.0, 1.0, 0.0, 0.0]


@pytest.mark.parametrize("measures", [(), ("hr",), ("hr@0",), ("likes@10",), ("hr@10",) * 65])
def test_what_is_no_measure_is_refused(asked, measures):
    with pytest.raises(SchemaError, match="expected names such as"):
        EvaluationTask.unpack(replace(asked, measures=measures).pack())


def test_another_message_is_no_evaluation(asked, task):
    with pytest.raises(SchemaError, match="asks for no evaluation"):
        EvaluationTask.unpack(task.pack())
    for sums in (np.zeros(3, np.float32), np.zeros(2), np.array([1.0, np.inf, 0.0])):
        with pytest.raises(SchemaError, match="unusable tally"):
            Tally.unpack(Tally(sums).pack(), np.zeros(3))
    with pytest.raises(SchemaError, match="no tally"):
        Tally.unpack(task.pack(), np.zeros(3))


def test_nothing_is_charged_where_the_plan_has_no_way(device_study, asked):
    terms = changed(asked.task, privacy={"sampling": "poisson", "sample_rate": 0.5})
    bench = build_workbench(terms.terms, device_study.dataset.catalog.first_seen, device_study.features)
    ledger = Free()
    device = Device(2, device_study.dataset.events.of(2), ledger, SeededRandomness(7, 2), lambda terms: bench)
    with pytest.raises(PrivacyError, match="reads all of its data"):
        device.evaluate(replace(asked, task=terms))
    assert ledger.charges == 0
