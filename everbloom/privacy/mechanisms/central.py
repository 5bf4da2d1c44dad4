"""Users, with a trusted server: devices clip, the server noises the sum of a Poisson-sampled cohort (McMahan et al., 2018, arXiv 1710.06963)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.errors import PrivacyError
from everbloom.methods import Mechanism
from everbloom.privacy.accounting.sampled import poisson_epsilon, poisson_noise
from everbloom.privacy.adaptive_clip import AdaptiveClip
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.course import Setting
from everbloom.privacy.noise import NoiseSource
from everbloom.privacy.opening import Opened, State, SumOpening
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import UpdateRelease
from everbloom.privacy.statement import EVALUATION, SERVER_TRUSTED, Statement


class Central(Mechanism):
    """The server sums clipped updates, adds Gaussian noise and divides by the expected size of a cohort."""

    name: Literal["central"]
    units: ClassVar[tuple[str, ...]] = ("user",)
    adaptive_clip: AdaptiveClip | None = None
    """The clip norm follows a quantile of the devices' norms; None keeps it."""
    noise_cohort: PositiveInt | None = None
    """For research: noise on the mean as if cohorts were of this size, drawn from `noise_population`. Epsilon is then valid there only."""
    noise_population: PositiveInt | None = None
    """Default: this run's."""

    def plan(self, setting: Setting) -> "CentralPlan":
        """See `Mechanism`."""
        privacy, course = setting.privacy, setting.course
        _refuse(setting)
        assert privacy.delta is not None
        cohort = self.noise_cohort or course.cohort
        population = self.noise_population or course.population
        if cohort > population or (self.noise_population is not None and self.noise_cohort is None):
            raise PrivacyError(
                f"privacy.mechanism: noise_cohort {cohort} out of noise_population {population} is no cohort; give both, the first below the second"
            )
        rate = cohort / population
        noise = privacy.noise_multiplier or poisson_noise(privacy.epsilon or 0.0, rate, course.rounds, privacy.delta)
        if self.adaptive_clip is not None:
            self.adaptive_clip.left_for_updates(noise, cohort)
        return CentralPlan(
            unit="user",
            epsilon=poisson_epsilon(noise, rate, course.rounds, privacy.delta),
            delta=privacy.delta,
            clip_norm=privacy.clip_norm,
            noise_multiplier=noise,
            max_participations=course.rounds,
            sample_rate=rate,
            cohort=course.cohort,
            adaptive_clip=self.adaptive_clip,
            noise_cohort=self.noise_cohort,
            noise_population=population if self.noise_cohort else None,
        )


@dataclass(frozen=True, kw_only=True)
class CentralPlan(PrivacyPlan):
    """Formal guarantee: the models of all rounds together are (epsilon, delta)-differentially private with respect to adding or removing all data of
    one user, if each round draws every user independently with probability `sample_rate`.
    """

    sample_rate: float
    cohort: int
    """Expected number of answers: the fixed divisor of the noisy sum."""
    adaptive_clip: AdaptiveClip | None = None
    noise_population: int | None = None

    charged: ClassVar[Literal["participation", "round"]] = "round"

    @property
    def relation(self) -> str:
        """See `PrivacyPlan`."""
        return "adding or removing one user with all their data"

    @property
    def mechanism(self) -> str:
        """See `PrivacyPlan`."""
        return (
            f"central Gaussian noise: {'adaptive clip from' if self.adaptive_clip else 'clip'} {self.clip_norm:g} a user, "
            f"noise multiplier {self.noise_multiplier:.4g}, Poisson-sampled cohorts at rate {self.sample_rate:.4g}"
            + (f" (simulated: valid only at cohort = {self.noise_cohort})" if self.noise_cohort else "")
        )

    @property
    def release(self) -> UpdateRelease:
        """See `PrivacyPlan`."""
        return UpdateRelease(tells_clipping=self.adaptive_clip is not None)

    @property
    def server(self) -> SumOpening:
        """See `PrivacyPlan`."""
        scale = 1.0 if self.noise_cohort is None else self.cohort / self.noise_cohort
        return NoisySum(self.clip_norm, self.noise_multiplier, scale, self.cohort, self.adaptive_clip)

    @property
    def query(self) -> CountingQuery:
        """See `PrivacyPlan`. Its cohort must be drawn like a round's, and charges everybody like one."""
        scale = 1.0 if self.noise_cohort is None else self.cohort / self.noise_cohort
        return CountingQuery(server_noise=self.noise_multiplier * scale)

    def spent(self, charges: int) -> float:
        """See `PrivacyPlan`."""
        return poisson_epsilon(self.noise_multiplier, self.sample_rate, charges, self.delta)

    def cost(self) -> Cost:
        """See `PrivacyPlan`."""
        return Cost.sampled(self.noise_multiplier, self.sample_rate, 1)

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """`z sqrt(params) / m`: over the mean of updates that all point one way."""
        return self.noise_multiplier * math.sqrt(parameters) / (self.noise_cohort or self.cohort)

    def describe(self) -> str:
        """See `PrivacyPlan`."""
        only = (
            None
            if self.noise_cohort is None
            else f"SIMULATED NOISE, valid only at cohort = {self.noise_cohort} of {self.noise_population} users: the noise on this run's means of "
            f"{self.cohort} users is what a cohort of {self.noise_cohort} would have; for this run's own users epsilon is larger and not claimed."
        )
        return Statement(
            only_at=only,
            what=f"The global models of all {self.max_participations} rounds together",
            epsilon=self.epsilon,
            delta=self.delta,
            relation=self.relation,
            mechanism=f"{self.mechanism}, divided by the public constant {self.cohort}; every round is charged to every user",
            trust=SERVER_TRUSTED,
            not_covered="the server itself and its records of who took part, " + EVALUATION,
        ).text()


@dataclass(frozen=True)
class NoisySum(SumOpening):
    """sum + N(0, (z C)^2 I), over a fixed m. With an adaptive clip a last number, the sum of +-1/2 a device, has noise of its own."""

    clip_norm: float
    noise_multiplier: float
    scale: float
    """Of the noise; below 1 only to simulate a larger cohort's."""
    cohort: int
    adaptive: AdaptiveClip | None

    unanswered: ClassVar[bool] = True
    clipped: ClassVar[bool] = True

    def begin(self, parameters: int) -> State:
        """See `SumOpening`."""
        return {} if self.adaptive is None else {"clip": np.array([self.clip_norm])}

    def bound(self, state: State) -> float | None:
        """See `SumOpening`."""
        return None if self.adaptive is None else float(state["clip"][0])

    def zero(self, parameters: int) -> NDArray[Any]:
        """See `SumOpening`."""
        return np.zeros(parameters + (self.adaptive is not None), dtype=np.float64)

    def counted(self, before: State, after: State) -> State:
        """See `SumOpening`: the clip norm stays."""
        return before

    def open(
        self, state: State, total: NDArray[Any], clients: int, parameters: int, round: int, noise: NoiseSource
    ) -> Opened:
        """See `SumOpening`."""
        bound = self.clip_norm if self.adaptive is None else float(state["clip"][0])
        multiplier = self.noise_multiplier
        following: Mapping[str, NDArray[Any]] = state
        record: dict[str, float] = {}
        if self.adaptive is not None:
            multiplier = self.adaptive.left_for_updates(self.noise_multiplier, self.cohort / self.scale)
            count = float(total[parameters]) + self.adaptive.count_noise(self.cohort, noise)
            following = {"clip": np.array([self.adaptive.next_bound(bound, count / self.cohort + 0.5)])}
            record = {"clip_norm": round_to(bound)}
        own = noise.normal(torch.empty(parameters), multiplier * bound * self.scale).numpy()
        return Opened(((total[:parameters] + own) / self.cohort).astype(np.float32), following, record)


def round_to(value: float) -> float:
    """Six significant digits, for records."""
    return float(f"{value:.6g}")


def _refuse(setting: Setting) -> None:
    """What would make the accounting of Poisson-sampled cohorts wrong."""
    privacy, course = setting.privacy, setting.course
    if course.sampler != "poisson":
        raise PrivacyError(
            f'federation.sampler = "{course.sampler}": cohorts of a fixed size are not what the accountant counts on; set '
            'federation.sampler = "poisson", or use privacy.mechanism = "matrix-factorisation", which needs no sampling'
        )
    if course.over_selection:
        raise PrivacyError(
            "federation.over_selection: who is among the first to answer depends on the others, so the cohort is no Poisson sample; set it to 0"
        )
    if course.min_replies > 1:
        raise PrivacyError(
            "federation.min_replies: a round that changes nothing tells how many users were drawn, which sampling keeps secret; leave it at 1"
        )
    if privacy.max_participations is not None or privacy.max_participations_per_period is not None:
        raise PrivacyError(
            "privacy.max_participations: who may no longer be drawn depends on who was, so cohorts would be no Poisson samples; remove it "
            "(every round is charged to everybody)"
        )
