"""The privacy plan: unit, neighbouring relation, sampling, clipping, noise and accounting built together, so that they cannot disagree.

Nothing else in the code adds noise or computes an epsilon. `describe()` is the one statement of what is claimed.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from everbloom.config import LearningConfig, ModelConfig, PrivacyConfig
from everbloom.errors import PrivacyError
from everbloom.methods import ContinualMethod
from everbloom.privacy.budget import Cost
from everbloom.privacy.counting_query import CountingQuery
from everbloom.privacy.course import Course, Setting
from everbloom.privacy.opening import MeanOfReplies, SumOpening
from everbloom.privacy.release import UpdateRelease

if TYPE_CHECKING:
    from everbloom.privacy.mechanisms.dp_sgd import DpSgdPlan


@dataclass(frozen=True, kw_only=True)
class PrivacyPlan(ABC):
    """What a mechanism promises and what each side does for it. A subclass per mechanism, next to its table in the experiment file.

    The guarantee holds for the whole run: `epsilon` is what has been spent once a device has been charged `max_participations` times.
    """

    unit: str
    epsilon: float
    delta: float
    clip_norm: float
    """Where the bound adapts: the one of the first round."""
    noise_multiplier: float
    """Standard deviation of the noise on a sum over what `clip_norm` bounds."""
    max_participations: int
    max_per_period: int | None = None
    """Participations of a device in one period, at most; None: as many as in the run."""

    charged: ClassVar[Literal["participation", "round"]] = "participation"
    """`round`: who is drawn is secret and amplifies privacy, so every round charges every device, drawn or not."""
    separation: int = 1
    """A device that was asked is not asked again before so many rounds have begun since."""
    noise_cohort: int | None = None
    """Epsilon is valid at a cohort of this size only, which this run merely simulates; None: it is this run's own."""

    @property
    @abstractmethod
    def relation(self) -> str:
        """Neighbouring data sets, in words."""

    @property
    @abstractmethod
    def mechanism(self) -> str:
        """One phrase, for records."""

    @abstractmethod
    def spent(self, charges: int) -> float:
        """Epsilon spent by a device that was charged so often, at `delta`."""

    @abstractmethod
    def cost(self) -> Cost:
        """What one charge costs a device, for its filter."""

    @abstractmethod
    def noise_to_clip(self, parameters: int, cohort: float) -> float:
        """Norm of the noise on the cohort's mean update over `clip_norm`: learning needs this well below a few tenths."""

    @abstractmethod
    def describe(self) -> str:
        """The exact claim: unit, relation, epsilon, delta, mechanism, sampling, trust, and what is not covered."""

    @property
    def query(self) -> CountingQuery:
        """How devices tell a few numbers about themselves at the price of one charge. Raises `PrivacyError` if the mechanism has no way."""
        raise PrivacyError(
            f"evaluation.devices: {self.mechanism}: this mechanism has no way to release a measurement; remove [evaluation.devices]"
        )

    @property
    def dp_sgd(self) -> "DpSgdPlan | None":
        """The local steps' mechanism, where it is they that are private."""
        return None

    @property
    def release(self) -> UpdateRelease | None:
        """What a device does to its finished update, where it is that which is private."""
        return None

    @property
    def needs_sum(self) -> str | None:
        """Why the server may only add up devices' updates; None: each is private by itself, and what is made of them costs nothing."""
        return (
            "its noise hides one clipped update in a sum, and anything else that is made of updates moves by another amount with one of them "
            "(clipping each, which bounds what one device can do, is part of the mechanism already)"
        )

    @property
    def server(self) -> SumOpening:
        """What the server does to a round's sum."""
        return MeanOfReplies()


NO_PRIVACY = (
    "No differential privacy: devices send exact updates, from which a server can infer much of what they hold."
)


def build_plan(
    privacy: PrivacyConfig,
    learning: LearningConfig,
    model: ModelConfig,
    course: Course,
    parameters: int,
    continual: ContinualMethod | None = None,
) -> PrivacyPlan | None:
    """The plan of an experiment with so many shared parameters; None if privacy is off. Raises `PrivacyError` if a claim could not be kept."""
    if privacy.unit == "none":
        return None
    assert privacy.mechanism is not None
    return privacy.mechanism.plan(Setting(privacy, learning, model, course, parameters, continual))
