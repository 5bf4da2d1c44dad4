"""Histories in words: by behaviour and language, in pieces that a causal model reads, and never longer than allowed."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everbloom.config import UserTextConfig
from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.models.user_text import Told, UserText, first_within, lead_codes, told
from everbloom.models.wordings import PLACE, WORDINGS

SHOP = [
    Told("view", "shoes"),
    Told("view", "boots"),
    Told("purchase", "running shoes"),
    Told("search", "basketball shoes"),
    Told("view", "shoes"),
]
HISTORIES = st.lists(st.builds(Told, st.sampled_from(BEHAVIOURS), st.text()))


def user_text(**config) -> UserText:
    return UserText(UserTextConfig(**config))


def words(text: str) -> int:
    return len(text.split())


def test_events_are_told_in_their_order_and_what_is_alike_is_joined():
    told = "viewed: shoes, boots; bought: running shoes; searched: basketball shoes; viewed: shoes"
    assert user_text().text(SHOP) == told


def test_chinese_has_its_own_phrases_and_punctuation():
    events = [Told("view", "鞋子"), Told("purchase", "运动鞋"), Told("search", "篮球鞋")]
    assert user_text(language="zh").text(events) == "浏览历史：鞋子；购买历史：运动鞋；搜索记录：篮球鞋"


def test_grouped_names_each_behaviour_once_and_what_occurs_again_where_it_was_last():
    told = "viewed: boots, shoes; bought: running shoes; searched: basketball shoes"
    assert user_text(layout="grouped").text(SHOP) == told


def test_own_phrases_may_end_in_words():
    japanese = user_text(phrases={"view": "{items}を見た", "purchase": "{items}を買った"})
    assert japanese.text(SHOP[:3]) == "shoes, bootsを見た; running shoesを買った"
    assert japanese.text(SHOP[:1]) == "shoesを見た"


@pytest.mark.parametrize(
    ("words", "body"),
    [
        ("حذاء رياضي", "حذاء رياضي"),
        ("👟🏀", "👟🏀"),
        ("👩‍👩‍👧", "👩‍👩‍👧"),
        ("red\n\tshoes\u3000 now\x00", "red shoes now"),
        ("", "something"),
        (" \u2028 ", "something"),
    ],
)
def test_any_script_is_told_and_what_is_empty_has_a_name(words, body):
    assert user_text().text([Told("like", words)]) == f"liked: {body}"


def test_a_search_is_told_in_its_own_words_and_other_events_in_those_of_their_item():
    events = told(np.array([1, NO_ITEM, 0]), np.array([0, 6, 4]), ["boots", "shoes"], ["", "warm boots", ""])
    assert user_text().text(events) == "viewed: shoes; searched: warm boots; bought: boots"


def test_nothing_is_told_of_nobody():
    assert user_text().text([]) == user_text(layout="grouped").text([]) == ""
    assert user_text().pieces([]) == []


@pytest.mark.parametrize("layout", ["chronological", "grouped"])
def test_the_newest_events_are_kept(layout):
    assert user_text(max_events=2, layout=layout).text(SHOP[:4]) == "bought: running shoes; searched: basketball shoes"
    assert user_text(max_tokens=6, layout=layout).text(SHOP[:4], words) == (
        "bought: running shoes; searched: basketball shoes"
    )
    assert user_text(max_tokens=5, layout=layout).text(SHOP[:4], words) == "searched: basketball shoes"
    assert user_text(max_tokens=1, layout=layout).text(SHOP[:4], words) == "searched: basketball shoes"


def test_a_very_long_history_is_cut_before_it_is_told():
    asked: list[str] = []

    def count(text: str) -> int:
        asked.append(text)
        return words(text)

    told = user_text(max_events=2048, max_tokens=100).text([Told("click", "a b c")] * 100_000, count)
    assert told.count("a b c") == 33
    assert len(asked) < 15


@given(HISTORIES)
def test_the_pieces_make_the_text_and_each_lead_is_one_of_few(events):
    made = user_text(max_events=1000)
    codes = lead_codes(np.array([BEHAVIOURS.index(event.behaviour) for event in events], dtype=np.uint8))
    pieces = [made.leads[code] + made.body(event.words) for code, event in zip(codes, events, strict=True)]
    assert pieces == made.pieces(events)
    assert "".join(pieces) == made.text(events)
    assert len(made.leads) == len(BEHAVIOURS) * (len(BEHAVIOURS) + 1)


def test_each_row_of_events_begins_a_text():
    behaviour = np.array([[0, 0, 4], [4, 0, 0]])
    leads = user_text().leads
    told = [[leads[code] for code in row] for row in lead_codes(behaviour)]
    assert told == [["viewed: ", ", ", "; bought: "], ["bought: ", "; viewed: ", ", "]]


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 9)), max_size=30), st.integers(1, 80))
def test_a_budget_of_tokens_keeps_as_many_of_the_newest_as_fit(tokens, budget):
    lead, start, body = (
        np.array(column, dtype=np.int64) for column in (zip(*tokens, strict=True) if tokens else ((),) * 3)
    )

    def length(first: int) -> int:
        return int(start[first] + body[first] + (lead + body)[first + 1 :].sum())

    first = first_within(lead, start, body, budget)
    if not tokens:
        assert first == 0
        return
    assert length(first) <= budget or first == len(tokens) - 1
    assert all(length(earlier) > budget for earlier in range(first))


def test_every_language_of_an_experiment_has_phrases_for_every_behaviour():
    assert set(get_args(UserTextConfig.model_fields["language"].annotation)) == set(WORDINGS)
    for wording in WORDINGS.values():
        assert set(wording.phrases) == set(BEHAVIOURS)
        assert all(phrase.count(PLACE) == 1 for phrase in wording.phrases.values())


def test_a_phrase_that_names_no_items_is_refused():
    with pytest.raises(ValueError, match=r"phrases\.view must name \{items\} once, given: 'saw things'"):
        user_text(phrases={"view": "saw things"})
