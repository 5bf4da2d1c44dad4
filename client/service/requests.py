"""What the loopback API takes: one frozen table for each body."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from everbloom.config import BehaviourName
from everbloom.registry import Table

ItemId = Annotated[str, Field(min_length=1, max_length=256)]


class NewEvent(Table):
    """Something that the owner did. A search has a `text` and needs no `item`."""

    item: ItemId | None = None
    """The catalogue's id of the item."""
    time: Annotated[int, Field(ge=0)] | None = None
    """Seconds since 1970; default: now."""
    behaviour: BehaviourName = "view"
    value: Annotated[float, Field(ge=-1e6, le=1e6)] = 1.0
    """What the behaviour comes with, such as a rating's stars."""
    text: Annotated[str, Field(max_length=1000)] | None = None
    key: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """The application's own id of the event: one that is sent again is not counted twice."""

    @model_validator(mode="after")
    def _something(self) -> "NewEvent":
        if self.item is None and not (self.behaviour == "search" and self.text):
            raise ValueError('item is missing; only an event with behaviour = "search" and a text needs none')
        return self


class NewEvents(Table):
    """Up to 1,000 events, kept all or none."""

    events: Annotated[list[NewEvent], Field(min_length=1, max_length=1000)]


class Feedback(Table):
    """The owner's verdict on an item. It replaces an earlier one."""

    item: ItemId
    verdict: Literal["like", "not-for-me", "seen"]


class Code(Table):
    """What a one-time link carries."""

    code: Annotated[str, Field(min_length=1, max_length=256)]
