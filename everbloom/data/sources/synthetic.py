"""A synthetic population: tastes over latent topics that drift, popular and rare items, texts that tell an item's
topics, arriving users and items, and known shifts of all of these.

Time is cut into equal steps. A user's taste is a point in topic space that does a random walk from step to step; an
event picks a topic by the taste (or stays with the topic of the event before) and then an item of that topic by
popularity. Users are generated in blocks, each from its own generator, so that any number of them streams through
bounded memory and no block depends on another.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import (
    Field,
    PositiveFloat,
    PositiveInt,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from everbloom.config import BehaviourName
from everbloom.data.sources.assortment import Assortment, draw_assortment
from everbloom.data.sources.queries import with_searches
from everbloom.data.sources.shifts import LessThanAll, Shift, check_schedule
from everbloom.data.sources.tastes import draw_tastes, topic_shares
from everbloom.data.sources.topics import ADJECTIVES, TOPICS
from everbloom.methods import Source
from everbloom.seeding import numpy_generator

_BLOCK_USERS = 20_000
_BLOCK_EVENTS = 1_000_000
"""A block of users has about so many of each at most."""
_DAY = 86_400
START = 1_704_067_200
"""When the data begins: 2024-01-01 00:00 UTC."""


class Synthetic(Source):
    """Items have title, category and price. Any size; the same settings give the same data."""

    name: Literal["synthetic"] = "synthetic"
    seed: int = 0
    users: PositiveInt = 500
    item_count: Annotated[PositiveInt, Field(alias="items")] = 400
    """`items` in an experiment file."""
    events_per_user: Annotated[float, Field(ge=1)] = 40.0
    """Mean number of draws; without `repeats` an item drawn again is left out, so a little fewer events remain."""
    days: PositiveInt = 180
    periods: PositiveInt = 6
    """Steps of the random walk of tastes, equally long."""
    drift: Annotated[float, Field(ge=0, le=1)] = 0.3
    """How much of a taste is new in each step; 0: tastes never change, 1: they are drawn anew."""
    focus: PositiveFloat = 3.0
    """How strongly a taste prefers its topics; near 0 everyone likes everything."""
    persistence: LessThanAll = 0.4
    """Probability that an event stays with the topic of the event before."""
    popularity: Annotated[float, Field(ge=0)] = 0.8
    """Exponent of Zipf's law of item popularity."""
    new_item_rate: LessThanAll = 0.2
    """Share of items that arrive after the first period, evenly over time; the others are there from the start."""
    new_user_rate: LessThanAll = 0.2
    """The same for users."""
    lifetime_days: PositiveFloat | None = None
    """An item is chosen no longer than this after it arrived, as news are; not shorter than a step. Default: for ever."""
    latent_dim: Annotated[int, Field(ge=2, le=len(TOPICS))] = 8
    """Number of topics."""
    behaviours: Annotated[dict[BehaviourName, PositiveFloat], Field(min_length=1)] = Field({"view": 1.0})
    """Shares of behaviours; a `search` has a text of its topic and no item, a `rate` a value from 1 to 5."""
    searches: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that an event of an item has a search right before it, for words of the item's title."""
    repeats: bool = False
    """Whether a user can meet an item twice."""
    shifts: tuple[Shift, ...] = ()
    """What changes abruptly and when, beside the walk: `[[data.source.shifts]]`."""

    @model_validator(mode="after")
    def _schedule_fits(self) -> "Synthetic":
        check_schedule(self.shifts, self.periods, self.new_item_rate)
        if self.lifetime_days is not None and self.lifetime_days * self.periods < self.days:
            raise ValueError(
                f"lifetime_days = {self.lifetime_days:g} is shorter than a step of {self.days / self.periods:g} days, within which items do not "
                "change; raise it, or periods"
            )
        return self

    @model_serializer(mode="wrap")
    def _as_in_file(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        table: dict[str, Any] = handler(self)
        if "item_count" in table:
            table["items"] = table.pop("item_count")
        for later in (
            "shifts",
            "lifetime_days",
            "searches",
        ):  # what was prepared before they were there keeps its fingerprint
            if not getattr(self, later):
                table.pop(later, None)
        return table

    @property
    def seconds(self) -> int:
        """From the start to the end of the data."""
        return self.days * _DAY

    @property
    def step_seconds(self) -> float:
        """Length of a step."""
        return self.seconds / self.periods

    def locate(self, home: Path) -> list[Path]:
        """No files: the settings are the content."""
        return []

    def items(self, files: list[Path]) -> pd.DataFrame:
        """The items; those that arrive later have higher ids."""
        return _texts(self, draw_assortment(self))

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """One chunk a block of users, ordered by user and time."""
        items = draw_assortment(self)
        chances = _chances(items, self.periods)
        titles = _texts(self, items)["title"].to_numpy(dtype=object) if self.searches else None
        for block, users in self.blocks():
            events = _events(self, chances, block, users)
            if titles is not None:
                draw = numpy_generator(self.seed, "synthetic-searches", client=block)
                events = with_searches(events, self.searches, titles, draw)
            yield events

    def blocks(self) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """(block, its users) of all users; each block has a generator of its own."""
        size = max(1, min(_BLOCK_USERS, int(_BLOCK_EVENTS / self.events_per_user)))
        for block, first in enumerate(range(0, self.users, size)):
            yield block, np.arange(first, min(first + size, self.users))


def draw_block(
    config: Synthetic, block: int, users: NDArray[np.int64]
) -> tuple[np.random.Generator, NDArray[np.float64], NDArray[np.float64]]:
    """(generator for what they do, arrival [users] in seconds after the start, tastes [users, steps, topics])."""
    draw = numpy_generator(config.seed, "synthetic-users", client=block)
    late = users >= round((1 - config.new_user_rate) * config.users)
    arrival = np.where(late, draw.uniform(config.step_seconds, config.seconds, size=len(users)), 0.0)
    return draw, arrival, draw_tastes(config, draw, block, users)


def _chances(items: Assortment, steps: int) -> NDArray[np.float64]:
    """[steps, topics x items] for one search over all topics: topic t's cumulative probabilities fill (t, t + 1]."""
    topics = np.arange(items.mixture.shape[1])
    return np.stack([(items.cumulative(step) + topics).T.ravel() for step in range(steps)])


def _texts(config: Synthetic, items: Assortment) -> pd.DataFrame:
    draw = numpy_generator(config.seed, "synthetic-texts")
    count = config.item_count
    names = np.array(list(TOPICS)[: config.latent_dim], dtype=object)
    words = np.array([TOPICS[name] for name in names], dtype=object)
    heads = np.array(ADJECTIVES, dtype=object)[draw.integers(len(ADJECTIVES), size=count)]
    pieces = [heads]
    cumulative = np.cumsum(items.mixture, axis=1)
    for _ in range(3):
        topic = np.minimum((draw.random((count, 1)) > cumulative).sum(axis=1), config.latent_dim - 1)
        pieces.append(words[topic, draw.integers(words.shape[1], size=count)])
    title = pieces[0] + " " + pieces[1] + " " + pieces[2] + " " + pieces[3]
    price = np.round(np.exp(draw.normal(2.5, 0.6, size=count)), 2)
    return pd.DataFrame({"item": np.arange(count), "title": title, "category": names[items.topic], "price": price})


def _events(config: Synthetic, chances: NDArray[np.float64], block: int, users: NDArray[np.int64]) -> pd.DataFrame:
    draw, arrival, tastes = draw_block(config, block, users)
    # Shifted geometric numbers of events: many light users, few heavy ones, at least one each.
    counts = draw.geometric(1.0 / config.events_per_user, size=len(users))
    row = np.repeat(np.arange(len(users)), counts)
    time = arrival[row] + draw.random(len(row)) * (config.seconds - arrival[row])
    time = time[np.lexsort((time, row))]
    now = np.minimum((time // config.step_seconds).astype(np.int64), config.periods - 1)
    topic = _topics(config, draw, tastes, row, now)
    item = _pick(config, chances, draw, topic, now)
    keep = np.ones(len(row), dtype=np.bool_) if config.repeats else _first_of_pair(row, item, config.item_count)
    row, time, topic, item = row[keep], time[keep], topic[keep], item[keep]
    frame = pd.DataFrame({"user": users[row], "item": item, "time": START + time.astype(np.int64)})
    return _with_behaviours(config, draw, frame, topic, tastes[row, now[keep], topic])


def _topics(
    config: Synthetic,
    draw: np.random.Generator,
    tastes: NDArray[np.float64],
    row: NDArray[np.int64],
    now: NDArray[np.int64],
) -> NDArray[np.int64]:
    """[events] topics: a softmax of the taste, or the topic of the user's event before."""
    cumulative = np.cumsum(topic_shares(config, tastes), axis=2)
    fresh = np.minimum((draw.random((len(row), 1)) > cumulative[row, now]).sum(axis=1), config.latent_dim - 1)
    drawn = draw.random(len(row)) >= config.persistence
    drawn |= np.append(True, row[1:] != row[:-1])
    topics: NDArray[np.int64] = fresh[np.maximum.accumulate(np.where(drawn, np.arange(len(row)), 0))]
    return topics


def _pick(
    config: Synthetic,
    chances: NDArray[np.float64],
    draw: np.random.Generator,
    topic: NDArray[np.int64],
    now: NDArray[np.int64],
) -> NDArray[np.int64]:
    """[events] items of the topics, among those that are there in the step."""
    place = topic + 1.0 - draw.random(len(topic))  # in (topic, topic + 1]: never an item without probability
    item = np.empty(len(topic), dtype=np.int64)
    for step in range(len(chances)):
        at = now == step
        item[at] = np.searchsorted(chances[step], place[at]) - topic[at] * config.item_count
    return item


def _first_of_pair(row: NDArray[np.int64], item: NDArray[np.int64], items: int) -> NDArray[np.bool_]:
    _, first = np.unique(row * items + item, return_index=True)
    keep = np.zeros(len(row), dtype=np.bool_)
    keep[first] = True
    return keep


def _with_behaviours(
    config: Synthetic,
    draw: np.random.Generator,
    frame: pd.DataFrame,
    topic: NDArray[np.int64],
    taste: NDArray[np.float64],
) -> pd.DataFrame:
    names = list(config.behaviours)
    shares = np.array([config.behaviours[name] for name in names])
    code = draw.choice(len(names), size=len(frame), p=shares / shares.sum())
    frame["behaviour"] = pd.Categorical.from_codes(code, categories=pd.Index(names))
    if "rate" in names:
        rating = np.clip(np.round(3 + taste + draw.normal(0, 0.7, size=len(frame))), 1, 5)
        frame["value"] = np.where(code == names.index("rate"), rating, 1.0)
    if "search" in names:
        searched = code == names.index("search")
        words = np.array([TOPICS[name] for name in list(TOPICS)[: config.latent_dim]], dtype=object)
        text = words[topic, draw.integers(words.shape[1], size=len(frame))]
        frame["text"] = np.where(searched, text, "")
        frame["item"] = frame["item"].astype("Int64").mask(searched)
    return frame
