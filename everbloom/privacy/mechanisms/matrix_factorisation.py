"""Users, with a trusted server and whoever is asked: noise that cancels between rounds (Choquette-Choo et al., 2023, arXiv 2306.08153)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.errors import PrivacyError
from everbloom.methods import Mechanism
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.course import Setting
from everbloom.privacy.factorisation import (
    CorrelatedNoise,
    Factorisation,
    choose_factorisation,
    error,
    most_participations,
    possible_separation,
    toeplitz_strategy,
)
from everbloom.privacy.noise import NoiseSource
from everbloom.privacy.opening import Opened, State, SumOpening
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import UpdateRelease
from everbloom.privacy.statement import EVALUATION, SERVER_TRUSTED, Statement


class MatrixFactorisation(Mechanism):
    """DP-FTRL with a banded Toeplitz strategy. `bands = 1` is independent Gaussian noise."""

    name: Literal["matrix-factorisation"]
    units: ClassVar[tuple[str, ...]] = ("user",)
    separation: PositiveInt | None = None
    """Rounds from one participation of a device to its next, at least. Default: as many as the population allows."""
    bands: PositiveInt | None = None
    """Rounds over which noise cancels, at most the separation. Default: the fewest that come within 1% of the best."""

    def plan(self, setting: Setting) -> "MatrixFactorisationPlan":
        """See `Mechanism`."""
        privacy, course = setting.privacy, setting.course
        assert privacy.delta is not None
        if course.min_replies > 1:
            raise PrivacyError(
                "federation.min_replies: a round that changes nothing tells who answered, which is not accounted for; leave it at 1"
            )
        if course.sampler != "uniform":
            raise PrivacyError(
                'federation.sampler: rounds of unknown size cannot keep devices apart; use "uniform", or privacy.mechanism = "central"'
            )
        possible = possible_separation(course.population, course.asked)
        separation = min(self.separation or possible, course.rounds)
        if separation > possible:
            raise PrivacyError(
                f"privacy.mechanism.separation: {separation} rounds apart need {separation * course.asked} devices, there are "
                f"{course.population}; at most {possible}"
            )
        limit = setting.most_participations
        if self.bands is None:
            found = choose_factorisation(course.rounds, separation, limit)
        else:
            strategy = toeplitz_strategy(course.rounds, min(self.bands, course.rounds))
            found = Factorisation(
                course.rounds, strategy, separation, most_participations(course.rounds, separation, limit)
            )
        noise = privacy.noise_multiplier or found.noise_multiplier(gaussian_mu(privacy.epsilon or 0.0, privacy.delta))
        return MatrixFactorisationPlan(
            unit="user",
            epsilon=gaussian_epsilon(found.mu(noise), privacy.delta),
            delta=privacy.delta,
            clip_norm=privacy.clip_norm,
            noise_multiplier=noise,
            max_participations=found.participations,
            max_per_period=privacy.max_participations_per_period,
            separation=separation,
            factorisation=found,
            cohort=course.cohort,
        )


@dataclass(frozen=True, kw_only=True)
class MatrixFactorisationPlan(PrivacyPlan):
    """Formal guarantee: that of `Factorisation`, whose separation the scheduler of cohorts keeps and whose participations the ledger bounds."""

    factorisation: Factorisation
    cohort: int
    """Expected number of answers: the fixed divisor of the noisy sum."""

    @property
    def relation(self) -> str:
        """See `PrivacyPlan`."""
        return "replacing everything that one user contributed by nothing"

    @property
    def mechanism(self) -> str:
        """See `PrivacyPlan`."""
        return (
            f"central banded matrix factorisation (DP-FTRL): clip {self.clip_norm:g} a user, noise multiplier "
            f"{self.noise_multiplier:.4g}, {self.factorisation.bands} band(s), devices at least {self.separation} round(s) apart, no sampling assumed"
        )

    @property
    def release(self) -> UpdateRelease:
        """See `PrivacyPlan`."""
        return UpdateRelease()

    @property
    def server(self) -> SumOpening:
        """See `PrivacyPlan`."""
        return CorrelatedSum(self.factorisation, self.clip_norm * self.noise_multiplier, self.cohort)

    @property
    def query(self) -> CountingQuery:
        """See `PrivacyPlan`. There is none."""
        raise PrivacyError(
            "evaluation.devices: the noise of matrix factorisation is laid out over the rounds that learn, of which a measurement is none; "
            'use privacy.mechanism = "local" or "central", or remove [evaluation.devices]'
        )

    def spent(self, charges: int) -> float:
        """See `PrivacyPlan`."""
        return gaussian_epsilon(math.sqrt(charges * self._mu_squared()), self.delta)

    def cost(self) -> Cost:
        """See `PrivacyPlan`."""
        return Cost.gaussian(self._mu_squared())

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """That of independent noise which would do as much harm to the sum of all rounds."""
        rounds = self.factorisation.rounds
        relative = error(rounds, self.factorisation.coefficients) / math.sqrt((rounds + 1) / 2)
        return relative * self.noise_multiplier * math.sqrt(parameters) / self.cohort

    def describe(self) -> str:
        """See `PrivacyPlan`."""
        return Statement(
            what=f"The global models of all {self.factorisation.rounds} rounds together",
            epsilon=self.epsilon,
            delta=self.delta,
            relation=self.relation,
            unit=f"A user takes part in at most {self.max_participations} rounds, any two of them at least {self.separation} apart; "
            "who takes part may be known.",
            mechanism=f"{self.mechanism}, divided by the public constant {self.cohort}",
            trust=SERVER_TRUSTED,
            not_covered="the server itself, the fact that a device took part, " + EVALUATION,
        ).text()

    def _mu_squared(self) -> float:
        """Of one participation: separated ones meet columns that do not overlap, so they add up."""
        return self.factorisation.mu(self.noise_multiplier) ** 2 / self.factorisation.participations


@dataclass(frozen=True)
class CorrelatedSum(SumOpening):
    """sum + x_t, over a fixed m, where C x = z and z ~ N(0, deviation^2 I)."""

    factorisation: Factorisation
    deviation: float
    cohort: int

    unanswered: ClassVar[bool] = True
    clipped: ClassVar[bool] = True

    def begin(self, parameters: int) -> State:
        """The noise of the last rounds."""
        return {"noise": self._stream(parameters, _unused).state()}

    def open(
        self, state: State, total: NDArray[Any], clients: int, parameters: int, round: int, noise: NoiseSource
    ) -> Opened:
        """See `SumOpening`."""

        def draw(_: int) -> NDArray[np.floating]:
            return noise.normal(torch.empty(parameters), self.deviation).numpy()

        stream = self._stream(parameters, draw)
        stream.restore(round, np.asarray(state["noise"], dtype=np.float64))
        own = stream.next()
        return Opened(((total + own) / self.cohort).astype(np.float32), {"noise": stream.state()})

    def _stream(self, parameters: int, draw: Callable[[int], NDArray[np.floating]]) -> CorrelatedNoise:
        return CorrelatedNoise(self.factorisation.coefficients, parameters, draw)


def _unused(_: int) -> NDArray[np.floating]:
    raise AssertionError("only the shape is wanted")
