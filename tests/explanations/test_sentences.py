"""Reasons in words: what was done, with what, and what it has in common with what is recommended."""

import pytest

from everbloom.data.events import BEHAVIOURS
from everbloom.explanations.field_values import FieldValues
from everbloom.explanations.recommending import Reason, Recommended
from everbloom.explanations.sentences import LANGUAGES, SAID, sentence

TITLES = ["RED RETROSPOT BAG", "Alien", "Solaris", "太空", "jazz"]


def title(item: int) -> str:
    return TITLES[item]


def reason(item: int, *behaviours: str) -> Reason:
    return Reason(item, behaviours, len(behaviours), 1.0)


def told(language: str, *reasons: Reason, values: FieldValues | None = None, item: int = 0, parts=()) -> str:
    return sentence(Recommended(item, 1.0, reasons, parts), title, values, LANGUAGES[language])


def test_in_english():
    assert told("en", reason(0, "purchase")) == "Because you bought RED RETROSPOT BAG"
    assert told("en", reason(0, "purchase"), reason(1, "view"), reason(2, "purchase")) == (
        "Because you bought RED RETROSPOT BAG and Solaris and viewed Alien"
    )
    assert told("en", reason(0, "rate"), reason(1, "rate"), reason(2, "rate")) == (
        "Because you rated RED RETROSPOT BAG, Alien and Solaris"
    )
    assert told("en", reason(1, "view", "purchase")) == "Because you bought Alien"  # the latest of what was done
    assert told("en", reason(4, SAID)) == 'Because you said "jazz"'
    assert told("en") == "No single event of yours raised it"


def test_in_chinese():
    assert told("zh", reason(3, "purchase"), reason(1, "view")) == "因为您购买了《太空》和浏览了《Alien》"
    assert told("zh", reason(4, SAID)) == "因为您提到“jazz”"
    assert "没有" in told("zh")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("behaviour", [*BEHAVIOURS, SAID])
def test_every_language_says_every_behaviour(language, behaviour):
    assert title(0) in told(language, reason(0, behaviour))


def test_what_items_have_in_common(catalog):
    """Of genres every value, of titles the words that are not everywhere: of the template's fields alone."""
    values = FieldValues(catalog, "{title}. {genres}")
    assert values.fields == ("title", "genres")
    assert values.of(0, "genres") == ("Drama", "War")
    assert values.of(3, "genres") == ()
    assert values.of(0, "title") == ("Thing0",)  # "The" and "Returns" stand in every title
    assert values.shared(0, [1, 2], "genres") == ("Drama",)
    assert values.shared(0, [1, 2], "title") == ("Thing0",)
    assert FieldValues(catalog, "{title}").fields == ("title",)
    assert FieldValues(catalog, None).fields == ("title",)


def test_fields_in_common_are_named_if_they_raised_the_score(catalog):
    values = FieldValues(catalog, "{title}. {genres}")
    alike = {"values": values, "item": 0}
    both = told("en", reason(2, "view"), reason(1, "view"), **alike)
    assert both.endswith("; in common: title words Thing0, genres Drama")
    raised = (("field:title", 0.1), ("field:genres", 0.5), ("text", 0.9))
    assert told("en", reason(2, "view"), reason(1, "view"), parts=raised, **alike).endswith(
        "; in common: genres Drama, title words Thing0"
    )
    lowered = (("field:title", -0.1), ("field:genres", 0.5), ("text", 0.9))
    assert told("en", reason(2, "view"), reason(1, "view"), parts=lowered, **alike).endswith(
        "; in common: genres Drama"
    )
    assert "in common" not in told("en", reason(2, "view"), parts=(("text", -0.2),), **alike)
    assert told("zh", reason(2, "view"), **alike).endswith("；共同点：类型Drama")
    assert "in common" not in told("en", reason(3, "view"), values=values, item=1)


def test_a_phrase_has_no_fields(catalog):
    values = FieldValues(catalog, "{title}. {genres}")
    assert told("en", reason(4, SAID), values=values) == 'Because you said "jazz"'
