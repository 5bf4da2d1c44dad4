"""The service as a real process: what it answers is what a simulated device answers; killed at any moment it neither loses nor doubles anything."""

import json
import os
import shutil
import signal
import socket
import stat
import time
from dataclasses import replace

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from flwr.app import ArrayRecord, ConfigRecord, RecordDict
from flwr.common import Array
from served_devices import changed, running, until

from client.app import ask
from client.frames import VERSION, pack, read_frame
from client.service.making import make_device
from everbloom.errors import DataError, InputError
from everbloom.signing import sign
from everbloom.wire import Update
from simulation.devices import DeviceWorker

SLOW = {"learning": {"local_steps": 60_000}}
"""So many steps that there is time to kill what takes them."""


@pytest.fixture
def events(own_events):
    return {"events": own_events}


def delta(reply: RecordDict) -> np.ndarray:
    return Update.unpack(reply).delta


def test_a_day_of_a_device(serving, folder, device_study, task, events):
    """Events in, three rounds, recommendations, reasons, feedback, what was spent; and the update is the simulated device's."""
    service = serving()
    assert stat.S_IMODE(folder.socket.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.socket.parent.stat().st_mode) == 0o700
    service.call("POST", "/events", body=events)
    study = device_study
    simulated = DeviceWorker(study, np.zeros(study.clients, dtype=np.int32))
    for round in (1, 2):
        current = replace(task, round=round)
        reply = service.ask(f"m{round}", current)
        expected = simulated.train(current.pack(), np.array([2])).deltas[0]
        np.testing.assert_allclose(delta(reply), expected, rtol=0, atol=1e-6)
    assert dict(service.ask("h", task, "query.hello").config_records["hello"]) == {"client": 2}
    service.ask("m1", replace(task, round=1))
    account = service.account()
    assert [one.message for one in account.reservations] == ["m1", "m2"]
    assert len(account.committed) == 2
    told = service.call("GET", "/privacy")
    assert told["rounds"] == 2
    assert 0 < told["spent"] < told["budget"]["epsilon"] == 40.0
    assert "differentially private" in told["statement"]
    assert service.call("GET", "/model")["model"]["round"] == 2

    before = service.call("GET", "/recommendations", query={"n": 30, "reasons": True})["items"]
    met = {event["item"] for event in events["events"]}
    assert not met & {one["item"] for one in before}
    assert any(one["reasons"] for one in before)
    best = before[0]["item"]
    why = service.call("GET", f"/why/{best}", query={"language": "zh"})
    assert why["score"] == pytest.approx(before[0]["score"], abs=1e-4)
    service.call("POST", "/feedback", body={"item": best, "verdict": "not-for-me"})
    after = service.call("GET", "/recommendations", query={"n": 30})["items"]
    assert [one["item"] for one in after] == [one["item"] for one in before[1:]], "hidden, and nothing else has changed"
    service.call("POST", "/feedback", body={"item": after[-1]["item"], "verdict": "like"})
    moved = service.call("GET", "/recommendations", query={"n": 30})["items"]
    kept = {one["item"]: one["score"] for one in after}
    assert any(abs(kept[one["item"]] - one["score"]) > 1e-3 for one in moved), "a new event counts at once"
    service.call("POST", "/pause")
    with pytest.raises(InputError, match="this device is paused by its owner"):
        service.ask("m3", replace(task, round=3))
    assert service.stop() == 0
    assert not folder.socket.exists()


def test_a_model_is_offered_and_nothing_is_charged_for_it(serving, task, device_study):
    service = serving()
    reply = service.ask("o1", replace(task, round=7), "query.model")
    assert reply.config_records["model"]["version"] == service.call("GET", "/model")["model"]["version"]
    assert service.account().reservations == ()
    with pytest.raises(InputError, match="the server sent float32 parameters of shape"):
        service.ask("o2", replace(task, parameters=task.parameters[:-1]), "query.model")


def test_killed_before_training(serving, task, events):
    """The trainer is starting; nothing is charged, and the message is answered after the restart."""
    service = serving()
    service.call("POST", "/events", body=events)
    asking = send(service, "m1", task)
    until(service.children)
    service.kill()
    with asking:
        assert read_frame(asking.makefile("rb").read) is None
    assert service.account().reservations == ()
    again = serving()
    reply = again.ask("m1", task)
    assert len(again.account().reservations) == 1
    assert np.array_equal(delta(again.ask("m1", task)), delta(reply))


def test_killed_during_training_it_was_charged_and_is_not_charged_again(serving, task, events):
    service = serving()
    service.call("POST", "/events", body=events)
    slow = changed(task, **SLOW, privacy={"noise_multiplier": 400.0})
    asking = send(service, "m1", slow)
    until(lambda: service.account().reservations)
    service.kill()
    asking.close()
    account = service.account()
    assert (len(account.reservations), len(account.committed)) == (1, 0)
    assert len(serving().call("GET", "/events", query={"n": 500})["events"]) == len(events["events"])
    again = serving_again(serving, service)
    with pytest.raises(InputError, match="a message of this id asked for another round or under other terms"):
        again.ask("m1", task)
    asking = send(again, "m1", slow)
    time.sleep(3)
    assert len(again.account().reservations) == 1, "the same charge, as nothing was released for it"
    asking.close()
    again.kill()


def serving_again(serving, service):
    """The latest service of the folder stopped, and another one in its place."""
    pid = json.loads(service.folder.address.read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not running(pid))
    return serving()


def test_killed_after_training_it_answers_the_same_bytes(serving, task, events):
    """The answer is kept and the asker is gone; also where the ledger had not heard of it yet."""
    service = serving()
    service.call("POST", "/events", body=events)
    first = delta(service.ask("m1", task))
    asking = send(service, "m2", replace(task, round=2))
    until(lambda: len(service.account().committed) == 2)
    service.kill()
    asking.close()
    again = serving()
    assert np.array_equal(delta(again.ask("m1", task)), first)
    again.ask("m2", replace(task, round=2))
    assert len(again.account().reservations) == 2


def test_a_trainer_that_is_killed_alone_fails_one_message(serving, task, events):
    service = serving()
    service.call("POST", "/events", body=events)
    asking = send(service, "m1", changed(task, **SLOW, privacy={"noise_multiplier": 400.0}))
    until(lambda: service.account().reservations)
    for child in service.children():
        os.kill(child, signal.SIGKILL)
    with asking, asking.makefile("rb") as stream:
        reply, _ = read_frame(stream.read)
    assert (reply["status"], reply["reason"]) == ("refused", "client.service.training ended before it answered")
    service.ask("m2", task)


def test_forgetting_ends_what_is_being_trained(serving, folder, task, events):
    service = serving()
    secret = b"nobody else may read this"
    service.call("POST", "/events", body=events)
    service.call("POST", "/events", body={"events": [{"behaviour": "search", "text": secret.decode()}]})
    asking = send(service, "m1", changed(task, **SLOW, privacy={"noise_multiplier": 400.0}))
    until(lambda: service.account().reservations)
    assert service.call("DELETE", "/data") == {"deleted": len(events["events"]) + 1}
    with asking, asking.makefile("rb") as stream:
        assert read_frame(stream.read)[0]["status"] == "refused"
    for path in folder.path.rglob("*"):
        assert not path.is_file() or secret not in path.read_bytes(), path
    assert len(service.account().reservations) == 1, "what was spent stays spent"
    assert service.call("POST", "/events", body=events) == {"added": len(events["events"])}
    service.ask("m2", task)


def send(service, message: str, task) -> socket.socket:
    """Asks and does not wait."""
    from flwr.common.serde import recorddict_to_proto

    body = recorddict_to_proto(task.pack()).SerializeToString()
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(str(service.folder.socket))
    connection.sendall(pack({"version": VERSION, "message": message, "type": "train"}, body) + body)
    return connection


def test_what_an_attacker_asks_is_refused_and_noted_and_costs_nothing(serving, folder, task, device_study):
    """Whatever code the server had pushed: this is what it can reach."""
    service = serving()
    attacks = {
        "raw data": ("query.events", task),
        "noise off": ("train", changed(task, privacy={"unit": "none"})),
        "noise left to the server": (
            "train",
            changed(task, privacy={"unit": "user", "mechanism": {"name": "central"}}),
        ),
        "a bigger budget": ("train", changed(task, privacy={"noise_multiplier": 0.05})),
        "a cohort of one": ("train", changed(task, course={"cohort": 1})),
        "an unknown schema": ("train", replace(task, schema="f" * 16)),
        "another catalogue": ("train", replace(task, catalogue="0" * 64)),
        "another model": ("train", changed(task, model={"dim": 16})),
    }
    told = {}
    for name, (message_type, asked) in attacks.items():
        with pytest.raises(InputError) as caught:
            service.ask(name, asked, message_type)
        told[name] = str(caught.value)
        assert "\n" not in told[name]
        assert str(folder.path) not in told[name]
    assert "expected one of train" in told["raw data"]
    assert "privacy.unit = 'none'" in told["noise off"]
    assert "noise by 'central'" in told["noise left to the server"]
    assert "this device's owner allows 40" in told["a bigger budget"]
    assert "a cohort of 1" in told["a cohort of one"]
    assert "parameter schema ffffffffffffffff" in told["an unknown schema"]
    assert service.account().reservations == ()
    assert [line["message"] for line in service.journal("refused")] == list(attacks)
    hostile = RecordDict(
        {"task": ConfigRecord({"terms": "{}"}), "parameters": ArrayRecord({"flat": Array(np.zeros(3))})}
    )
    with pytest.raises(InputError, match="message is no task of this version of everbloom"):
        ask(str(folder.socket), "hostile", "train", hostile)


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"\x00" * 40, "a frame's header is no JSON object"),
        (b"\xff" * 12, "expected at most 65536 of header"),
    ],
)
def test_bytes_that_are_no_request_are_refused(serving, sent, told):
    service = serving()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(service.folder.socket))
        connection.sendall(sent)
        with connection.makefile("rb") as stream:
            reply, _ = read_frame(stream.read)
    assert told in reply["reason"]


def test_only_a_signed_task_is_taken_where_the_owner_pinned_the_servers_key(serving, folder, task):
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    folder.policy.write_text(f'{folder.policy.read_text()}key = "{public}"\n')
    service = serving()
    with pytest.raises(InputError, match="the message is not signed"):
        service.ask("m1", task)
    content = task.pack()
    sign(content, key)
    assert "update" in ask(str(folder.socket), "m2", "train", content)
    assert len(service.account().reservations) == 1


def test_a_full_disk_refuses_and_loses_nothing(serving, folder, task):
    """The file system gives no file more than 100 kB: no room for another event, nor for an answer."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    service = serving(limit)

    def fill() -> None:
        for start in range(1000):
            event = {"behaviour": "search", "text": "x" * 900, "key": str(start)}
            service.call("POST", "/events", body={"events": [event]})

    with pytest.raises(InputError, match=r"nothing can be written .* make room and repeat"):
        fill()
    added = service.call("GET", "/status")["events"]
    assert 0 < added < 1000
    with pytest.raises(InputError):
        service.ask("m1", task)
    service.stop()
    again = serving()
    assert again.call("GET", "/status")["events"] == added
    again.ask("m1", task)
    assert len(again.account().reservations) == 1


def test_the_command_never_opens_a_folder_that_is_served(serving, folder):
    service = serving()
    with pytest.raises(DataError, match="this device's service is running, or another command is"):
        folder.lock()
    shutil.rmtree(folder.socket.parent / "nothing", ignore_errors=True)
    folder.address.unlink()
    with pytest.raises(DataError, match="no service is running here"):
        service.call("GET", "/status")


def test_its_processes_end_when_they_are_not_needed(serving, folder, with_model):
    service = serving("sys.argv += ['--idle-seconds', '0.3']")
    service.call("GET", "/recommendations")
    until(lambda: not [child for child in service.children() if running(child)])
    assert service.call("GET", "/recommendations")["items"]


def test_devices_do_not_share_anything(folder, device_study, tmp_path):
    other = make_device(tmp_path / "other", device_study.dataset.catalog, 3, epsilon=1.0, delta=1e-4)
    assert other.token() != folder.token()
    assert stat.S_IMODE(other.path.stat().st_mode) == 0o700
    assert stat.S_IMODE((other.path / "token").stat().st_mode) == 0o600
    with pytest.raises(DataError, match="there is a device here already"):
        make_device(other.path, device_study.dataset.catalog, 3, epsilon=1.0, delta=1e-4)
