"""Devices under audit: what their plan claims, and how often they answer a server that never stops asking."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everbloom.privacy.ledger import Ledger
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.plan import PrivacyPlan
from simulation.audit.claims import Claim

HELD = 2**26
"""Bytes of updates at once."""


class Charges(Protocol):
    """The ledgers of some devices."""

    def reserve_all(self, clients: NDArray[np.int64]) -> dict[int, str]:
        """Charges one round to each that has one left; position -> why the others were refused."""
        ...


Ledgers = Callable[[PrivacyPlan, int], Charges]
"""(plan, devices) -> fresh ledgers of so many devices."""


def fresh_ledgers(plan: PrivacyPlan, devices: int) -> Charges:
    """What simulated devices have: see `everbloom.privacy.ledger`."""
    return Ledger(plan, np.zeros(devices, dtype=np.int32))


def rounds_answered(ledgers: Charges, devices: int, plan: PrivacyPlan) -> Iterator[int]:
    """The rounds, from 1, in which the devices answer a server that asks twice as often as the plan allows, and once more.

    All devices are asked in every round, so all have answered equally often.
    """
    everybody = np.arange(devices)
    for round in range(1, 2 * plan.max_participations + 2):
        if not ledgers.reserve_all(everybody):
            yield round


def claim_of(plan: PrivacyPlan, gaussian: bool) -> Claim:
    """What a plan says of one device."""
    return Claim(plan.epsilon, plan.spent(1), plan.delta, gaussian)


def always_sampled(plan: DpSgdPlan) -> DpSgdPlan:
    """The same noise without the help of sampling, whose claim is Gaussian."""
    whole = replace(plan, sample_rate=1.0)
    return replace(whole, epsilon=whole.spent(whole.max_participations))
