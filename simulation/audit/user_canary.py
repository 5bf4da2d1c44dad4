"""The worst users that there can be: against the mechanisms that protect users.

In a sum, every canary user pushes a direction of its own, a thousand clip norms far: after clipping each is seen along one coordinate with the whole
clip norm, and the noise there is nobody else's. One run of the mechanism is thus a run for each canary. What is audited is what devices do to their
updates (`UpdateRelease.finish`) and what the server does to their sum (`SumOpening.open`), for all rounds of the plan.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.privacy.audit.evidence import privacy_loss
from everbloom.privacy.mechanisms.central import CentralPlan
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.mechanisms.local import LocalPlan
from everbloom.privacy.mechanisms.matrix_factorisation import MatrixFactorisationPlan
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.opening import SumOpening
from everbloom.privacy.release import UpdateRelease
from everbloom.seeding import numpy_generator, torch_generator
from simulation.audit.claims import Floats
from simulation.audit.devices import Ledgers, fresh_ledgers, rounds_answered

_LONG = 1000.0
"""Clip norms."""
_PARAMETERS = 8
"""Of an update that is looked at alone."""


class SampledUsers:
    """Central noise: each canary is in a round's sum by chance, with the plan's probability. `release`, `opening`: what is audited."""

    name = "server's noisy sum, worst users"

    def __init__(
        self, plan: CentralPlan, release: UpdateRelease | None = None, opening: SumOpening | None = None
    ) -> None:
        self.plan = plan
        self.finish = release or plan.release
        self.opening = opening or plan.server

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`."""
        plan, rounds = self.plan, self.plan.max_participations
        drawn = numpy_generator(seed, "audit-sample").random((len(included), rounds)) < plan.sample_rate
        seen = _sums(self.finish, self.opening, drawn & included[:, None], plan.clip_norm, seed)
        return privacy_loss(seen * plan.cohort, plan.noise_multiplier, plan.sample_rate)


class SeparatedUsers:
    """Correlated noise: the canaries take part as often as their ledgers allow, all in the same rounds, as far apart as the plan says."""

    name = "server's sum with correlated noise, worst users"

    def __init__(
        self,
        plan: MatrixFactorisationPlan,
        release: UpdateRelease | None = None,
        opening: SumOpening | None = None,
        ledgers: Ledgers = fresh_ledgers,
    ) -> None:
        self.plan = plan
        self.finish = release or plan.release
        self.opening = opening or plan.server
        self.ledgers = ledgers

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`. One message is one participation: the rounds that its push and the noise around it show in."""
        plan, strategy = self.plan, self.plan.factorisation
        times = len(list(rounds_answered(self.ledgers(plan, len(included)), len(included), plan)))
        rounds = max(strategy.rounds, (times - 1) * plan.separation + strategy.bands)
        starts = np.arange(times) * plan.separation
        takes_part = np.zeros((len(included), rounds), dtype=np.bool_)
        takes_part[:, starts] = included[:, None]
        seen = _sums(self.finish, self.opening, takes_part, plan.clip_norm, seed) * plan.cohort
        # C times what is released is C times the pushes plus independent noise; a push meets one column of C.
        independent = np.apply_along_axis(lambda row: np.convolve(row, strategy.coefficients)[:rounds], 1, seen)
        evidence: Floats = np.stack(
            [independent[:, start : start + strategy.bands] @ strategy.coefficients for start in starts], axis=1
        )
        return evidence


class SummedUsers:
    """Shares of noise under secure aggregation: sums of exactly as many devices as the claim counts on, each with a canary or with zeros to send."""

    name = "sum of the devices' integers, worst users"

    def __init__(
        self,
        plan: DistributedPlan,
        release: UpdateRelease | None = None,
        opening: SumOpening | None = None,
        ledgers: Ledgers = fresh_ledgers,
    ) -> None:
        self.plan = plan
        self.finish = release or plan.release
        self.opening = opening or plan.server
        self.ledgers = ledgers

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`; in clip norms."""
        runs, most = len(included), min(self.plan.min_cohort, self.plan.encoding.params)
        found = []
        for round in rounds_answered(self.ledgers(self.plan, runs), runs, self.plan):
            sums = [self._sum(included[start : start + most], seed, round, start) for start in range(0, runs, most)]
            found.append(np.concatenate(sums))
        return np.array(found, dtype=np.float64).reshape(len(found), runs).T

    def _sum(self, included: NDArray[np.bool_], seed: int, round: int, first: int) -> Floats:
        """[canaries] one sum along each of its canaries; devices that are none send zeros and their share of noise."""
        plan, canaries, parameters = self.plan, len(included), self.plan.encoding.params
        total = self.opening.zero(parameters)
        for device in range(plan.min_cohort):
            update = torch.zeros((1, parameters))
            if device < canaries and included[device]:
                update[0, device] = _LONG * plan.clip_norm
            source = SeededNoise(torch_generator(seed, "audit", round=round, client=first + device))
            total += self.finish.finish(update, plan.clip_norm, [source])[0]
        unused = SeededNoise(torch_generator(seed, "audit-server", round=round))
        opened = self.opening.open({}, total, plan.min_cohort, parameters, round, unused)
        return opened.mean[:canaries].astype(np.float64) * plan.min_cohort / plan.clip_norm


class LocalUsers:
    """Noise on the device: each canary pushes one way, its neighbour, who is another user, the other way."""

    name = "device's noisy update, worst user"

    def __init__(self, plan: LocalPlan, release: UpdateRelease | None = None, ledgers: Ledgers = fresh_ledgers) -> None:
        self.plan = plan
        self.finish = release or plan.release
        self.ledgers = ledgers

    def release(self, included: NDArray[np.bool_], seed: int) -> Floats:
        """See `AuditedMechanism`; in clip norms."""
        runs, clip_norm = len(included), self.plan.clip_norm
        found = []
        for round in rounds_answered(self.ledgers(self.plan, runs), runs, self.plan):
            updates = torch.zeros((runs, _PARAMETERS))
            updates[:, 0] = torch.from_numpy(np.where(included, _LONG, -_LONG)) * clip_norm
            sources = [SeededNoise(torch_generator(seed, "audit", round=round, client=run)) for run in range(runs)]
            found.append(self.finish.finish(updates, clip_norm, sources)[:, 0] / clip_norm)
        return np.array(found, dtype=np.float64).reshape(len(found), runs).T


def _sums(
    release: UpdateRelease, opening: SumOpening, takes_part: NDArray[np.bool_], clip_norm: float, seed: int
) -> Floats:
    """[canaries, rounds] the means that the server opens, along each canary, in clip norms; `takes_part` [canaries, rounds]."""
    canaries, rounds = takes_part.shape
    state = opening.begin(canaries)
    seen = np.empty((canaries, rounds))
    for round in range(rounds):
        bound = opening.bound(state) or clip_norm
        who = np.flatnonzero(takes_part[:, round])
        updates = torch.zeros((len(who), canaries))
        updates[torch.arange(len(who)), torch.from_numpy(who)] = _LONG * clip_norm
        total = opening.zero(canaries)
        total += release.finish(updates, bound, []).sum(axis=0, dtype=total.dtype)
        noise = SeededNoise(torch_generator(seed, "audit", round=round))
        opened = opening.open(state, total, len(who), canaries, round, noise)
        seen[:, round] = opened.mean / bound
        state = opened.state
    return seen
