"""The privacy plan: unit, neighbouring relation, sampling, clipping, noise and accounting built together, so that they cannot disagree.

Nothing else in the code adds noise or computes an epsilon. `describe()` is the one statement of what is claimed.
"""

import math
from dataclasses import dataclass
from typing import Literal

from everbloom.config import LearningConfig, ModelConfig, PrivacyConfig
from everbloom.errors import PrivacyError
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.accounting.sampled import poisson_epsilon, poisson_noise


@dataclass(frozen=True)
class PrivacyPlan:
    """DP-SGD on each device (Abadi et al., 2016), by the unit of one example.

    Formal guarantee: for one device and the whole run, every message it sends is (epsilon, delta)-differentially private with respect to adding or
    removing one example of its local data, given a trusted device and an adversary that sees all messages. It holds for any number of examples:
    sampling rate, steps and denominator are fixed and public.
    """

    unit: Literal["example"]
    epsilon: float
    """Spent by a device after `max_participations` rounds."""
    delta: float
    clip_norm: float
    noise_multiplier: float
    """Standard deviation of the noise on a step's clipped sum, over `clip_norm`."""
    sample_rate: float
    """1: each step reads all examples; below: each with this probability, independently (Poisson)."""
    denominator: float
    steps_per_round: int
    max_participations: int
    examples_per_interaction: int
    """In how many examples one interaction can lie."""
    example: str
    """What an example is, in words."""

    def spent(self, participations: int) -> float:
        """Epsilon that a device has spent after so many rounds, at `delta`."""
        steps = participations * self.steps_per_round
        if self.sample_rate == 1:
            return gaussian_epsilon(math.sqrt(steps) / self.noise_multiplier, self.delta)
        return poisson_epsilon(self.noise_multiplier, self.sample_rate, steps, self.delta)

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """Norm of the noise on the cohort's mean step over that of the largest possible signal of one example per unit of denominator.

        `s sqrt(params) / (B* sqrt(cohort))`: learning needs this well below a few tenths.
        """
        return self.noise_multiplier * math.sqrt(parameters) / (self.denominator * math.sqrt(cohort))

    @property
    def mechanism(self) -> str:
        """One phrase, for records."""
        sampling = "full batch" if self.sample_rate == 1 else f"Poisson sampling at rate {self.sample_rate:g}"
        return f"DP-SGD on the device (Opacus): clip {self.clip_norm:g}, noise multiplier {self.noise_multiplier:.4g}, {sampling}"

    def describe(self) -> str:
        """The exact claim: unit, relation, epsilon, delta, mechanism, sampling, trust, and what is not covered."""
        lies = (
            "An interaction lies in exactly one example. "
            "Removing one interaction can move the borders of later windows; the guarantee is for a whole window."
            if self.examples_per_interaction == 1
            else f"An interaction lies in up to {self.examples_per_interaction} examples; "
            "for a whole interaction or a whole user the guarantee is weaker."
        )
        return (
            f"Each device's messages are ({self.epsilon:.3g}, {self.delta:g})-differentially private over at most "
            f"{self.max_participations} rounds, with respect to adding or removing one example of that device ({self.example}). {lies} "
            f"Mechanism: {self.mechanism}, {self.steps_per_round} step(s) a round, divided by the public constant {self.denominator:g}. "
            "The device is trusted; the server, the other devices and the network are not. Not covered: the fact that a device took part, "
            "and central evaluation and the choice of the best round, which read held-out events of simulated users."
        )


NO_PRIVACY = (
    "No differential privacy: devices send exact updates, from which a server can infer much of what they hold."
)


def build_plan(privacy: PrivacyConfig, learning: LearningConfig, model: ModelConfig, rounds: int) -> PrivacyPlan | None:
    """The plan of an experiment whose devices can be asked in `rounds` rounds altogether; None if privacy is off. Raises `PrivacyError`."""
    if privacy.unit == "none":
        return None
    if learning.max_examples is not None:
        raise PrivacyError(
            "learning.max_examples: choosing a subset ties examples to each other, so one more example would change more than one gradient; "
            'remove it, or use privacy.sampling = "poisson"'
        )
    assert privacy.delta is not None
    participations = min(rounds, privacy.max_participations or rounds)
    steps = participations * learning.local_steps
    rate = privacy.sample_rate or 1.0
    if privacy.noise_multiplier is not None:
        noise = privacy.noise_multiplier
    elif rate == 1:
        noise = math.sqrt(steps) / gaussian_mu(privacy.epsilon or 0.0, privacy.delta)
    else:
        noise = poisson_noise(privacy.epsilon or 0.0, rate, steps, privacy.delta)
    epsilon = (
        gaussian_epsilon(math.sqrt(steps) / noise, privacy.delta)
        if rate == 1
        else poisson_epsilon(noise, rate, steps, privacy.delta)
    )
    windows = learning.examples == "windows"
    return PrivacyPlan(
        unit="example",
        epsilon=epsilon,
        delta=privacy.delta,
        clip_norm=privacy.clip_norm,
        noise_multiplier=noise,
        sample_rate=rate,
        denominator=privacy.denominator,
        steps_per_round=learning.local_steps,
        max_participations=participations,
        examples_per_interaction=1 if windows else model.user.history,
        example="a window of consecutive events, windows being disjoint"
        if windows
        else f"one event with up to {model.user.history - 1} events before it",
    )
