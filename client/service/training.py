"""The process that does a federation's work on this device: `python -m client.service.training FOLDER`. The service starts it when a message comes.

Everything that a server asks passes through `Trainer.answer`: policy first, then the plan, then the ledger, then the events.
"""

import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictBytes
from google.protobuf.message import DecodeError

from client.answering import answer
from client.catalogue import finish_installing, receive
from client.device import Device
from client.frames import Frame
from client.identity import DeviceIdentity
from client.ledger import SqliteLedger
from client.messages import CATALOGUE, OFFER
from client.personal import StoredPersonal
from client.randomness import Randomness, SeededRandomness, SystemRandomness
from client.service.catalogue_index import CatalogueIndex
from client.service.child import Work, serve_parent
from client.service.folder import DeviceFolder
from client.service.model_file import GlobalModel
from client.service.own_events import OwnEvents
from client.service.permission import check_evaluation, check_plan, check_sender, check_task
from client.service.policy import OwnerPolicy, read_policy
from client.store import stored_workbench
from client.workbench import Workbench
from everbloom.data.events import Histories
from everbloom.errors import SchemaError
from everbloom.evaluation_wire import EVALUATE
from everbloom.learning.clustered import served_copy
from everbloom.parcel import pack_missing, unpack_parcel
from everbloom.privacy.plan import NO_PRIVACY, PrivacyPlan
from everbloom.wire import TRAIN, Task, Terms


@dataclass(frozen=True)
class MessageLedger:
    """The device's ledger for one message: its round is charged once, whatever happens, committed when its answer is kept and about to be sent."""

    ledger: SqliteLedger
    message: str
    most_epsilon: float

    def reserve(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """See `SqliteLedger.reserve_message`."""
        self.ledger.reserve_message(plan, period, round, self.message, self.most_epsilon)

    def commit(self, plan: PrivacyPlan, period: int, round: int) -> None:
        """Not yet: see `Trainer.commit`."""
        return


class Trainer:
    """Opens the device anew for each message, as its policy, its events and its ledger may have changed."""

    def __init__(self, folder: DeviceFolder) -> None:
        self.folder = folder
        self.settings = folder.settings
        self.ledger = SqliteLedger(folder.ledger, self.settings["ledger"])
        self.ledger.account()
        finish_installing(folder)

    def work(self, header: dict[str, Any], body: bytes) -> Frame:
        """See `Work`."""
        if header["do"] == "commit":
            self.ledger.commit_message(header["message"])
            return {"status": "answered"}, b""
        return self.answer(header["message"], header["type"], body)

    def answer(self, message: str, message_type: str, body: bytes) -> Frame:
        """A message's answer, not yet to be sent. Raises `InputError` to refuse it."""
        policy = read_policy(self.folder.policy)
        content = _content(body)
        told: dict[str, Any] = {"status": "answered"}
        if message_type == CATALOGUE:
            return told, _bytes(self._catalogue(policy, content))
        if message_type not in (TRAIN, EVALUATE, OFFER):
            # What these answer does not depend on events, and they get none to read.
            return told, _bytes(answer(self._device(message, policy, _nothing(), self._bench), message_type, content))
        task = Task.unpack(content)
        index = CatalogueIndex(self.folder.index)
        server = check_task(policy, index.digest, content, task)
        index.close()
        bench = self._bench(task.terms)
        bench.check(task)
        told |= {"server": server, "period": task.period, "round": task.round}
        StoredPersonal(self.folder.personal).adopt(task)
        if message_type == OFFER:
            model = self._keep(task)
            return told, _bytes(RecordDict({"model": ConfigRecord({"version": model.version})}))
        check_plan(policy, bench.plan)
        if message_type == EVALUATE:
            check_evaluation(policy)
        with closing(OwnEvents(self.folder.store)) as own:
            log = own.log()
        workbench = partial(self._bench, searched=log.searches.texts if task.terms.model.user.searches else ())
        reply = answer(self._device(message, policy, log.of(0), workbench), message_type, content)
        self._keep(task)
        told |= {"statement": NO_PRIVACY if bench.plan is None else bench.plan.describe()}
        return told, _bytes(reply)

    def _catalogue(self, policy: OwnerPolicy, content: RecordDict) -> RecordDict:
        """What is missing of the catalogue that a server brings; what is held."""
        server = check_sender(policy, content)
        index = CatalogueIndex(self.folder.index)
        held = index.digest
        index.close()
        manifest, pieces, brought = unpack_parcel(content)
        if brought == held:
            return pack_missing([], held)
        missing = receive(self.folder, manifest, pieces, server.catalogue)
        if missing:
            return pack_missing(missing, held)
        stored_workbench.cache_clear()
        return pack_missing([], brought)

    def _keep(self, task: Task) -> GlobalModel:
        """The model that a server trains from is also the one to recommend by."""
        terms = task.terms
        copies, parameters, schema = self._bench(terms).copies, task.parameters, task.schema
        if copies is not None:  # of several models, the one that this device has chosen
            kept = StoredPersonal(self.folder.personal).load(task, 1)
            parameters, schema = copies.taken(parameters, served_copy(kept)), copies.model.schema
        model = GlobalModel(
            parameters,
            terms.model,
            terms.text,
            terms.seed,
            schema,
            task.period,
            task.round,
            task.federation,
            terms.learning.own is not None,
        )
        model.save(self.folder.model)
        return model

    def _device(
        self, message: str, policy: OwnerPolicy, events: Histories, workbench: Callable[[Terms], Workbench]
    ) -> Device:
        client, seed = self.settings["client"], self.settings["seed"]
        randomness: Randomness = SystemRandomness() if seed is None else SeededRandomness(int(seed), client)
        return Device(
            client=client,
            events=events,
            ledger=MessageLedger(self.ledger, message, policy.epsilon),
            randomness=randomness,
            workbench=workbench,
            secure=DeviceIdentity(self.folder.path).secure_device(client, policy.min_cohort),
            personal=StoredPersonal(self.folder.personal),
            residual=StoredPersonal(self.folder.residual),
        )

    def _bench(self, terms: Terms, searched: tuple[str, ...] = ()) -> Workbench:
        """`searched`: what the owner searched for, where the model reads it; plan and schema do not depend on it."""
        return stored_workbench(self.folder.path, terms.model_dump_json(), searched)


def _nothing() -> Histories:
    return Histories.of_one(
        np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(0, np.float32)
    )


def _content(body: bytes) -> RecordDict:
    try:
        return recorddict_from_proto(RecordDictBytes.FromString(body))
    except (DecodeError, ValueError, TypeError, KeyError) as error:
        raise SchemaError(f"message is no records of Flower's: {error!r}") from None


def _bytes(content: RecordDict) -> bytes:
    return bytes(recorddict_to_proto(content).SerializeToString(deterministic=True))


def main() -> None:
    """Entry point of the process."""
    folder = DeviceFolder(Path(sys.argv[1]))

    def prepare() -> Work:
        import torch

        torch.set_num_threads(1)
        return partial(Trainer.work, Trainer(folder))

    serve_parent(folder.path, prepare)


if __name__ == "__main__":
    main()
