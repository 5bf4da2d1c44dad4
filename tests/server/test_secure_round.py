"""The server's side of a round under secure aggregation: silence and nonsense cost a device, too few the round, nothing the run."""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from flwr.app import Message, RecordDict

from client.answering import make_app
from everbloom.secure_wire import MESSAGE_TYPES, pack_secure, unpack_secure
from server.collecting import collect, is_masked
from server.federation import Federation, initial_state
from server.observer import Silent
from server.roster import KnowsClients
from server.run_directory import RunDirectory
from simulation.devices import SimulatedDevices
from simulation.grid import InProcessGrid, call_client, client_of

Change = Callable[[Message, Message], Message | None]
"""(a request, the device's reply) -> what the server receives; None: nothing."""


@pytest.fixture
def rounds(small: Any, study_of: Any, tmp_path: Any) -> Callable[..., Any]:
    """(change, **federation) -> (records of a run's rounds, reasons of its first, types of the messages that were sent)."""

    def build(change: Change = lambda request, reply: reply, **federation: Any) -> Any:
        study = study_of(
            small(
                data={"source": {"users": 8}},
                privacy={
                    "unit": "user", "epsilon": 50.0, "delta": 1e-3, "clip_norm": 0.3,
                    "mechanism": {"name": "distributed", "min_cohort": 4},
                },
                protocol={"name": "leave-one-out"},
                federation={"rounds": 1, "cohort": 8, **federation},
                runtime={"masks": True},
            )
        )  # fmt: skip
        state, types, told = initial_state(study), [], []
        app = make_app(SimulatedDevices(study, state.participations.copy()).open)

        class Told(Silent):
            def round_done(self, record: Any, reasons: Any) -> None:
                told.append(list(reasons))

        def answer(messages: list[Message]) -> Iterable[Message]:
            types.append(messages[0].metadata.message_type if messages else None)
            for message in messages:
                reply = change(message, call_client(app, message))
                if reply is not None:
                    yield reply

        grid = InProcessGrid(study.clients, answer)
        run = RunDirectory.create(tmp_path / "run", study.experiment)
        Federation(study, run, grid, grid.client_nodes(), Told(), state).run()
        return run.records("rounds"), told[0], types

    return build


def asks(message: Message, stage: str) -> bool:
    return message.metadata.message_type == MESSAGE_TYPES[stage]  # type: ignore[index]


def of(message: Message, *clients: int) -> bool:
    return client_of(message.metadata.dst_node_id) in clients


@pytest.mark.parametrize("nonsense", [RecordDict(), pack_secure(b"nonsense", bytes(32))], ids=["empty", "bytes"])
@pytest.mark.parametrize("stage", [*MESSAGE_TYPES])
def test_who_is_silent_or_talks_nonsense_is_left_out(rounds, stage, nonsense):
    """Six of eight go on: just the quorum of confirmations."""

    def change(request: Message, reply: Message) -> Message | None:
        if asks(request, stage) and of(request, 1):
            return None
        return Message(nonsense, reply_to=request) if asks(request, stage) and of(request, 2) else reply

    (row,), reasons, _ = rounds(change)
    late = stage in ("confirm", "unmask")
    assert (row["clients"], row["failed"]) == ((8, 0) if late else (6, 2))
    (reason,) = reasons
    assert f"stage {stage}: " in reason


@pytest.mark.parametrize("stage", [*MESSAGE_TYPES])
def test_a_device_cannot_answer_for_another(rounds, stage):
    """The reply of 2 comes from 1 as well."""
    kept: list[bytes] = []

    def change(request: Message, reply: Message) -> Message:
        if not asks(request, stage) or not of(request, 1, 2):
            return reply
        kept.append(unpack_secure(reply.content))
        return reply if of(request, 1) else Message(pack_secure(kept[0], bytes(32)), reply_to=request)

    (row,), reasons, _ = rounds(change)
    assert row["clients"] == (8 if stage in ("confirm", "unmask") else 7)
    assert len(reasons) == 1


def test_a_reply_of_a_node_that_was_not_asked(rounds):
    def change(request: Message, reply: Message) -> Message:
        if asks(request, "keys") and of(request, 5):
            reply.metadata.__dict__["_src_node_id"] = 77
        return reply

    (row,), reasons, _ = rounds(change)
    assert row["clients"] == 7
    (reason,) = reasons
    assert reason.endswith("stage keys: a reply from node 77, which was not asked")


@pytest.mark.parametrize(("stage", "after"), [*pairwise(MESSAGE_TYPES)])
def test_nobody_is_asked_on_once_too_few_are_left(rounds, stage, after):
    """Five of eight fail: three are below the minimum of four."""
    (row,), reasons, types = rounds(
        lambda request, reply: None if asks(request, stage) and of(request, 0, 1, 2, 3, 4) else reply
    )
    assert row["clients"] == 0
    assert types[-1] == MESSAGE_TYPES[stage]
    assert MESSAGE_TYPES[after] not in types
    assert "are needed" in reasons[-1]


def test_strangers_who_are_in_nobodys_directory_are_not_met(rounds):
    """A device that signs with an identity of its own choice: the server may take it, the other devices do not."""

    def change(request: Message, reply: Message) -> Message:
        if asks(request, "keys") and of(request, 6):
            return Message(pack_secure(unpack_secure(reply.content), bytes(range(32))), reply_to=request)
        return reply

    (row,), reasons, _ = rounds(change)
    assert row["clients"] == 7
    assert "device 6 are not signed by it" in reasons[0]


class Unknown:
    """A grid that does not say who its nodes are, like that of a SuperLink."""

    def __init__(self, grid: InProcessGrid) -> None:
        self.run = grid.run


def test_real_devices_are_asked_for_masked_vectors_whatever_runtime_says(small, study_of):
    distributed = {
        "unit": "user", "epsilon": 50.0, "delta": 1e-3, "mechanism": {"name": "distributed", "min_cohort": 4}
    }  # fmt: skip
    study = study_of(small(privacy=distributed))
    assert study.experiment.runtime.name == "in-process"
    simulated = InProcessGrid(study.clients, lambda messages: [])
    real = Unknown(simulated)
    assert isinstance(simulated, KnowsClients)
    assert not isinstance(real, KnowsClients)
    assert not is_masked(study, simulated)
    assert is_masked(study, real)
    assert not is_masked(study_of(small(privacy=True)), real)
    assert list(collect(study, real, [], {}, 0, 0, 1)) == []
