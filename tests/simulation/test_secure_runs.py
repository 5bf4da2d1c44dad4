"""Runs under secure aggregation, in process and stage by stage through the ClientApp: the sums are those without masks, whoever drops out when."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from safetensors.numpy import load_file

from client.answering import make_app
from everbloom.errors import ConfigError, PrivacyError
from everbloom.secure_wire import MESSAGE_TYPES
from everbloom.study import Study
from server.federation import Federation, initial_state
from server.run_directory import RunDirectory
from simulation.devices import SimulatedDevices
from simulation.grid import InProcessGrid, call_client, client_of
from simulation.run import check_masks

STAGES = [*MESSAGE_TYPES]


class Quiet:
    def round_done(self, record: Any, reasons: Any) -> None:
        return

    def measured(self, records: Any) -> None:
        return


@pytest.fixture
def secure(small: Any) -> Callable[..., Any]:
    """Twenty devices, all of them asked in each of two rounds; twelve suffice."""

    def build(masks: bool, least: int = 12, **tables: Any) -> Any:
        return small(
            privacy={
                "unit": "user", "epsilon": 50.0, "delta": 1e-3, "clip_norm": 0.3,
                "mechanism": {"name": "distributed", "min_cohort": least},
            },
            protocol={"name": "leave-one-out"},
            federation={"rounds": 2, "cohort": 20},
            runtime={"masks": masks, "clients": "one-by-one"},
            **tables,
        )  # fmt: skip

    return build


def federation_of(
    study: Study, path: Any, fails: Callable[[Message], bool] = lambda message: False, seen: list[Message] | None = None
) -> Federation:
    """A federation over the devices' ClientApps; a device that `fails` answers with an error, having done nothing."""
    state = initial_state(study)
    app = make_app(SimulatedDevices(study, state.participations.copy()).open)

    def answer(messages: list[Message]) -> Iterator[Message]:
        for message in messages:
            if fails(message):
                yield Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "no battery"), reply_to=message)
            else:
                reply = call_client(app, message)
                if seen is not None:
                    seen.append(reply)
                yield reply

    grid = InProcessGrid(study.clients, answer)
    run = RunDirectory.create(path, study.experiment)
    return Federation(study, run, grid, grid.client_nodes(), Quiet(), state)


def parameters_of(federation: Federation) -> np.ndarray:
    return load_file(next(federation.run_directory.checkpoints.glob("*.safetensors")))["parameters"]


def rounds_of(federation: Federation) -> list[dict[str, Any]]:
    return federation.run_directory.records("rounds")


def test_masks_change_nothing(study_of, secure, tmp_path):
    """To the bit: parameters and measures."""
    found = []
    for masks in (False, True):
        federation = federation_of(study_of(secure(masks)), tmp_path / str(masks))
        federation.run()
        found.append((parameters_of(federation), federation.run_directory.records("metrics")))
        assert [row["clients"] for row in rounds_of(federation)] == [20, 20]
    assert np.array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("stage", STAGES)
def test_who_drops_out_at_a_stage_is_left_out_of_the_sum(study_of, secure, tmp_path, stage):
    """Two of twenty devices stop at one stage. Until they are masked their vectors are missing; later only their help is."""
    dropped = {3, 11}

    def fails(message: Message) -> bool:
        return (
            client_of(message.metadata.dst_node_id) in dropped and message.metadata.message_type == MESSAGE_TYPES[stage]
        )

    masked = federation_of(study_of(secure(True)), tmp_path / "masked", fails)
    masked.run()
    within = stage in ("confirm", "unmask")
    assert [row["clients"] for row in rounds_of(masked)] == ([20, 20] if within else [18, 18])

    plain = federation_of(
        study_of(secure(False)),
        tmp_path / "plain",
        lambda message: not within and client_of(message.metadata.dst_node_id) in dropped,
    )
    plain.run()
    assert np.array_equal(parameters_of(masked), parameters_of(plain))


def test_too_few_change_nothing_and_do_not_end_the_run(study_of, secure, tmp_path):
    """Nine of twenty devices are gone in the first round: eleven are too few, and none of them sends a vector."""
    sent: list[Message] = []
    first = iter([True] * 9)

    def fails(message: Message) -> bool:
        return message.metadata.message_type == MESSAGE_TYPES["keys"] and next(first, False)

    federation = federation_of(study_of(secure(True)), tmp_path / "run", fails, sent)
    federation.run()
    rows = rounds_of(federation)
    assert [row["clients"] for row in rows] == [0, 20]
    assert sum(reply.metadata.message_type == "train" for reply in sent) == 20, "those of the second round"


def test_a_reply_holds_the_masked_vector_and_nothing_else(study_of, secure, tmp_path):
    """No norm, no count, no loss; and bytes that look uniform, where the vectors without masks do not."""
    sent: list[Message] = []
    federation_of(study_of(secure(True)), tmp_path / "run", seen=sent).run()
    trained = [reply for reply in sent if reply.metadata.message_type == "train"]
    assert len(trained) == 40
    size = federation_of(study_of(secure(True)), tmp_path / "size").study.plan.encoding.padded
    counts = np.zeros(256)
    for reply in trained:
        ((name, record),) = reply.content.items()
        assert (name, list(record)) == ("secure", ["data"])
        assert len(record["data"]) - 2 * size < 100, "a name, a number and the vector"
        counts += np.bincount(np.frombuffer(record["data"][-2 * size :], dtype=np.uint8), minlength=256)
    expected = counts.sum() / 256
    assert ((counts - expected) ** 2 / expected).sum() < 255 + 5 * np.sqrt(2 * 255)


def test_a_device_answers_no_task_in_clear(study_of, secure):
    """Unless it is a simulated one that was told to."""
    from flwr.app import Context, RecordDict

    from everbloom.wire import Task

    study = study_of(secure(True))
    devices = SimulatedDevices(study, np.zeros(study.clients, dtype=np.int32))
    context = Context(run_id=1, node_id=2, node_config={"client": 0}, state=RecordDict(), run_config={})
    layout, model = study.layout, study.new_model()
    task = Task(layout.flat(model), layout.schema, study.terms, 0, 1, study.timeline.window(0))
    with pytest.raises(PrivacyError, match="counts on secure aggregation, and the task came without it"):
        devices.open(context).train(task)
    assert not devices.participations.any()


def test_masks_where_there_is_nothing_to_mask_are_refused(study_of, small):
    with pytest.raises(ConfigError, match=r"only privacy\.mechanism"):
        check_masks(study_of(small(privacy=True, runtime={"masks": True})))


def test_the_records_are_those_of_any_run(study_of, secure, tmp_path):
    federation = federation_of(study_of(secure(True)), tmp_path / "run")
    federation.run()
    row = rounds_of(federation)[0]
    assert row["bytes_up"] == 20 * 2 * federation.study.plan.encoding.padded
    assert json.dumps(row)
