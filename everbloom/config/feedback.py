"""People who react to what they are shown."""

from typing import Annotated

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny

from everbloom.config.numbers import Fraction
from everbloom.methods import EXPLORATIONS, USER_MODELS, Exploration, UserModel
from everbloom.registry import Table


class FeedbackConfig(Table):
    """`everbloom feedback`: after the warm start people react to what the model shows them, and only these clicks are learnt from. `everbloom run`
    does not read this table."""

    steps: PositiveInt = 8
    """How often everybody is shown a list. What is clicked in a step is learnt before the next; the first shows what the warm start has learnt."""
    rounds: PositiveInt | None = None
    """Rounds of training between two steps; default: federation.rounds, as in the warm start."""
    top_n: PositiveInt = 10
    """Length of a list."""
    active: Fraction = 1.0
    """Share of the people, drawn anew each step, who are shown a list."""
    user_model: Annotated[SerializeAsAny[UserModel], BeforeValidator(USER_MODELS.parse)] = Field(
        default_factory=lambda: USER_MODELS.parse({"name": "position-biased"})
    )
    explorations: Annotated[
        tuple[Annotated[SerializeAsAny[Exploration], BeforeValidator(EXPLORATIONS.parse)], ...], Field(min_length=1)
    ] = Field(default_factory=lambda: (EXPLORATIONS.parse("greedy"), EXPLORATIONS.parse("epsilon-greedy")))
    """The ways of making lists that are compared, each in a loop of its own; `random` is always run beside them, as the control."""
    repeats: bool = False
    """Whether what a person has met may be shown again."""
    outside: PositiveFloat = 5.0
    """Where tastes are known (`synthetic`): how attractive it is to click on nothing, in units of an average item."""
    base_rate: Annotated[float, Field(ge=0, le=1)] = 0.02
    """Elsewhere: P(click | looked at) of an item that the person does not meet in the rest of the log; of those that are met it is 1."""
