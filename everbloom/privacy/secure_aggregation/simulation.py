"""A whole cohort in one process: the same masked vectors as devices would send, to the bit, at half the work.

Two neighbours' common mask is agreed and expanded once, then added on one side and subtracted on the other. What only a network needs is left out:
signatures, and sealing shares for a server that has everybody's secrets anyway. Nobody is protected in a simulation.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys
from everbloom.privacy.secure_aggregation.masks import (
    MaskStream,
    Vector,
    check_vector,
    pair_mask_key,
    reduce,
    self_mask_key,
)
from everbloom.privacy.secure_aggregation.roster import Member, Roster, Session
from everbloom.privacy.secure_aggregation.sealing import self_mask_seed
from everbloom.privacy.secure_aggregation.survivors import check_survivors
from everbloom.privacy.secure_aggregation.terms import Terms

_NEAR = 4
"""Vectors that are masked in turns: about what a processor's second cache holds of 50,000 coordinates."""


def simulated_secrets(seed: int, devices: Iterable[int]) -> dict[int, bytes]:
    """Long-term secrets [32 bytes] by device, from the experiment's seed: repeatable, and known to whoever knows the seed."""
    return {
        device: hashlib.sha256(f"{seed}/secure aggregation/device secret/{device}".encode()).digest()
        for device in devices
    }


class SimulatedCohort:
    """One aggregation among the devices in `secrets` (number -> 32 bytes): those that advertised their keys.

    Raises `PrivacyError` for fewer than `minimum`.
    """

    def __init__(self, terms: Terms, secrets: Mapping[int, bytes]) -> None:
        self.terms = terms
        self._secrets = secrets
        if len(secrets) < terms.minimum:
            raise PrivacyError(
                f"secure aggregation: a cohort of {len(secrets)} is below the minimum of {terms.minimum}"
            )
        self._keys = {device: EphemeralKeys.derive(secrets[device], terms.context) for device in sorted(secrets)}
        members = (Member(device, *keys.public, signature=bytes(64)) for device, keys in self._keys.items())
        self.session = Session(terms, Roster(tuple(members)))
        self._public = {device: keys.masking.public_key() for device, keys in self._keys.items()}
        self._pair_keys: dict[tuple[int, int], bytes] = {}
        self._stream = MaskStream(terms)

    def mask(self, vectors: Vector, devices: Sequence[int]) -> Vector:
        """[devices, length] -> the same masked: row r is what `devices[r]` sends. `devices` are those that shared, in any order.

        Raises `SchemaError` for vectors of another dtype, shape or range, `PrivacyError` if one has too few neighbours that shared.
        """
        check_vector(vectors, self.terms, (len(devices), self.terms.length))
        masked = vectors.copy()
        rows = {device: masked[row] for row, device in enumerate(devices)}
        for device, row in rows.items():
            self._stream.add(row, self._self_key(device))
        for one, other in self._pairs(rows):
            mask, here, there = self._stream.expand(self._pair_key(one, other)), rows[one], rows[other]
            np.add(here, mask, out=here)
            np.subtract(there, mask, out=there)
        return reduce(masked, self.terms)

    def open(
        self,
        masked: Vector,
        devices: Sequence[int],
        *,
        survivors: Collection[int] | None = None,
        confirmed: Collection[int] | None = None,
        revealed: Collection[int] | None = None,
    ) -> Vector:
        """[length] the sum of the survivors' vectors mod 2^bits, from what `mask` gave for `devices`.

        Who got through stage masked (`survivors`), confirm and unmask: each within the one before, and all of it unless given. Raises `PrivacyError`
        where devices would refuse or the server could not recover a secret.
        """
        alive = set(devices if survivors is None else survivors)
        signed = alive if confirmed is None else alive.intersection(confirmed)
        helpers = signed if revealed is None else signed.intersection(revealed)
        check_survivors(self.session, alive)
        needed = self.session.confirmations_needed
        if len(signed) < needed:
            raise PrivacyError(f"secure aggregation: {len(signed)} survivors confirmed, {needed} are needed")
        total = np.zeros(self.terms.length, dtype=self.terms.dtype)
        for row, device in enumerate(devices):
            neighbours = self.session.graph.neighbours(device)
            if device in alive:
                self._recoverable(device, neighbours, helpers)
                np.add(total, masked[row], out=total)
                self._stream.subtract(total, self._self_key(device))
                continue
            left = alive.intersection(neighbours)
            if left:
                self._recoverable(device, neighbours, helpers)
            for peer in left:
                if peer < device:
                    self._stream.subtract(total, self._pair_key(peer, device))
                else:
                    self._stream.add(total, self._pair_key(device, peer))
        return reduce(total, self.terms)

    def _recoverable(self, device: int, neighbours: Collection[int], helpers: Collection[int]) -> None:
        shares = sum(neighbour in helpers for neighbour in neighbours)
        if shares < self.session.shares_needed:
            raise PrivacyError(
                f"secure aggregation: {shares} shares of device {device} came back, {self.session.shares_needed} are needed"
            )

    def _pairs(self, shared: Collection[int]) -> list[tuple[int, int]]:
        """Neighbours that both shared, the smaller number first; in an order that comes back to a vector while the processor has it at hand."""
        pairs = []
        for place, device in enumerate(sorted(shared)):
            peers = [peer for peer in self.session.graph.neighbours(device) if peer in shared]
            if len(peers) < self.session.shares_needed:
                raise PrivacyError(
                    f"secure aggregation: {len(peers)} neighbours of device {device} shared, {self.session.shares_needed} are needed"
                )
            pairs += [(place // _NEAR, peer, device) for peer in peers if device < peer]
        return [(device, peer) for _, peer, device in sorted(pairs)]

    def _self_key(self, device: int) -> bytes:
        seed = self_mask_seed(self._secrets[device], self.session)
        return self_mask_key(seed, self.session.binding, device)

    def _pair_key(self, one: int, other: int) -> bytes:
        """Of two neighbours in ascending order; kept, as opening a sum needs those of who dropped out again."""
        found = self._pair_keys.get((one, other))
        if found is None:
            shared = self._keys[one].masking.exchange(self._public[other])
            found = self._pair_keys[one, other] = pair_mask_key(shared, self.session.binding, one, other)
        return found
