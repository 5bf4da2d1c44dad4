"""Which events and items there are, and how they are divided over time."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, SerializeAsAny

from everbloom.methods import SOURCES, Source
from everbloom.registry import Table

BehaviourName = Literal["view", "click", "like", "save", "purchase", "rate", "search"]


class CleaningConfig(Table):
    """What is thrown away before anything else; the report of a prepared data set counts it."""

    min_user_events: PositiveInt = 1
    min_item_events: PositiveInt = 1
    max_user_events: PositiveInt | None = None
    """Users with more events than this are implausible (shared accounts, robots) and are dropped whole."""
    drop_duplicates: bool = True
    """Keep the first of identical (user, item, time, behaviour) rows."""


class LabelConfig(Table):
    """Which events are learning targets."""

    positives: dict[BehaviourName, PositiveFloat] | None = None
    """Behaviours that are targets and their weights in the loss; default: every behaviour in the log, weight 1."""
    min_value: float | None = None
    """An event of behaviour `rate` is a target only from this value on."""


class DataConfig(LabelConfig):
    """Which events and items, and what of them counts."""

    source: Annotated[SerializeAsAny[Source], BeforeValidator(SOURCES.parse)]
    text: str | None = None
    """Template of an item's text; `{field}` is a field of the catalogue. An empty field takes its separator with it. Default: `{title}`, where text
    is needed at all."""
    tie_order: Literal["file", "reverse-file"] = "file"
    """Order of one user's events with equal time: as in the file, or reversed (the published leave-one-out protocol ranks the earlier row later)."""
    cleaning: CleaningConfig = CleaningConfig()


class ProtocolConfig(Table):
    """How events are divided into what is learnt and what is measured."""

    name: Literal["timeline", "leave-one-out"] = "timeline"
    cut: Literal["month", "week", "counts"] = "month"
    """timeline: where global time is cut. `counts` makes `periods` periods of equally many events."""
    periods: PositiveInt | None = None
    """timeline: number of periods, warm start included. Required by `counts`; with `month` or `week`, merges what comes after into the last one."""
    warm_start: PositiveInt | Annotated[float, Field(gt=0, lt=1)] = 1
    """timeline: the first so many calendar units (or, below 1, this fraction of all events) make period 0."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """timeline: the last part of a period's events, by global time, validates its rounds and is learnt in the next period."""
    repeats: bool = False
    """timeline: what a person has met before is ranked and to be found like anything else, as where goods are bought over and over. Default: only
    what is new to a person counts."""
    origin: PositiveInt | None = None
    """timeline: look at this period of those above as if it were the next one: all before it is period 0, it is period 1, and nothing after it
    exists. Several origins make a rolling evaluation (`everbloom rolling`)."""
