"""A cohort of devices in memory and its server, for the tests of secure aggregation: every message goes through bytes."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import identity, identity_key
from everbloom.privacy.secure_aggregation.masks import Vector
from everbloom.privacy.secure_aggregation.messages import ShareRequest
from everbloom.privacy.secure_aggregation.packing import Numbered
from everbloom.privacy.secure_aggregation.record import MemoryRecord
from everbloom.privacy.secure_aggregation.roster import Session
from everbloom.privacy.secure_aggregation.server import SecureServer
from everbloom.privacy.secure_aggregation.simulation import simulated_secrets
from everbloom.privacy.secure_aggregation.survivors import confirmation_statement
from everbloom.privacy.secure_aggregation.terms import Policy, Terms

STAGES = ("keys", "shares", "masked", "confirm", "unmask")


def terms_of(**changes: Any) -> Terms:
    return replace(Terms(run=2**64 - 5, period=1, round=7, length=9, minimum=6, degree=1000), **changes)


class Cohort:
    """`size` devices with numbers 5, 8, 11, ...; `lost` names whom each stage loses: they are asked and do not answer."""

    def __init__(self, terms: Terms, size: int = 12, lost: Mapping[str, Collection[int]] | None = None) -> None:
        self.terms = terms
        self.devices = [5 + 3 * place for place in range(size)]
        self.secrets = simulated_secrets(7, self.devices)
        self.directory = {device: identity(secret) for device, secret in self.secrets.items()}
        self.policy = Policy(minimum=terms.minimum, degree=min(10, terms.degree))
        self.records = {device: MemoryRecord() for device in self.devices}
        draws = np.random.default_rng(size)
        self.vectors: dict[int, Vector] = {
            device: draws.integers(0, 2**terms.bits, terms.length, dtype=terms.dtype.type) for device in self.devices
        }
        self.lost = lost or {}
        self.server = SecureServer(terms, self.directory)
        self.replies: dict[str, dict[int, bytes]] = {}
        self.requests: dict[str, dict[int, bytes]] = {}

    def device(self, device: int) -> SecureDevice:
        """Built anew for every message, as on a real device; only the record lasts."""
        return SecureDevice(device, self.secrets[device], self.directory, self.records[device], self.policy)

    def answer(self, stage: str, device: int, request: bytes) -> bytes:
        answering = self.device(device)
        if stage == "masked":
            return answering.mask(request, self.vectors[device])
        answers: dict[str, Callable[[bytes], bytes]] = {
            "keys": answering.advertise,
            "shares": answering.share,
            "confirm": answering.confirm,
            "unmask": answering.unmask,
        }
        return answers[stage](request)

    def ask(self, stage: str) -> dict[int, bytes]:
        """The server's requests of a stage."""
        server = self.server
        if stage == "keys":
            return dict.fromkeys(self.devices, server.advertise_request())
        return {
            "shares": server.share_requests,
            "masked": server.mask_requests,
            "confirm": server.confirm_requests,
            "unmask": server.unmask_requests,
        }[stage]()

    def stage(self, stage: str) -> None:
        self.requests[stage] = self.ask(stage)
        lost = self.lost.get(stage, ())
        self.replies[stage] = {
            device: self.answer(stage, device, request)
            for device, request in self.requests[stage].items()
            if device not in lost
        }
        server = self.server
        add = {
            "keys": server.add_advertisement,
            "shares": server.add_shares,
            "masked": server.add_masked,
            "confirm": server.add_confirmation,
            "unmask": server.add_reveal,
        }[stage]
        for device, reply in self.replies[stage].items():
            add(device, reply)

    def until(self, stage: str) -> "Cohort":
        """Runs the stages before `stage`, honestly, and has the requests of `stage` in `requests`."""
        for earlier in STAGES[: STAGES.index(stage)]:
            self.stage(earlier)
        self.requests[stage] = self.ask(stage)
        return self

    def run(self) -> Vector:
        """All stages; the opened sum."""
        for stage in STAGES:
            self.stage(stage)
        return self.server.open()

    def sum(self, devices: Collection[int]) -> Vector:
        """The plain sum mod 2^bits."""
        total = sum(self.vectors[device].astype(np.uint64) for device in devices)
        return np.asarray(total % np.uint64(2**self.terms.bits)).astype(self.terms.dtype)


def session_at(cohort: Cohort) -> Session:
    return ShareRequest.unpack(cohort.requests["shares"][5]).session


def confirmations(cohort: Cohort, session: Session, survivors: tuple[int, ...], by: tuple[int, ...]) -> Numbered:
    """Signed with the devices' own identities: what colluding devices, or devices told another list, would give."""
    statement = confirmation_statement(session, survivors)
    return tuple((device, identity_key(cohort.secrets[device]).sign(statement)) for device in by)
