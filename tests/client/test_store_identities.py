"""What a device's folder keeps for secure aggregation, and what a device with one refuses."""

import json
import stat
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import app
from client.store import DeviceStore
from everbloom.errors import PrivacyError, SchemaError
from everbloom.privacy.secure_aggregation.server import SecureServer
from everbloom.secure_wire import MESSAGE_TYPES, Stage, pack_secure, unpack_secure, with_secure
from everbloom.study import Study
from everbloom.wire import TRAIN, Task
from server.secure_round import secure_terms
from simulation.export import export_device, introduce, one_user

DEVICES = 4


@pytest.fixture
def study(small: Any, study_of: Any) -> Study:
    return study_of(
        small(
            data={"source": {"users": DEVICES}},
            privacy={
                "unit": "user", "epsilon": 50.0, "delta": 1e-3, "clip_norm": 0.3,
                "mechanism": {"name": "distributed", "min_cohort": 4},
            },
            protocol={"name": "leave-one-out"},
            federation={"rounds": 4, "cohort": DEVICES},
        )
    )  # fmt: skip


@pytest.fixture
def stores(study: Study, tmp_path: Path) -> list[DeviceStore]:
    """Folders that know each other."""
    made = [export_device(study, user, tmp_path / str(user)) for user in range(DEVICES)]
    introduce(made)
    return made


def ask(store: DeviceStore, content: RecordDict, message_type: str) -> RecordDict:
    """What the ClientApp on that folder answers; each call opens the folder anew, as on Flower."""
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(content, dst_node_id=9, message_type=message_type)
    config = {"store": str(store.folder)}
    return app(message, Context(run_id=1, node_id=9, node_config=config, state=RecordDict(), run_config={})).content


def task_of(study: Study, round: int = 1) -> Task:
    layout = study.layout
    start = layout.flat(study.new_model())
    return Task(start, layout.schema, study.terms, 0, round, study.timeline.window(0))


def until_masked(study: Study, stores: list[DeviceStore], **terms: Any) -> tuple[SecureServer, dict[int, bytes]]:
    """A server that has the shares, and its requests for masked vectors."""
    given = secure_terms(study.plan, 1, 0, 1)
    given = type(given)(**{**{name: getattr(given, name) for name in given.__dataclass_fields__}, **terms})
    server = SecureServer(given, {device: store.identity for device, store in enumerate(stores)})

    def stage(name: Stage, requests: dict[int, bytes], add: Any) -> None:
        for device, data in requests.items():
            add(device, unpack_secure(ask(stores[device], pack_secure(data), MESSAGE_TYPES[name])))

    stage("keys", dict.fromkeys(range(DEVICES), server.advertise_request()), server.add_advertisement)
    stage("shares", server.share_requests(), server.add_shares)
    return server, server.mask_requests()


def charged(store: DeviceStore) -> int:
    return len(store.open().ledger.account().reservations)  # type: ignore[attr-defined]


def test_the_secret_is_its_owners_alone_and_stays(study, stores):
    folder = stores[0].folder
    assert stat.S_IMODE((folder / "secret.key").stat().st_mode) == 0o600
    before = stores[0].identity
    (folder / "device.json").unlink()
    again = DeviceStore.create(folder, 0, one_user(study.dataset.events, 0), study.dataset.catalog)
    assert again.identity == before, "the other devices know it by this one"


def test_without_a_seed_no_two_secrets_are_alike(study, tmp_path):
    events, catalog = one_user(study.dataset.events, 0), study.dataset.catalog
    one, other = (DeviceStore.create(tmp_path / name, 0, events, catalog).identity for name in ("a", "b"))
    assert one != other


@pytest.mark.parametrize("left", [None, b"", b"short"])
def test_a_secret_that_is_gone_or_broken_gives_no_identity(stores, left):
    path = stores[0].folder / "secret.key"
    path.unlink() if left is None else path.write_bytes(left)
    for use in (lambda: stores[0].identity, stores[0].open):
        with pytest.raises(PrivacyError, match=r"secret\.key: expected this device's 32-byte secret"):
            use()


def test_pinned_identities_are_not_exchanged(stores):
    directory = {device: store.identity for device, store in enumerate(stores)}
    stores[0].pin(directory)
    with pytest.raises(PrivacyError, match="other devices are pinned here already"):
        stores[0].pin({**directory, 3: bytes(32)})
    assert json.loads((stores[0].folder / "directory.json").read_text())["3"] == stores[3].identity.hex()


@pytest.mark.parametrize("text", ["", "[]", '{"0": 5}', '{"0": "xy"}', '{"zero": "00"}'])
def test_a_damaged_directory_is_refused(stores, text):
    (stores[0].folder / "directory.json").write_text(text)
    with pytest.raises(PrivacyError, match=r"directory\.json: damaged"):
        stores[0].open()


def test_a_device_that_knows_nobody_takes_no_part(study, tmp_path):
    store = export_device(study, 0, tmp_path / "alone")
    request = SecureServer(secure_terms(study.plan, 1, 0, 1), {}).advertise_request()
    with pytest.raises(PrivacyError, match="it has no directory of the other devices"):
        ask(store, pack_secure(request), MESSAGE_TYPES["keys"])


def test_a_task_in_clear_is_refused_and_costs_nothing(study, stores):
    with pytest.raises(PrivacyError, match="counts on secure aggregation, and the task came without it"):
        ask(stores[0], task_of(study).pack(), TRAIN)
    assert charged(stores[0]) == 0


@pytest.mark.parametrize(
    ("terms", "round", "told"),
    [
        ({}, 2, "the masks are of another round than the task"),
        ({"minimum": 3}, 1, "from 3 devices or more, the plan counts on"),
        ({"bits": 32}, 1, "of 32 bits"),
        ({"length": 8}, 1, "the masks are for 8 numbers"),
    ],
)
def test_masks_that_do_not_fit_the_plan_are_refused_and_cost_nothing(study, stores, terms, round, told):
    """The device holds them against its own plan: a server may not lower what the noise counts on."""
    _, requests = until_masked(study, stores, **terms)
    with pytest.raises(PrivacyError, match=told):
        ask(stores[0], with_secure(task_of(study, round).pack(), requests[0]), TRAIN)
    assert charged(stores[0]) == 0


def test_a_masked_vector_under_a_plan_without_integers_is_refused(small, study_of, study, stores):
    _, requests = until_masked(study, stores)
    other = study_of(small(data={"source": {"users": DEVICES}}))
    with pytest.raises(PrivacyError, match="a plan whose updates are not integers"):
        ask(stores[0], with_secure(task_of(other).pack(), requests[0]), TRAIN)


def test_what_a_device_committed_itself_to_outlives_it(study, stores):
    """Every message opens the folder anew. Another task in the same round is another vector, and is not masked."""
    server, requests = until_masked(study, stores)
    task = task_of(study)
    first = ask(stores[0], with_secure(task.pack(), requests[0]), TRAIN)
    server.add_masked(0, unpack_secure(first))
    assert charged(stores[0]) == 1
    start = np.array(task.parameters + 0.5, dtype=np.float32)
    other = Task(start, task.schema, task.terms, 0, 1, task.window)
    with pytest.raises(PrivacyError, match="already answered for another vector"):
        ask(stores[0], with_secure(other.pack(), requests[0]), TRAIN)


def test_a_message_without_a_request_is_refused(stores):
    with pytest.raises(SchemaError, match="holds nothing of secure aggregation"):
        ask(stores[0], RecordDict(), MESSAGE_TYPES["confirm"])
