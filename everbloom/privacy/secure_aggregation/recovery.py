"""How the server opens a sum: it recovers a seed for each survivor, a masking key for each that dropped out, and takes their masks away."""

import hmac
from collections.abc import Collection, Iterable, Mapping

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.keys import agree, masking_public
from everbloom.privacy.secure_aggregation.masks import MaskStream, Vector, pair_mask_key, self_mask_key
from everbloom.privacy.secure_aggregation.messages import Reveal
from everbloom.privacy.secure_aggregation.roster import Session
from everbloom.privacy.secure_aggregation.sealing import seed_commitment
from everbloom.privacy.secure_aggregation.shamir import combine


def remove_masks(
    total: Vector,
    session: Session,
    survivors: Collection[int],
    commitments: Mapping[int, bytes],
    revealed: Iterable[Reveal],
) -> None:
    """total [length] -= every mask left in it, in place. `commitments` has everyone who shared; the survivors are those whose vectors are in `total`.

    Raises `PrivacyError` if a secret cannot be recovered, or is not the one its device committed itself to.
    """
    seeds: dict[int, dict[int, bytes]] = {}
    keys: dict[int, dict[int, bytes]] = {}
    for reveal in revealed:
        point = session.points[reveal.device]
        for found, shares in ((seeds, reveal.seeds), (keys, reveal.keys)):
            for peer, share in shares:
                found.setdefault(peer, {})[point] = share
    stream = MaskStream(session.terms)
    recovered = {device: _recover(session, device, seeds) for device in sorted(survivors)}
    for device, seed in recovered.items():
        if not hmac.compare_digest(seed_commitment(seed, session), commitments[device]):
            raise PrivacyError(f"secure aggregation: the shares of device {device}'s seed do not recover it")
        stream.subtract(total, self_mask_key(seed, session.binding, device))
    for device in sorted(commitments.keys() - set(survivors)):
        left = [peer for peer in session.graph.neighbours(device) if peer in survivors]
        if left:
            _remove_pairs(total, session, device, _recover(session, device, keys), left, stream)


def _remove_pairs(
    total: Vector, session: Session, device: int, mask: bytes, left: Iterable[int], stream: MaskStream
) -> None:
    """Takes away what the surviving neighbours of a dropped device added for it."""
    if masking_public(mask) != session.members[device].masking:
        raise PrivacyError(f"secure aggregation: the shares of device {device}'s key do not recover it")
    private = X25519PrivateKey.from_private_bytes(mask)
    for peer in left:
        key = pair_mask_key(agree(private, session.members[peer].masking), session.binding, device, peer)
        if peer < device:
            stream.subtract(total, key)
        else:
            stream.add(total, key)


def _recover(session: Session, device: int, shares: Mapping[int, Mapping[int, bytes]]) -> bytes:
    held = shares.get(device, {})
    needed = session.shares_needed
    if len(held) < needed:
        raise PrivacyError(f"secure aggregation: {len(held)} shares of device {device} came back, {needed} are needed")
    return combine({point: held[point] for point in sorted(held)[:needed]})
