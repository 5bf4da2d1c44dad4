"""What a plan has to know of the federation around it: how often, how many and how devices are asked."""

from dataclasses import dataclass
from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt

from everbloom.config import FederationConfig, LearningConfig, ModelConfig, PrivacyConfig
from everbloom.methods import ContinualMethod
from everbloom.registry import Table


class Course(Table):
    """Public facts of a whole run. They travel with the terms, so that a device can compute its plan by itself."""

    rounds: PositiveInt
    """Of all periods together."""
    periods: PositiveInt = 1
    population: PositiveInt
    """Devices that can be asked."""
    cohort: PositiveInt
    """Expected number of devices of a round."""
    sampler: Literal["uniform", "poisson"] = "uniform"
    over_selection: NonNegativeFloat = 0.0
    min_replies: PositiveInt = 1

    @property
    def asked(self) -> int:
        """(Expected) devices that are asked in a round, more than are waited for where `over_selection` says so: the scheduler's own number."""
        federation = FederationConfig(cohort=self.cohort, over_selection=self.over_selection)
        return federation.asked_size(self.population)

    @classmethod
    def of(cls, federation: FederationConfig, rounds: int, periods: int, population: int) -> "Course":
        """Of an experiment on so many rounds of all periods together, and people."""
        return cls(
            rounds=rounds,
            periods=periods,
            population=population,
            cohort=federation.cohort_size(population),
            sampler=federation.sampler,
            over_selection=federation.over_selection,
            min_replies=federation.min_replies,
        )


@dataclass(frozen=True)
class Setting:
    """All that decides a plan."""

    privacy: PrivacyConfig
    learning: LearningConfig
    model: ModelConfig
    course: Course
    parameters: int
    """Shared ones: the length of an update."""
    continual: ContinualMethod | None = None

    @property
    def most_participations(self) -> int:
        """Rounds that one device takes part in, at most."""
        capped = min(self.course.rounds, self.privacy.max_participations or self.course.rounds)
        per_period = self.privacy.max_participations_per_period
        return capped if per_period is None else min(capped, per_period * self.course.periods)
