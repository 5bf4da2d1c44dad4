"""How a history is told in words: the templates of each behaviour, ready for some languages."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from everbloom.data.events import BEHAVIOURS

PLACE = "{items}"
"""Where a template of a behaviour names what the behaviour was with."""


@dataclass(frozen=True)
class Wording:
    """`phrases`: a template with `{items}` for each behaviour. `between_items`, `between_phrases`: what joins them; `end`: what ends the whole.
    `unnamed`: what an item or a search without words is called."""

    phrases: Mapping[str, str]
    between_items: str
    between_phrases: str
    end: str
    unnamed: str

    def around(self, behaviour: str) -> tuple[str, str]:
        """What stands before and after the items of a behaviour."""
        before, _, after = self.phrases[behaviour].partition(PLACE)
        return before, after


def _of(words: str, joint: str) -> dict[str, str]:
    return {behaviour: f"{word}{joint}{PLACE}" for behaviour, word in zip(BEHAVIOURS, words.split(), strict=True)}


WORDINGS: dict[str, Wording] = {
    "en": Wording(
        _of("viewed clicked liked saved bought rated searched", ": "),
        between_items=", ",
        between_phrases="; ",
        end="",
        unnamed="something",
    ),
    "zh": Wording(
        _of("浏览历史 点击记录 点赞记录 收藏记录 购买历史 评分记录 搜索记录", "："),
        between_items="、",
        between_phrases="；",
        end="",
        unnamed="某物",
    ),
}
"""By language."""


def wording(language: str, phrases: Mapping[str, str]) -> Wording:
    """A ready wording with an experiment's own phrases, each of which names `{items}` once."""
    ready = WORDINGS[language]
    return replace(ready, phrases={**ready.phrases, **phrases})
