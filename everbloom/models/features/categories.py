"""The modality of categories, genres, tags: several of few words."""

import hashlib
import re
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.data.catalog import Catalog
from everbloom.methods import Modality, Progress


class Categories(Modality):
    """One column for each category that an item can have."""

    name: Literal["categories"] = "categories"
    field: str = "category"
    separators: str = "|,;"
    """Any of these characters ends a category; white space around it does not count, nor does upper or lower case."""
    buckets: PositiveInt | None = None
    """Categories are hashed into so many columns (Weinberger et al., 2009, with signs), where there are more of them than a model should have
    columns; None: a column each."""

    def read(self, catalog: Catalog, text: str) -> list[str]:
        """The field."""
        return ["|".join(self._split(value)) for value in catalog.column(self.field, "field")]

    def encode(self, inputs: list[str], progress: Progress) -> NDArray[np.float32]:
        """[inputs, categories or buckets]: one where an item has a category; of several that share a bucket their sum."""
        items = [given.split("|") for given in inputs]
        place = self._places(sorted({category for categories in items for category in categories}))
        features = np.zeros((len(items), self.buckets or len(place)), dtype=np.float32)
        for row, categories in enumerate(items):
            for category in categories:
                column, sign = place[category]
                features[row, column] += sign
        progress(len(items), len(items))
        return features

    def fingerprint(self) -> str:
        """The options; `read` has divided the field already."""
        return f"categories/{self.buckets}"

    def _split(self, value: str) -> list[str]:
        pieces = re.split(f"[{re.escape(self.separators)}]", value) if self.separators else [value]
        return sorted({piece.strip().casefold().replace("|", "/") for piece in pieces} - {""})

    def _places(self, categories: list[str]) -> dict[str, tuple[int, float]]:
        if self.buckets is None:
            return {category: (column, 1.0) for column, category in enumerate(categories)}
        found = {}
        for category in categories:
            code = int.from_bytes(hashlib.sha256(category.encode()).digest()[:8], "big")
            found[category] = (code // 2 % self.buckets, 1.0 if code % 2 else -1.0)
        return found
