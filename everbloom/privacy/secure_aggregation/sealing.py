"""A device's two secrets, shared among its neighbours (Shamir), each share sealed for one of them (AES-256-GCM)."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, agree, derive, number
from everbloom.privacy.secure_aggregation.masks import keystream
from everbloom.privacy.secure_aggregation.packing import Numbered
from everbloom.privacy.secure_aggregation.roster import Session
from everbloom.privacy.secure_aggregation.shamir import SHARE, randomness_needed, split

SEALED = 2 * SHARE + 16
"""Bytes of one neighbour's sealed shares."""
_NONCE = bytes(12)
"""Fixed, as a key seals one plaintext: both follow from the sender's secret, the session, and the receiver."""


@dataclass(frozen=True)
class OpenedShares:
    """What a device holds of one neighbour: 33 bytes each. It reveals one of them at most."""

    seed: bytes
    key: bytes


def self_mask_seed(secret: bytes, session: Session) -> bytes:
    """b_u [32 bytes]: another for every roster, so that shares of two rosters never add up."""
    return derive(secret, session.binding, "self-mask seed")


def seed_commitment(seed: bytes, session: Session) -> bytes:
    """[32 bytes] what a recovered seed is compared with; hides it, as it has 256 random bits."""
    return hashlib.sha256(b"seed commitment" + session.binding + seed).digest()


def seal_shares(session: Session, device: int, secret: bytes, keys: EphemeralKeys, seed: bytes) -> Numbered:
    """(neighbour, sealed shares [82 bytes]) of the self-mask seed and of the masking key."""
    neighbours = session.graph.neighbours(device)
    seeds = _split(session, secret, "self-mask seed", seed, neighbours)
    masks = _split(session, secret, "masking key", keys.mask, neighbours)
    sealed = []
    for neighbour, seed_share, mask_share in zip(neighbours, seeds, masks, strict=True):
        key, associated = _seal(session, keys, device, neighbour, session.members[neighbour].sealing)
        sealed.append((neighbour, AESGCM(key).encrypt(_NONCE, seed_share + mask_share, associated)))
    return tuple(sealed)


def open_shares(session: Session, device: int, keys: EphemeralKeys, inbox: Numbered) -> dict[int, OpenedShares]:
    """By sender. Raises `PrivacyError` if anything in it was not sealed by that sender for this device in this session."""
    opened = {}
    for sender, sealed in inbox:
        key, associated = _seal(session, keys, sender, device, session.members[sender].sealing)
        try:
            shares = AESGCM(key).decrypt(_NONCE, sealed, associated)
        except InvalidTag:
            raise PrivacyError(
                f"secure aggregation: what device {device} was given as from device {sender} was not sealed by it for this round"
            ) from None
        opened[sender] = OpenedShares(shares[:SHARE], shares[SHARE:])
    return opened


def _split(session: Session, secret: bytes, what: str, value: bytes, neighbours: Sequence[int]) -> list[bytes]:
    """[neighbours]. The polynomial follows from the device's secret and the session, so that asking twice gives the same shares."""
    needed = session.shares_needed
    # HKDF gives a key for a stream, not the stream: it ends after 255 blocks.
    randomness = keystream(derive(secret, session.binding, f"polynomial of the {what}"), randomness_needed(needed))
    return split(value, needed, [session.points[neighbour] for neighbour in neighbours], randomness)


def _seal(session: Session, keys: EphemeralKeys, sender: int, receiver: int, peer: bytes) -> tuple[bytes, bytes]:
    """The key of one direction between two neighbours, and what its ciphertext is bound to."""
    direction = number(sender) + number(receiver)
    key = derive(agree(keys.sealing, peer), session.binding, "sealed shares", direction)
    return key, b"everbloom secure aggregation: shares" + session.binding + direction
