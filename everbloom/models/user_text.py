"""A user's history in words: "viewed: shoes; bought: running shoes; searched: basketball shoes".

What happened is told in its order, and what follows with the same behaviour is joined, so that a causal language model can read it from left to
right and stand at any event. Every event is a piece: a lead, of which there are few, and a body, which is the item's words or a search's own. Token
ids of leads and of items' bodies can therefore be worked out once; the pieces after each other are the text.

Functions of public texts and of the history that is given; on a device, of its own.
"""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from everbloom.config import UserTextConfig
from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.models.wordings import Wording, wording


class Told(NamedTuple):
    """One event: the name of its behaviour, and the item's words or those that were searched for."""

    behaviour: str
    words: str


def told(
    item: NDArray[np.integer], behaviour: NDArray[np.integer], item_words: Sequence[str], own_words: Sequence[str]
) -> list[Told]:
    """The events of a history [events], oldest first: item indices (or `NO_ITEM`), codes of behaviours; `item_words`
    [items], `own_words` [events]."""
    return [
        Told(BEHAVIOURS[code], own if index == NO_ITEM else item_words[index])
        for index, code, own in zip(item.tolist(), behaviour.tolist(), own_words, strict=True)
    ]


class UserText:
    """Histories in the words of one configuration."""

    def __init__(self, config: UserTextConfig) -> None:
        self.config = config
        phrases = {str(behaviour): phrase for behaviour, phrase in config.phrases.items()}
        self.wording: Wording = wording(config.language, phrases)

    @cached_property
    def leads(self) -> tuple[str, ...]:
        """What can stand before an event's body, by `lead_codes`; it ends the phrase before, if there is one."""
        around = [self.wording.around(behaviour) for behaviour in BEHAVIOURS]
        found = [before for before, _ in around]
        for last, (_, after) in enumerate(around):
            for now, (before, _) in enumerate(around):
                joint = f"{after}{self.wording.between_phrases}{before}"
                found.append(self.wording.between_items if now == last else joint)
        return tuple(found)

    @cached_property
    def tails(self) -> tuple[str, ...]:
        """What ends a text after an event of each behaviour; with usual templates the same for all."""
        return tuple(self.wording.around(behaviour)[1] + self.wording.end for behaviour in BEHAVIOURS)

    def body(self, words: str) -> str:
        """An item's or a search's words as a body: white space and control characters made single spaces; what is empty has a name of its own."""
        return _plain(words) or self.wording.unnamed

    def pieces(self, events: Sequence[Told]) -> list[str]:
        """One piece an event, oldest first; joined, and with a tail, they are the text."""
        codes = lead_codes(np.array([BEHAVIOURS.index(event.behaviour) for event in events], dtype=np.int64))
        return [self.leads[code] + self.body(event.words) for code, event in zip(codes.tolist(), events, strict=True)]

    def text(self, events: Sequence[Told], count: Callable[[str], int] | None = None) -> str:
        """The whole text of a history, oldest first, in the configured layout. Told are the last `max_events`, and with `count` (tokens of a text) as
        many of these, newest first, as make at most `max_tokens`; one at least. Nothing for an empty history."""
        recent = events[-self.config.max_events :]
        if not recent:
            return ""
        if count is not None:
            most = _largest(len(recent), lambda some: count(self._told(recent[-some:])) <= self.config.max_tokens)
            recent = recent[-most:]
        return self._told(recent)

    def _told(self, events: Sequence[Told]) -> str:
        if self.config.layout == "grouped":
            return self._grouped(events)
        return "".join(self.pieces(events)) + self.tails[BEHAVIOURS.index(events[-1].behaviour)]

    def _grouped(self, events: Sequence[Told]) -> str:
        """One phrase a behaviour, in the order of `BEHAVIOURS`; what occurs again is named once, where it was last."""
        phrases = []
        for behaviour in BEHAVIOURS:
            newest = dict.fromkeys(self.body(event.words) for event in reversed(events) if event.behaviour == behaviour)
            if newest:
                before, after = self.wording.around(behaviour)
                phrases.append(before + self.wording.between_items.join(reversed(newest)) + after)
        return self.wording.between_phrases.join(phrases) + self.wording.end


def lead_codes(behaviour: NDArray[np.integer]) -> NDArray[np.int64]:
    """[..., events] codes of behaviours, oldest first -> positions in `UserText.leads`; the first event of each row begins a text."""
    kinds = len(BEHAVIOURS)
    codes = behaviour.astype(np.int64)
    found = codes.copy()
    found[..., 1:] += kinds * (codes[..., :-1] + 1)
    return found


def first_within(lead: NDArray[np.int64], start: NDArray[np.int64], body: NDArray[np.int64], budget: int) -> int:
    """From which event on a history is told if it may take `budget` tokens: the newest are kept, one at least.

    [events] tokens each, oldest first: of an event's lead, of the lead it would have if the text began with it, and of its body.
    """
    if len(body) == 0:
        return 0
    after = np.append(np.cumsum((lead + body)[::-1])[::-1][1:], 0)
    fits = np.flatnonzero(start + body + after <= budget)
    return int(fits[0]) if len(fits) else len(body) - 1


def _plain(words: str) -> str:
    """Unicode's own spaces and line ends too; marks of direction and joiners are part of a script and stay."""
    return re.sub(r"[\s\x00-\x1f\x7f-\x9f]+", " ", words).strip()


def _largest(most: int, good: Callable[[int], bool]) -> int:
    """The largest n in [1, most] that is good, where what is good for n is good for less; 1 if none is."""
    low, high = 1, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if good(middle) else (low, middle - 1)
    return low
