"""Users, with a server that sees nothing but sums: each device adds its share of integer noise to an update that secure aggregation hides
(Kairouz, Liu and Steinke, 2021, arXiv 2102.06387; Agarwal, Kairouz and Liu, 2021, arXiv 2110.04995)."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from everbloom.errors import PrivacyError
from everbloom.methods import Mechanism
from everbloom.privacy.accounting.discrete import ORDERS, Law, discrete_epsilon, discrete_rdp
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery, EncodedQuery
from everbloom.privacy.course import Setting
from everbloom.privacy.discrete.encoding import Encoding, calibrated
from everbloom.privacy.noise import NoiseSource
from everbloom.privacy.opening import Opened, State, SumOpening
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import UpdateRelease
from everbloom.privacy.statement import EVALUATION, Statement


class Distributed(Mechanism):
    """Updates are rotated, rounded to integers, noised by everybody a little and summed modulo 2^bits."""

    name: Literal["distributed"]
    units: ClassVar[tuple[str, ...]] = ("user",)
    noise: Law = "skellam"
    bits: Annotated[int, Field(ge=8, le=32)] = 16
    """Of one number of an update; fewer round more coarsely."""
    min_cohort: PositiveInt | None = None
    """Devices whose shares of noise the claim counts on: a device takes part in no sum of fewer. Default: nine tenths of `federation.cohort`."""

    def plan(self, setting: Setting) -> "DistributedPlan":
        """See `Mechanism`."""
        privacy, course = setting.privacy, setting.course
        assert privacy.delta is not None
        if course.sampler != "uniform":
            raise PrivacyError(
                'federation.sampler: a cohort of unknown size may be too small for its noise or too large for its integers; use "uniform"'
            )
        least = self.min_cohort or max(1, math.floor(0.9 * course.cohort))
        if not 3 <= least <= course.cohort:
            raise PrivacyError(
                f"privacy.mechanism.min_cohort: {least} of a cohort of {course.cohort}; expected 3 to {course.cohort}: "
                "of a sum of two each knows the other's part"
            )
        participations = setting.most_participations
        encoding = Encoding(
            params=setting.parameters,
            clip_norm=privacy.clip_norm,
            cohort=course.asked,
            cohort_minimum=least,
            noise_multiplier=privacy.noise_multiplier or 1.0,
            bits=self.bits,
            law=self.noise,
        )
        if privacy.noise_multiplier is None:
            encoding = calibrated(encoding, participations, privacy.epsilon or 0.0, privacy.delta)
        return DistributedPlan(
            unit="user",
            epsilon=discrete_epsilon(encoding.released, participations, privacy.delta),
            delta=privacy.delta,
            clip_norm=privacy.clip_norm,
            noise_multiplier=encoding.noise_multiplier,
            max_participations=participations,
            max_per_period=privacy.max_participations_per_period,
            encoding=encoding,
        )


@dataclass(frozen=True, kw_only=True)
class DistributedPlan(PrivacyPlan):
    """Formal guarantee: the sums of all rounds together are (epsilon, delta)-differentially private with respect to replacing one user's updates by
    zeros, if at least `min_cohort` devices of each sum add their share of noise and the adversary sees no summand and knows no share.
    """

    encoding: Encoding

    @property
    def min_cohort(self) -> int:
        """A device takes part in no sum of fewer."""
        return self.encoding.cohort_minimum

    @property
    def relation(self) -> str:
        """See `PrivacyPlan`."""
        return "replacing all updates of one user by zeros"

    @property
    def mechanism(self) -> str:
        """See `PrivacyPlan`."""
        return (
            f"distributed {self.encoding.law} noise under secure aggregation: clip {self.clip_norm:g} a user, noise multiplier "
            f"{self.noise_multiplier:.4g} from {self.min_cohort} devices' shares, {self.encoding.bits}-bit sums"
        )

    @property
    def release(self) -> UpdateRelease:
        """See `PrivacyPlan`."""
        return UpdateRelease(encoding=self.encoding)

    @property
    def server(self) -> SumOpening:
        """See `PrivacyPlan`."""
        return DecodedSum(self.encoding)

    @property
    def query(self) -> CountingQuery:
        """See `PrivacyPlan`: an update like any other, of at most the clip norm."""
        return EncodedQuery(encoding=self.encoding)

    @property
    def needs_sum(self) -> str:
        """See `PrivacyPlan`."""
        return "the server sees the sum of masked updates and no update"

    def spent(self, charges: int) -> float:
        """See `PrivacyPlan`."""
        return discrete_epsilon(self.encoding.released, charges, self.delta)

    def cost(self) -> Cost:
        """See `PrivacyPlan`."""
        return Cost.renyi(ORDERS, discrete_rdp(self.encoding.released).tolist())

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """`z sqrt(params n / n_min) / n`, n devices adding shares of which n_min are counted on."""
        more = math.sqrt(cohort / self.min_cohort) * self.encoding.inflated_clip_norm / self.clip_norm
        return self.noise_multiplier * more * math.sqrt(parameters) / cohort

    def describe(self) -> str:
        """See `PrivacyPlan`."""
        return Statement(
            what=f"The sums of all rounds that a device takes part in, at most {self.max_participations},",
            epsilon=self.epsilon,
            delta=self.delta,
            relation=self.relation,
            mechanism=f"{self.mechanism}; no sampling assumed",
            trust=f"The device is trusted, and so are {self.min_cohort} devices of each sum to add their shares and to tell nobody; "
            "the server sees sums alone, if devices were given each other's true keys. "
            "In a simulation without masks nothing hides a summand from the simulator.",
            not_covered="the fact that a device took part, a server that together with so many devices that fewer honest shares remain, "
            f"and {EVALUATION}",
        ).text()


@dataclass(frozen=True)
class DecodedSum(SumOpening):
    """The integers' sum as numbers, over how many were summed: that is public, and so is who."""

    encoding: Encoding

    @property
    def least(self) -> int:
        """See `SumOpening`."""
        return self.encoding.cohort_minimum

    def zero(self, parameters: int) -> NDArray[Any]:
        """See `SumOpening`."""
        return np.zeros(self.encoding.padded, dtype=self.encoding.dtype)

    def open(
        self, state: State, total: NDArray[Any], clients: int, parameters: int, round: int, noise: NoiseSource
    ) -> Opened:
        """See `SumOpening`."""
        return Opened((self.encoding.decode(total, clients) / clients).astype(np.float32), state)
