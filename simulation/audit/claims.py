"""A claim beside what many runs of the mechanism prove."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from everbloom.privacy.audit import clopper_pearson, gdp, one_run
from everbloom.seeding import numpy_generator

Floats = NDArray[np.float64]


class AuditedMechanism(Protocol):
    """What is audited: it can be run on data sets that hold a canary and on neighbouring ones that do not."""

    @property
    def name(self) -> str:
        """In the report."""
        ...

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """[runs, messages]: how much each message speaks for the canary, in runs of which those `included` [runs] hold one.

        Runs are independent: devices with noise of their own, or canaries that push in orthogonal directions of one sum.
        """
        ...


@dataclass(frozen=True)
class Claim:
    """What is claimed of all messages together (None: nothing) and of one of them; `gaussian`: both are Gaussian DP, so that its bounds may refute
    them.
    """

    epsilon: float | None
    epsilon_of_one: float
    delta: float
    gaussian: bool

    @property
    def bounds(self) -> int:
        """How many bounds `audit_claim` gives: what the probability of a false alarm is shared out over."""
        return (1 + self.gaussian) * (1 if self.epsilon is None else 2) + (self.epsilon is not None)


@dataclass(frozen=True)
class Bound:
    """One line of the audit: at `confidence`, the mechanism is not (epsilon, delta)-DP for any epsilon below `epsilon_lower`."""

    mechanism: str
    about: str
    """What was released: one message, or all of a run."""
    method: str
    epsilon_claimed: float
    epsilon_lower: float
    delta: float
    confidence: float
    runs: int
    """All that were made, with and without a canary."""

    @property
    def exceeded(self) -> bool:
        """The claim is refuted."""
        return self.epsilon_lower > self.epsilon_claimed


def audit_claim(mechanism: AuditedMechanism, claim: Claim, runs: int, seed: int, alpha: float) -> list[Bound]:
    """Bounds from so many runs, each with a canary by a fair coin; each bound at confidence 1 - `alpha`.

    Of all messages: what they say together. Of one message: every message of every run is a run of its own, so there are many more of them.
    """
    included = numpy_generator(seed, "audit-coins").random(runs) < 0.5
    evidence = mechanism.release(included, seed)
    bounds = []
    for about, claimed, statistic, there in (
        (f"all {evidence.shape[1]} messages", claim.epsilon, evidence.sum(axis=1), included),
        ("one message", claim.epsilon_of_one, evidence.reshape(-1), np.repeat(included, evidence.shape[1])),
    ):
        if claimed is None:
            continue
        worlds = statistic[~there], statistic[there]
        found = {"Clopper-Pearson": clopper_pearson.epsilon_lower(*worlds, claim.delta, alpha)[0]}
        if claim.gaussian:
            found["Gaussian DP"] = gdp.epsilon_lower(*worlds, claim.delta, alpha)[0]
        if about != "one message":
            found["one run"] = one_run.epsilon_lower(statistic, there, claim.delta, alpha)[0]
        bounds += [
            Bound(mechanism.name, about, method, claimed, lower, claim.delta, 1 - alpha, len(statistic))
            for method, lower in found.items()
        ]
    return bounds
