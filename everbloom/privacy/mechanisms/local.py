"""Users, with nobody trusted but the device: it clips its update and adds all the noise itself."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from everbloom.methods import Mechanism
from everbloom.privacy.accounting.gaussian import gaussian_epsilon, gaussian_mu
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.course import Setting
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import UpdateRelease
from everbloom.privacy.statement import DEVICE_TRUSTED, EVALUATION, Statement

SENSITIVITY = 2.0
"""In clip norms: another user's data turns any update into any other."""


class Local(Mechanism):
    """Every update is noised to hide everything about the user whom it comes from. Needs very many users."""

    name: Literal["local"]
    units: ClassVar[tuple[str, ...]] = ("user",)

    def plan(self, setting: Setting) -> "LocalPlan":
        """See `Mechanism`."""
        privacy = setting.privacy
        assert privacy.delta is not None
        participations = setting.most_participations
        reach = SENSITIVITY * math.sqrt(participations)
        noise = privacy.noise_multiplier or reach / gaussian_mu(privacy.epsilon or 0.0, privacy.delta)
        return LocalPlan(
            unit="user",
            epsilon=gaussian_epsilon(reach / noise, privacy.delta),
            delta=privacy.delta,
            clip_norm=privacy.clip_norm,
            noise_multiplier=noise,
            max_participations=participations,
            max_per_period=privacy.max_participations_per_period,
        )


@dataclass(frozen=True, kw_only=True)
class LocalPlan(PrivacyPlan):
    """Formal guarantee: everything a device sends over the whole run is (epsilon, delta)-differentially private with respect to replacing all of its
    data, given a trusted device and an adversary that sees all messages.
    """

    @property
    def relation(self) -> str:
        """See `PrivacyPlan`."""
        return "replacing all data of that device's user by any other"

    @property
    def mechanism(self) -> str:
        """See `PrivacyPlan`."""
        return f"Gaussian noise on the device (local model): clip {self.clip_norm:g} a user, noise multiplier {self.noise_multiplier:.4g}"

    @property
    def release(self) -> UpdateRelease:
        """See `PrivacyPlan`."""
        return UpdateRelease(noise_multiplier=self.noise_multiplier)

    @property
    def query(self) -> CountingQuery:
        """See `PrivacyPlan`. Of sensitivity 1 where an update's is `SENSITIVITY` clip norms: half the noise costs the same."""
        return CountingQuery(device_noise=self.noise_multiplier / SENSITIVITY)

    @property
    def needs_sum(self) -> None:
        """See `PrivacyPlan`: all noise is on before anything leaves a device."""
        return None

    def spent(self, charges: int) -> float:
        """See `PrivacyPlan`."""
        return gaussian_epsilon(SENSITIVITY * math.sqrt(charges) / self.noise_multiplier, self.delta)

    def cost(self) -> Cost:
        """See `PrivacyPlan`."""
        return Cost.gaussian((SENSITIVITY / self.noise_multiplier) ** 2)

    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """`z sqrt(params / m)`: over the mean of updates that all point one way."""
        return self.noise_multiplier * math.sqrt(parameters / cohort)

    def describe(self) -> str:
        """See `PrivacyPlan`."""
        return Statement(
            what="Each device's messages",
            epsilon=self.epsilon,
            delta=self.delta,
            scope=f"over at most {self.max_participations} rounds",
            relation=self.relation,
            mechanism=f"{self.mechanism}, of sensitivity {SENSITIVITY:g} clip norms",
            trust=DEVICE_TRUSTED,
            not_covered=f"the fact that a device took part, and {EVALUATION}",
        ).text()
