"""The ways of closing the loop that are compared."""

from dataclasses import dataclass

from everbloom.config import FeedbackConfig
from everbloom.methods import EXPLORATIONS, USER_MODELS, Exploration, UserModel

CONTROL = "organic"


@dataclass(frozen=True)
class Arm:
    """One of them. `label` names its directory, its rows and its curve."""

    label: str
    exploration: Exploration
    user_model: UserModel


def arms_of(feedback: FeedbackConfig) -> list[Arm]:
    """The control first, then the explorations in their order, none of them twice."""
    explorations = dict.fromkeys(feedback.explorations)
    return [control(), *(Arm(label_of(each), each, feedback.user_model) for each in explorations)]


def control() -> Arm:
    """People come across random items and look at all of them: clicks in proportion to attraction, what they would choose if nobody ranked for them.

    About as many clicks as good lists get, so that models differ by what they learn from rather than by how much.
    """
    return Arm(CONTROL, EXPLORATIONS.parse("random"), USER_MODELS.parse({"name": "position-biased", "eta": 0.0}))


def label_of(exploration: Exploration) -> str:
    """Its name, and its options where they are not the defaults: `epsilon-greedy-0.3`."""
    usual = EXPLORATIONS.parse(exploration.name)
    changed = [value for key, value in exploration.model_dump().items() if value != getattr(usual, key)]
    return "-".join([exploration.name, *(f"{value:g}" for value in changed)])
