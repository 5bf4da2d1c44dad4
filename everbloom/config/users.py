"""How a history becomes a vector."""

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from everbloom.config.data import BehaviourName
from everbloom.config.language_model import UserTowerConfig
from everbloom.registry import Table


class UserTextConfig(Table):
    """A history in words: for a language model that reads it, and for people."""

    language: Literal["en", "zh"] = "en"
    """Whose ready phrases are used; other languages by `phrases` of their own."""
    phrases: dict[BehaviourName, str] = Field(default_factory=dict)
    """Own phrases instead, by behaviour: `{ view = "watched: {items}" }`."""
    item: str | None = None
    """Template of an item in a history; default: `data.text`. A search is told in its own words."""
    layout: Literal["chronological", "grouped"] = "chronological"
    """`chronological`: in the order of the events, what follows with the same behaviour joined; `grouped`: one phrase a behaviour."""
    max_events: PositiveInt = 50
    """The most recent events that are told."""
    max_tokens: PositiveInt = 256
    """And of these as many, newest first, as make at most so many tokens."""

    @model_validator(mode="after")
    def _phrases_name_items(self) -> "UserTextConfig":
        for behaviour, phrase in self.phrases.items():
            if phrase.count("{items}") != 1:
                raise ValueError(f"phrases.{behaviour} must name {{items}} once, given: {phrase!r}")
        return self


class UserModelConfig(Table):
    """Causal transformer over the item vectors of the history."""

    layers: Annotated[int, Field(ge=0)] = 2
    heads: PositiveInt = 2
    history: Annotated[int, Field(ge=1, le=2048)] = 50
    """The most recent events that are read."""
    feedforward: Annotated[int, Field(ge=0)] = 4
    """Width of a block's hidden layer, in multiples of dim; 0 leaves it out (far fewer parameters for noise to fall on)."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    scale: PositiveFloat = 1.0
    """Initial length of user vectors, in units of sqrt(dim): small, and the content match and the bias lead at first."""
    behaviours: bool = False
    """Read what the user did with an item (view, purchase, ...) beside the item."""
    gaps: bool = False
    """Read how long ago the event before was, at each event and when the next one is to be predicted. Wants timestamps and `protocol.name =
    "timeline"`, which says when that is."""
    searches: bool = False
    """Read what was last searched for, before each event and before what is to be predicted: the search's text, by the encoder of the items' texts,
    which must be a language model. Other models read past searches."""
    personal: bool = False
    """Every device has an offset of its user vectors that it learns for itself, with `learning.personal_rate`, keeps from round to round, and never
    sends."""
    text: UserTextConfig = UserTextConfig()
    tower: UserTowerConfig | None = None
