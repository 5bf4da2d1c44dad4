"""DP-SGD on each device, by the unit of one example or of one interaction (Abadi et al., 2016, arXiv 1607.00133)."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from everbloom.errors import PrivacyError
from everbloom.methods import Mechanism
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.accounting.sampled import poisson_epsilon, poisson_noise
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.course import Setting
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.statement import DEVICE_TRUSTED, EVALUATION, Statement


class DpSgd(Mechanism):
    """Each local step clips every example's gradient and adds noise to their sum, on the device."""

    name: Literal["dp-sgd"]
    units: ClassVar[tuple[str, ...]] = ("example", "interaction")

    def plan(self, setting: Setting) -> "DpSgdPlan":
        """See `Mechanism`."""
        privacy, learning = setting.privacy, setting.learning
        if learning.max_examples is not None:
            raise PrivacyError(
                "learning.max_examples: choosing a subset ties examples to each other, so one more example would change more than one gradient; "
                'remove it, or use privacy.sampling = "poisson"'
            )
        assert privacy.delta is not None
        participations = setting.most_participations
        steps = participations * learning.local_steps
        rate = privacy.sample_rate or 1.0
        reach = _reach(setting)
        if privacy.noise_multiplier is not None:
            noise = privacy.noise_multiplier
        elif rate == 1:
            noise = reach * math.sqrt(steps) / gaussian_mu(privacy.epsilon or 0.0, privacy.delta)
        else:
            noise = poisson_noise(privacy.epsilon or 0.0, rate, steps, privacy.delta)
        windows = learning.examples == "windows"
        return DpSgdPlan(
            unit=privacy.unit,
            epsilon=_epsilon(noise, reach, rate, steps, privacy.delta),
            delta=privacy.delta,
            clip_norm=privacy.clip_norm,
            noise_multiplier=noise,
            max_participations=participations,
            max_per_period=privacy.max_participations_per_period,
            sample_rate=rate,
            denominator=privacy.denominator,
            steps_per_round=learning.local_steps,
            examples_per_interaction=1 if windows else setting.model.user.history,
            reach=reach,
            example="a window of consecutive events, windows being disjoint"
            if windows
            else f"one event with up to {setting.model.user.history - 1} events before it",
        )


@dataclass(frozen=True, kw_only=True)
class DpSgdPlan(PrivacyPlan):
    """Formal guarantee: for one device and the whole run, every message it sends is (epsilon, delta)-differentially private with respect to adding or
    removing one unit of its local data, given a trusted device and an adversary that sees all messages. It holds for any number of examples:
    sampling rate, steps and denominator are fixed and public.
    """

    sample_rate: float
    """1: each step reads all examples; below: each with this probability, independently (Poisson)."""
    denominator: float
    steps_per_round: int
    examples_per_interaction: int
    """In how many examples one interaction can lie."""
    reach: float = 1.0
    """By how many clip norms one unit can move a step's sum."""
    example: str
    """What an example is, in words."""

    @property
    def dp_sgd(self) -> "DpSgdPlan":
        """See `PrivacyPlan`."""
        return self

    @property
    def relation(self) -> str:
        """See `PrivacyPlan`."""
        if self.unit == "interaction":
            return "adding or removing one interaction of that device"
        return f"adding or removing one example of that device ({self.example})"

    @property
    def mechanism(self) -> str:
        """See `PrivacyPlan`."""
        sampling = "full batch" if self.sample_rate == 1 else f"Poisson sampling at rate {self.sample_rate:g}"
        return f"DP-SGD on the device (Opacus): clip {self.clip_norm:g}, noise multiplier {self.noise_multiplier:.4g}, {sampling}"

    @property
    def query(self) -> CountingQuery:
        """See `PrivacyPlan`. A unit may change the device's answer altogether, which is of sensitivity 1; with this noise it costs what a round's
        steps do: mu^2 = steps (reach / s)^2.
        """
        if self.sample_rate < 1:
            raise PrivacyError(
                'evaluation.devices: a device\'s measurement reads all of its data, and a round under privacy.sampling = "poisson" is charged for a '
                'part of it; use privacy.sampling = "full", or remove [evaluation.devices]'
            )
        return CountingQuery(device_noise=self.noise_multiplier / (self.reach * math.sqrt(self.steps_per_round)))

    @property
    def needs_sum(self) -> None:
        """See `PrivacyPlan`: all noise is on before anything leaves a device."""
        return None

    def spent(self, charges: int) -> float:
        """See `PrivacyPlan`."""
        return _epsilon(self.noise_multiplier, self.reach, self.sample_rate, charges * self.steps_per_round, self.delta)

    def cost(self) -> Cost:
        """See `PrivacyPlan`."""
        if self.sample_rate == 1:
            return Cost.gaussian(self.steps_per_round * (self.reach / self.noise_multiplier) ** 2)
        return Cost.sampled(self.noise_multiplier, self.sample_rate, self.steps_per_round)

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """`s sqrt(params) / (B* sqrt(cohort))`: over the largest possible signal of one example per unit of denominator."""
        return self.noise_multiplier * math.sqrt(parameters) / (self.denominator * math.sqrt(cohort))

    def describe(self) -> str:
        """See `PrivacyPlan`."""
        return Statement(
            what="Each device's messages",
            epsilon=self.epsilon,
            delta=self.delta,
            scope=f"over at most {self.max_participations} rounds",
            relation=self.relation,
            unit=self._lies(),
            mechanism=f"{self.mechanism}, {self.steps_per_round} step(s) a round, divided by the public constant {self.denominator:g}",
            trust=DEVICE_TRUSTED,
            not_covered=f"the fact that a device took part, and {EVALUATION}",
        ).text()

    def _lies(self) -> str:
        if self.unit == "interaction":
            return (
                f"An interaction lies in up to {self.examples_per_interaction} examples; its presence moves a step's sum by up to "
                f"{self.reach:g} clip norms, and the noise is measured against that. For a whole user the guarantee is weaker."
            )
        pushed = ""
        if self.reach > 1:
            pushed = (
                "One example can push another out of those that are rehearsed, so its presence moves a step's sum by up to "
                f"{self.reach:g} clip norms, and the noise is measured against that. "
            )
        if self.examples_per_interaction == 1:
            return pushed + (
                "An interaction lies in exactly one example. "
                "Removing one interaction can move the borders of later windows; the guarantee is for a whole window."
            )
        return pushed + (
            f"An interaction lies in up to {self.examples_per_interaction} examples; "
            "for a whole interaction or a whole user the guarantee is weaker."
        )


def _reach(setting: Setting) -> float:
    """Clip norms by which one unit moves a step's sum.

    Next-item examples: an interaction is the target of one, which comes or goes (C), and context in `history - 1` later ones, each of which becomes
    another example (up to 2 C each).
    """
    method = setting.continual
    further = 1.0 if method is None else method.reach
    if method is not None and method.replay is not None:
        _refuse_replay(setting)
    if setting.privacy.unit == "example":
        return further
    if setting.learning.examples != "next-item":
        raise PrivacyError(
            'privacy.unit = "interaction": taking one interaction out of a history moves every later window, so the sum changes without bound; '
            'use learning.examples = "next-item", or unit "example" or "user"'
        )
    if setting.privacy.sampling == "poisson":
        raise PrivacyError(
            'privacy.sampling: an interaction lies in several examples that are drawn apart, for which no amplification is claimed; use "full", '
            'or unit "example"'
        )
    return further * (2.0 * setting.model.user.history - 1)


def _refuse_replay(setting: Setting) -> None:
    if setting.learning.examples != "next-item":
        raise PrivacyError(
            "continual.method: replay chooses old events, and under DP-SGD an example must be one event for the choice of one not to change others; "
            'use learning.examples = "next-item", or privacy.unit = "user"'
        )
    if setting.privacy.sampling == "poisson":
        raise PrivacyError(
            "continual.method: an example that replay pushes out is drawn apart from the one that pushed it, for which no amplification is claimed; "
            'use privacy.sampling = "full", or privacy.unit = "user"'
        )


def _epsilon(noise: float, reach: float, rate: float, steps: int, delta: float) -> float:
    if rate == 1:
        return gaussian_epsilon(reach * math.sqrt(steps) / noise, delta)
    return poisson_epsilon(noise, rate, steps, delta)
