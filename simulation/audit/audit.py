"""An experiment's audit: which attacks there are under its plan, and all of their results."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import InputError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.mechanisms.central import CentralPlan
from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan
from everbloom.privacy.mechanisms.local import LocalPlan
from everbloom.privacy.mechanisms.matrix_factorisation import MatrixFactorisationPlan
from everbloom.privacy.plan import NO_PRIVACY, PrivacyPlan
from everbloom.study import Study
from simulation.audit.claims import AuditedMechanism, Bound, Claim, audit_claim
from simulation.audit.devices import always_sampled, claim_of
from simulation.audit.example_canary import ExampleCanary
from simulation.audit.gradient_canary import GradientCanary
from simulation.audit.items import ItemInference, clients_to_attack, infer_items, without_privacy
from simulation.audit.membership import MembershipInference, infer_members
from simulation.audit.user_canary import LocalUsers, SampledUsers, SeparatedUsers, SummedUsers

_DEVICE_MESSAGES = 7200
"""Messages that simulated devices send in one attack, unless told how many runs to make."""
_CANARIES = 3000
"""Users in sums."""
_INTEGERS = 10**8
"""Numbers that devices encode."""
_MOST_MESSAGES = 24
"""Of a client, that items are inferred from."""


@dataclass(frozen=True)
class Effort:
    """How much is tried. `runs` of each mechanism (None: what takes some seconds), `clients` whose items are inferred, `models` trained for
    membership inference (0: none) for `rounds` rounds each.
    """

    runs: int | None = None
    clients: int = 40
    models: int = 4
    rounds: int = 5
    confidence: float = 0.95
    """Of the audit: the probability that it refutes no true claim, over all of its bounds."""

    def __post_init__(self) -> None:
        if self.runs is not None and self.runs < 40:
            raise InputError(f"--runs {self.runs}: so few prove nothing; expected at least 40")
        if self.clients < 2:
            raise InputError(f"--clients {self.clients}: expected at least 2")
        if self.models and (self.models < 4 or self.models % 2):
            raise InputError(f"--shadows {self.models}: expected 0, or an even number from 4 on")


@dataclass(frozen=True)
class Audit:
    """What was claimed, what was proved, and what an attacker learns."""

    experiment: str
    statement: str
    note: str | None
    bounds: list[Bound]
    items: list[ItemInference]
    members: list[MembershipInference]

    @property
    def exceeded(self) -> bool:
        """Some claim is refuted."""
        return any(bound.exceeded for bound in self.bounds)


@dataclass(frozen=True)
class Attack:
    """A mechanism, its claim and how many runs to make of it."""

    mechanism: AuditedMechanism
    claim: Claim
    runs: int


def audit_study(
    study: Study, parameters: NDArray[np.float32], effort: Effort, seed: int, tell: Callable[[str], None]
) -> Audit:
    """Everything; `parameters` [params] are those that devices are sent when items are inferred. `tell` hears what is begun."""
    plan, alpha = study.plan, 1 - effort.confidence
    attacks = [] if plan is None else attacks_on(study, plan, effort.runs)
    share = alpha / max(1, sum(attack.claim.bounds for attack in attacks))
    bounds = []
    for attack in attacks:
        tell(f"{attack.mechanism.name}: {attack.runs} runs")
        bounds += audit_claim(attack.mechanism, attack.claim, attack.runs, seed, share)
    clients, messages = clients_to_attack(study, effort.clients, seed), messages_of_a_client(study)
    items: list[ItemInference] = []
    members: list[MembershipInference] = []
    for variant in [without_privacy(study)] + ([] if plan is None else [study]):
        how = "without privacy" if variant.plan is None else "with privacy"
        tell(f"which items, from {len(clients)} clients' updates, {how}")
        items += infer_items(variant, parameters, clients, messages, alpha)
        if effort.models:
            tell(f"who took part, from {effort.models} brief federations, {how}")
            members += infer_members(variant, effort.models, effort.rounds, seed, alpha)
    statement = NO_PRIVACY if plan is None else plan.describe()
    return Audit(study.experiment.name, statement, _note(plan), bounds, items, members)


def attacks_on(study: Study, plan: PrivacyPlan, runs: int | None = None) -> list[Attack]:
    """What tries to refute the plan's claim; nothing where the claim is not about this experiment's own users."""
    if isinstance(plan, DpSgdPlan):
        return _on_devices(study, plan, runs)
    if plan.noise_cohort is not None:
        return []
    if isinstance(plan, CentralPlan):
        return _on_sampled(plan, runs or _CANARIES)
    if isinstance(plan, MatrixFactorisationPlan):
        return [Attack(SeparatedUsers(plan), claim_of(plan, gaussian=True), runs or _CANARIES)]
    if isinstance(plan, DistributedPlan):
        numbers = plan.max_participations * plan.encoding.padded
        most = max(2 * plan.min_cohort, min(_CANARIES, _INTEGERS // numbers))
        # Not Gaussian, but sums of many small integers that are next to it; epsilon by the accountant of the integers is the larger one.
        return [Attack(SummedUsers(plan), claim_of(plan, gaussian=True), runs or most)]
    if isinstance(plan, LocalPlan):
        return [Attack(LocalUsers(plan), claim_of(plan, gaussian=True), runs or _device_runs(plan))]
    raise TypeError(f"no audit of a {type(plan).__name__}")


def messages_of_a_client(study: Study) -> int:
    """How many updates a device sends in a whole run, if it takes part as often as it may; of sampled ones and without privacy, as expected."""
    plan, course = study.plan, study.course
    expected = max(1, round(course.rounds * course.cohort / course.population))
    most = expected if plan is None or plan.charged == "round" else plan.max_participations
    return min(most, _MOST_MESSAGES)


def _on_devices(study: Study, plan: DpSgdPlan, runs: int | None) -> list[Attack]:
    sampled, number = plan.sample_rate < 1, runs or _device_runs(plan)
    claim = claim_of(plan, gaussian=not sampled)
    attacks = [Attack(GradientCanary(plan), claim, number), Attack(ExampleCanary(study, plan), claim, number)]
    if sampled:
        whole = always_sampled(plan)
        certain = GradientCanary(whole)
        certain.name = f"{certain.name}, always sampled"
        attacks.append(Attack(certain, claim_of(whole, gaussian=True), number))
    return attacks


def _on_sampled(plan: CentralPlan, runs: int) -> list[Attack]:
    certain = replace(plan, sample_rate=1.0, max_participations=min(plan.max_participations, 10))
    users = SampledUsers(certain)
    users.name = f"{users.name}, always sampled"
    of_one = gaussian_epsilon(1 / plan.noise_multiplier, plan.delta)
    return [
        Attack(SampledUsers(plan), claim_of(plan, gaussian=False), runs),
        Attack(users, Claim(None, of_one, plan.delta, gaussian=True), runs),
    ]


def _device_runs(plan: PrivacyPlan) -> int:
    return min(4000, max(100, math.ceil(_DEVICE_MESSAGES / plan.max_participations)))


def _note(plan: PrivacyPlan | None) -> str | None:
    if plan is None or plan.noise_cohort is None:
        return None
    return "the noise is that of a larger cohort, so nothing is claimed of this run's own users and nothing is held against a claim"
