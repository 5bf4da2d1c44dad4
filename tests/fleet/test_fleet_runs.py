"""Runs of a real fleet: equal to their simulation, also when the server's parts are killed in the middle; what devices show afterwards."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cutting_link import CuttingLink
from real_fleet import DEVICES, ROUNDS, RunningFleet, parameters, records

from client.app import ask
from client.service.calls import call
from everbloom.config import DeviceEvaluationConfig
from everbloom.errors import InputError
from everbloom.signing import sign
from everbloom.wire import TRAIN, Update
from server.deployment.certificates import read_task_key
from server.deployment.control import control
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.fleet.fleet import EXEC, LINK, PROXY, device_name, node_name
from simulation.fleet.running import follow_run, start_run
from simulation.run import run_in_process


def once(condition: Callable[[], bool], act: Callable[[], None]) -> Callable[[], None]:
    """Acts the first time that the condition holds."""
    done: list[bool] = []

    def look() -> None:
        if not done and condition():
            done.append(True)
            act()

    return look


def test_the_global_model_equals_the_simulation(fleet, simulated):
    out = fleet.run("plain")
    np.testing.assert_allclose(parameters(out), parameters(simulated), rtol=0, atol=1e-5)
    rounds = records(out, "rounds")
    assert [(record["clients"], record["failed"]) for record in rounds] == [(DEVICES, 0)] * ROUNDS
    assert [record["epsilon"] for record in rounds] == [record["epsilon"] for record in records(simulated, "rounds")]
    delivered = [told for told in records(out, "log") if told["event"] == "delivered"]
    assert [(told["what"], told["devices"], told["failed"]) for told in delivered] == [
        ("catalogue", DEVICES, 0),
        ("model", DEVICES, 0),
    ]
    moved = parameters(out) - fleet.study.layout.flat(fleet.study.new_model())
    assert np.abs(moved).max() > 1e-3, "it learnt"
    found, expected = (
        json.loads((out / "summary.json").read_text()),
        json.loads((simulated / "summary.json").read_text()),
    )
    assert found["test"]["full"]["ndcg@10"] == pytest.approx(expected["test"]["full"]["ndcg@10"], abs=1e-5)
    metrics = (fleet.fleet.server.metrics).read_text()
    assert f'everbloom_updates_total{{experiment="movielens-small"}} {DEVICES * ROUNDS}\n' in metrics
    assert 'everbloom_failures_total{experiment="movielens-small"} 0\n' in metrics
    print("seconds a round:", [record["seconds"] for record in rounds])  # noqa: T201 - shown by `make e2e`


def test_recommendations_change_after_feedback_and_a_further_round(fleet):
    device = fleet.fleet.devices[0]
    before = call(device, "GET", "/model")["model"]

    def shown() -> list[str]:
        return [one["item"] for one in call(device, "GET", "/recommendations", {"n": 10})["items"]]

    first = shown()
    assert len(set(first)) == 10
    assert shown() == first
    try:
        call(device, "POST", "/feedback", body={"item": first[0], "verdict": "like"})
        call(device, "POST", "/feedback", body={"item": first[1], "verdict": "not-for-me"})
        second = shown()
        assert not {first[0], first[1]} & set(second)
        fleet.run("further", rounds=1)
        assert call(device, "GET", "/model")["model"]["version"] != before["version"]
        third = shown()
        assert not {first[0], first[1]} & set(third)
        assert third != second
    finally:  # it is no part of a comparison with a simulation that knows nothing of it
        for item in first[:2]:
            call(device, "DELETE", f"/feedback/{item}")


def test_devices_measure_the_model_as_their_simulation_does(fleet: RunningFleet, tmp_path):
    """Once their owners let them; until then they refuse, and training goes on."""
    asked = DeviceEvaluationConfig(every=1, measures=("hr@1000", "ndcg@1000"))
    evaluation = fleet.experiment.evaluation.model_copy(update={"devices": asked})
    federation = fleet.experiment.federation.model_copy(update={"rounds": 1})
    experiment = fleet.experiment.model_copy(update={"evaluation": evaluation, "federation": federation})

    def measured(run: Path) -> dict[str, Any]:
        (found,) = [row for row in records(run, "metrics") if row["protocol"] == "on-devices"]
        return found

    refused = measured(fleet.run("unasked", experiment=experiment))
    assert (refused["answered"], refused["failed"]) == (0, DEVICES)
    assert "this device's owner allows none" in refused["reason"]
    for device in fleet.fleet.devices:
        device.policy.write_text(device.policy.read_text().replace("evaluation = false", "evaluation = true"))
    told = measured(fleet.run("measured", experiment=experiment))
    study = replace(fleet.study, experiment=experiment)
    run_in_process(study, RunDirectory.create(tmp_path / "run", experiment), Silent(), resume=False)
    assert told == pytest.approx(measured(tmp_path / "run"), abs=1e-4)
    assert (told["answered"], told["failed"]) == (DEVICES, 0)


def test_a_superlink_killed_in_a_round_goes_on_from_its_database(fleet: RunningFleet, simulated):
    """And a proxy killed in another: the same model, no device asked twice, nothing failed."""
    parts = fleet.fleet
    charged = [fleet.spent(number) for number in range(DEVICES)]

    def kill_link() -> None:
        parts.started.end(LINK)
        time.sleep(2)
        parts.start_link()

    def kill_proxy() -> None:
        parts.started.end(PROXY)
        time.sleep(2)
        parts.start_proxy()

    kills = [
        once(lambda: fleet.rounds_done("killed") == 1 and fleet.being_trained(), kill_link),
        once(lambda: fleet.rounds_done("killed") == 2 and fleet.being_trained(), kill_proxy),
    ]
    out = fleet.run("killed", between=lambda: [kill() for kill in kills])
    assert [(record["clients"], record["failed"]) for record in records(out, "rounds")] == [(DEVICES, 0)] * ROUNDS
    np.testing.assert_allclose(parameters(out), parameters(simulated), rtol=0, atol=1e-5)
    assert [fleet.spent(number) - before for number, before in enumerate(charged)] == [ROUNDS] * DEVICES


def test_a_model_whose_download_breaks_off_comes_whole_or_not_at_all(fleet: RunningFleet, simulated):
    """The link to one device breaks in the middle of the models that come down; what the device has in the end is what the others have."""
    parts, link = fleet.fleet, CuttingLink(fleet.fleet.settings.port, after=12_000)
    parts.started.end(node_name(0))
    try:
        fleet.connect(0, f"localhost:{link.port}")
        link.cuts = 3
        out = fleet.run("cut", reply_timeout=60.0, rounds=3)
        assert link.done >= 1, "something was cut off"
        assert records(out, "rounds")[-1]["clients"] == DEVICES, "the federation goes on"
        versions = {call(device, "GET", "/model")["model"]["version"] for device in parts.devices}
        assert len(versions) == 1
        assert "Traceback" not in parts.started.log(device_name(0)).read_text()
    finally:
        link.cuts = 0
        parts.started.end(node_name(0))
        fleet.connect(0)
        link.close()


def test_a_killed_supernode_costs_its_device_a_round_and_nothing_else(fleet: RunningFleet):
    parts = fleet.fleet
    tried = [0.0]

    def start_again() -> None:
        """As a service manager does, every ten seconds: the link lets it in again once it has noticed that it was gone, within a minute."""
        if (
            fleet.rounds_done("lame") >= 2
            and node_name(0) not in parts.started.running()
            and time.monotonic() > tried[0]
        ):
            tried[0] = time.monotonic() + 10
            parts.start_node(0)

    killed = once(lambda: fleet.rounds_done("lame") == 1, lambda: parts.started.end(node_name(0)))
    out = fleet.run("lame", between=lambda: (killed(), start_again()), reply_timeout=45.0, rounds=12)
    clients = [record["clients"] for record in records(out, "rounds")]
    assert clients[0] == DEVICES
    assert set(clients) == {DEVICES, DEVICES - 1}
    assert clients[-1] == DEVICES, "it is back"
    assert call(parts.devices[0], "GET", "/status")["training"] is False


def test_a_server_that_was_killed_resumes_and_exceeds_no_budget(fleet: RunningFleet):
    """The ServerApp and all that runs it die in the second round of three. It is done again at a charge of its own, which the server counts; so the
    third, for which the plan left no room, is not done.
    """
    parts, name = fleet.fleet, "resumed"
    charged = [fleet.spent(number) for number in range(DEVICES)]

    def kill() -> None:
        parts.started.end(EXEC)

    with pytest.raises(InputError, match="--resume"):
        fleet.run(name, between=once(lambda: fleet.rounds_done(name) == 1 and fleet.being_trained(), kill), rounds=3)
    parts.start_executor()
    out = parts.server.runs / name
    number = start_run(parts.server, fleet.experiment, out, DEVICES, resume=True)
    summary = follow_run(parts.server, number, out, Silent())
    assert [record["round"] for record in records(out, "rounds")] == [1, 2]
    assert [one["round"] for one in records(out, "asked")] == [1, 2, 2]
    assert summary["privacy"]["devices_left"] == 0
    assert summary["privacy"]["epsilon"] <= summary["privacy"]["budget"]
    # Who had not begun when the server died was charged once.
    assert {fleet.spent(number) - before for number, before in enumerate(charged)} <= {2, 3}


def test_all_parts_are_still_there(fleet: RunningFleet):
    fleet.fleet.started.check(fleet.fleet.parts())
    with control(fleet.fleet.server) as link:
        assert sum(node.status == "online" for node in link.nodes()) == DEVICES


def test_logs_hold_no_traceback_of_the_device_services(fleet: RunningFleet):
    for number in range(DEVICES):
        assert "Traceback" not in fleet.fleet.started.log(device_name(number)).read_text()


def test_a_duplicated_message_is_answered_with_the_same_bytes_and_charged_once(fleet: RunningFleet):
    socket, before = str(fleet.fleet.devices[1].socket), fleet.spent(1)
    content = fleet.task(1).pack()
    sign(content, read_task_key(fleet.fleet.server.task_key))
    first, second = (Update.unpack(ask(socket, "twice", TRAIN, content)) for _ in range(2))
    np.testing.assert_array_equal(first.delta, second.delta)
    assert fleet.spent(1) == before + 1
    other = fleet.task(2).pack()
    sign(other, read_task_key(fleet.fleet.server.task_key))
    with pytest.raises(InputError, match="another message of this id"):
        ask(socket, "twice", TRAIN, other)
    assert fleet.spent(1) == before + 1
