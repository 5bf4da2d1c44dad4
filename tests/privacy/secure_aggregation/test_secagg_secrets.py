"""What a device derives from its one secret: other for every device, aggregation, roster and use, and the same whenever it is asked."""

from dataclasses import replace
from itertools import product

from secagg_cohort import Cohort, session_at, terms_of

from everbloom.privacy.secure_aggregation.keys import EphemeralKeys, identity
from everbloom.privacy.secure_aggregation.messages import MaskRequest
from everbloom.privacy.secure_aggregation.roster import Roster, Session
from everbloom.privacy.secure_aggregation.sealing import open_shares, self_mask_seed
from everbloom.privacy.secure_aggregation.shamir import PRIME


def test_nothing_is_derived_twice():
    session = session_at(Cohort(terms_of()).until("shares"))
    sessions = [
        session,
        Session(session.terms, Roster(session.roster.members[:-1])),
        Session(replace(session.terms, attempt=1), session.roster),
    ]
    secrets = [bytes([value]) * 32 for value in (1, 2)]
    seeds = {self_mask_seed(secret, found) for secret, found in product(secrets, sessions)}
    assert len(seeds) == 6
    keys = set()
    for secret, found in product(secrets, (sessions[0], sessions[2])):
        ephemeral = EphemeralKeys.derive(secret, found.terms.context)
        keys |= {ephemeral.mask, *ephemeral.public}
    assert len(keys | seeds | set(secrets) | {identity(secret) for secret in secrets}) == 12 + 6 + 2 + 2


def test_the_two_secrets_of_a_device_are_shared_by_two_polynomials():
    """With one for both, the difference of a peer's two secrets would be that of any holder's two shares."""
    cohort = Cohort(terms_of()).until("masked")
    differences = set()
    for holder in cohort.devices[1:]:
        request = MaskRequest.unpack(cohort.requests["masked"][holder])
        keys = EphemeralKeys.derive(cohort.secrets[holder], cohort.terms.context)
        held = open_shares(request.session, holder, keys, request.inbox)[5]
        differences.add((int.from_bytes(held.seed, "big") - int.from_bytes(held.key, "big")) % PRIME)
    assert len(differences) == 11
