"""What two items have in common in the fields that a model reads: genres, a brand, rare words of a title."""

import re
from collections import Counter
from collections.abc import Iterable

from everbloom.data.catalog import Catalog
from everbloom.models.features.catalogue import DEFAULT_TEXT
from everbloom.models.features.template import text_fields

_SEPARATORS = re.compile(r"\s*[,;|/、，；]\s*")
_WORD = re.compile(r"[^\W\d_][\w'’-]+")
_LONGEST = 3
"""Words of a value; what is longer is prose, and compared word by word."""
_COMMON = 0.05
"""A word in more than this part of the catalogue's texts says nothing of two items that share it."""


class FieldValues:
    """The values of the fields that a text template names, `title` and other prose as words."""

    def __init__(self, catalog: Catalog, template: str | None) -> None:
        """Fields that the model's text does not name could not have raised a score, and are left out."""
        self._catalog = catalog
        self.fields = tuple(name for name in text_fields(template or DEFAULT_TEXT) if name in catalog.fields)
        self._common = {name: self._too_common(name) for name in self.fields}

    def of(self, item: int, field: str) -> tuple[str, ...]:
        """The values of one item's field, in order, each once."""
        return tuple(
            value
            for value in _values(field, self._catalog.fields[field][item])
            if value.casefold() not in self._common[field]
        )

    def shared(self, item: int, others: Iterable[int], field: str) -> tuple[str, ...]:
        """Values of an item's field that at least one of the others has, in the item's order."""
        known = {value.casefold() for other in others for value in self.of(other, field)}
        return tuple(value for value in self.of(item, field) if value.casefold() in known)

    def _too_common(self, field: str) -> frozenset[str]:
        """Words of prose that stand in many texts; values of a list are never too common."""
        counts: Counter[str] = Counter()
        texts = 0
        for text in self._catalog.fields[field]:
            texts += 1
            if _is_prose(field, text):
                counts.update({word.casefold() for word in _WORD.findall(text)})
        return frozenset(word for word, count in counts.items() if count > max(2, _COMMON * texts))


def _is_prose(field: str, text: str) -> bool:
    return field == "title" or any(len(value.split()) > _LONGEST for value in _SEPARATORS.split(text))


def _values(field: str, text: str) -> tuple[str, ...]:
    found = _WORD.findall(text) if _is_prose(field, text) else _SEPARATORS.split(text.strip())
    return tuple(dict.fromkeys(value for value in found if value))
