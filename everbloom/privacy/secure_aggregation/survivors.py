"""The consistency check: a device reveals shares only for a list of survivors that a quorum of them has signed.

Two lists can both find `confirmations_needed` signers of a roster of n only if 2 confirmations_needed - n devices sign both, which none does that
follows the protocol (Bonawitz et al., 2017, section 6.2: the round between masked input and unmasking).
"""

import hashlib
from collections.abc import Collection, Mapping

from everbloom.errors import PrivacyError
from everbloom.privacy.secure_aggregation.keys import number, verify
from everbloom.privacy.secure_aggregation.packing import Numbered
from everbloom.privacy.secure_aggregation.roster import Session


def confirmation_statement(session: Session, survivors: tuple[int, ...]) -> bytes:
    """What survivors sign; the same for all of them."""
    digest = hashlib.sha256(b"".join(number(device) for device in survivors)).digest()
    return b"everbloom secure aggregation: survivors" + session.binding + digest


def check_survivors(session: Session, survivors: Collection[int]) -> None:
    """Raises `PrivacyError` unless they are `minimum` members of the roster or more, and the graph among them holds together."""
    alive = set(survivors)
    if not alive <= session.members.keys():
        raise PrivacyError("secure aggregation: a survivor is not on the roster")
    if len(alive) < session.terms.minimum:
        raise PrivacyError(
            f"secure aggregation: {len(alive)} survivors are below the minimum of {session.terms.minimum}"
        )
    if session.graph.fewest_in_a_run(alive) < session.graph.least_in_a_run:
        raise PrivacyError(
            "secure aggregation: so many neighbours in a row dropped out that the sum could be opened in parts"
        )


def check_place(session: Session, device: int, survivors: Collection[int]) -> None:
    """Raises `PrivacyError` unless this device survived, and enough of its neighbours to recover its seed."""
    alive = set(survivors)
    if device not in alive:
        raise PrivacyError(f"secure aggregation: device {device} is not among the survivors, yet is asked about them")
    near = len(alive.intersection(session.graph.neighbours(device)))
    if near < session.shares_needed:
        raise PrivacyError(
            f"secure aggregation: {near} neighbours of device {device} survived, {session.shares_needed} are needed"
        )


def check_confirmations(
    session: Session, survivors: tuple[int, ...], confirmations: Numbered, directory: Mapping[int, bytes]
) -> None:
    """Raises `PrivacyError` unless a quorum of the survivors signed this list; `confirmations` are (device, signature [64 bytes])."""
    needed = session.confirmations_needed
    if len(confirmations) < needed:
        raise PrivacyError(f"secure aggregation: {len(confirmations)} survivors confirmed, {needed} are needed")
    alive = set(survivors)
    statement = confirmation_statement(session, survivors)
    for device, signature in confirmations:
        if device not in alive or not verify(directory.get(device, b""), signature, statement):
            raise PrivacyError(f"secure aggregation: device {device} did not sign this list of survivors")
