"""What is added to the score of user and item vector."""

from typing import Annotated

from pydantic import Field, PositiveFloat, PositiveInt

from everbloom.config.numbers import Fraction
from everbloom.registry import Table


class ContentConfig(Table):
    """Content match: similarity of a candidate's text to those of the last events. A prior that works before anything is learnt."""

    lags: PositiveInt = 10
    """How many of the last events are compared; one weight each."""
    strength: PositiveFloat = 8.0
    """Initial weight of the last event's cosine; the others start at nothing."""
    learn: bool = True
    """Whether the weights are learnt; else they stay as they begin and are not sent."""


class PriorConfig(Table):
    """Popularity prior: how many people wanted an item lately, added to every score. It is counted, not learnt: a period begins with rounds in which
    devices answer with which items they wanted, through the same mechanism, at the same charge as any other round."""

    rounds: PositiveInt = 1
    """Rounds of counting that each period begins with, beside its `federation.rounds`."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.5
    """What is left of older counts when a new period's are added."""
    smoothing: PositiveFloat = 1.0
    """Unit of the counts, below which they hardly differ: so many standard deviations of the mechanism's noise (without privacy: so many people)."""
    strength: Annotated[float, Field(ge=0)] = 1.0
    """Initial weight of log(1 + count)."""
    learn: bool = True
    """Whether the weight is learnt; else it stays as it begins and is not sent."""


class CooccurrenceConfig(Table):
    """Item-to-item co-occurrence within a device's own history: whether a candidate, or what resembles it, came with the last events before."""

    window: PositiveInt = 5
    """Events at most so far from each other have come together."""
    recent: PositiveInt = 5
    """How many of the last events' companions are looked for."""
    decay: Fraction = 0.9
    """How much less each event further back counts."""
    sharpness: PositiveFloat = 4.0
    """Power of the cosine by which other events resemble the last ones, where there are features."""
    strength: Annotated[float, Field(ge=0)] = 1.0
    """Initial weight of each signal."""
    learn: bool = True
    """Whether the weights are learnt; else they stay as they begin and are not sent."""
