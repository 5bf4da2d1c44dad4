"""A recommendation's reasons in one line, in the reader's language."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from everbloom.explanations.field_values import FieldValues
from everbloom.explanations.recommending import Reason, Recommended

SAID = "said"
"""What a person does with a phrase that describes them."""


@dataclass(frozen=True)
class Language:
    """How a sentence is put together. `did`: behaviour -> template of `{items}`; `because` of `{events}`; `alike` of `{values}`."""

    did: Mapping[str, str]
    because: str
    alike: str
    unmoved: str
    title: str
    phrase: str
    field: str
    fields: Mapping[str, str]
    between: str
    last: str


ENGLISH = Language(
    did={
        "view": "viewed {items}",
        "click": "clicked on {items}",
        "like": "liked {items}",
        "save": "saved {items}",
        "purchase": "bought {items}",
        "rate": "rated {items}",
        "search": "searched for {items}",
        SAID: "said {items}",
    },
    because="Because you {events}",
    alike="; in common: {values}",
    unmoved="No single event of yours raised it",
    title="{title}",
    phrase='"{title}"',
    field="{name} {values}",
    fields={"title": "title words"},
    between=", ",
    last=" and ",
)
CHINESE = Language(
    did={
        "view": "浏览了{items}",
        "click": "点击了{items}",
        "like": "喜欢{items}",
        "save": "收藏了{items}",
        "purchase": "购买了{items}",
        "rate": "评价了{items}",
        "search": "搜索了{items}",
        SAID: "提到{items}",
    },
    because="因为您{events}",
    alike="；共同点：{values}",
    unmoved="没有哪一条历史记录单独提高了它的得分",
    title="《{title}》",
    phrase="“{title}”",
    field="{name}{values}",
    fields={
        "title": "标题词",
        "genres": "类型",
        "category": "类别",
        "brand": "品牌",
        "price": "价格",
        "artist": "艺人",
    },
    between="、",
    last="和",
)
LANGUAGES: dict[str, Language] = {"en": ENGLISH, "zh": CHINESE}


def sentence(
    recommended: Recommended, title: Callable[[int], str], values: FieldValues | None, language: Language
) -> str:
    """Why: the events that raised the score, strongest first, and what their items have in common with this one in fields that raised it too.

    A field is named only if leaving it out would have lowered the score, or if that is not known. `title` gives an item's.
    """
    if not recommended.reasons:
        return language.unmoved
    because = language.because.format(events=_events(recommended.reasons, title, language))
    common = [] if values is None else _common(recommended, values, language)
    return because + (language.alike.format(values=language.between.join(common)) if common else "")


def _events(reasons: Sequence[Reason], title: Callable[[int], str], language: Language) -> str:
    """Items with one behaviour together; the behaviour is the latest."""
    by_behaviour: dict[str, list[str]] = {}
    for reason in reasons:
        done = reason.behaviours[-1]
        form = language.phrase if done in (SAID, "search") else language.title
        by_behaviour.setdefault(done, []).append(form.format(title=title(reason.item)))
    return _joined(
        [language.did[done].format(items=_joined(items, language)) for done, items in by_behaviour.items()], language
    )


def _common(recommended: Recommended, values: FieldValues, language: Language) -> list[str]:
    effects = dict(recommended.parts)
    others = [reason.item for reason in recommended.reasons if SAID not in reason.behaviours]
    found = []
    for field in sorted(values.fields, key=lambda name: -effects.get(f"field:{name}", 0.0)):
        if effects.get(f"field:{field}", effects.get("text", 1.0)) <= 0:
            continue
        shared = values.shared(recommended.item, others, field)
        if shared:
            name = language.fields.get(field, field)
            found.append(language.field.format(name=name, values=_joined(shared, language)))
    return found


def _joined(parts: Sequence[str], language: Language) -> str:
    """a, b and c."""
    *before, end = parts
    return language.last.join([language.between.join(before), end]) if before else end
