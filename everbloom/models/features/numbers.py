"""The modality of prices, years, sizes: numbers of an item."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from everbloom.data.catalog import Catalog
from everbloom.errors import DataError
from everbloom.methods import Modality, Progress

_FURTHEST = 3.0
"""Standard deviations; what lies further out is taken for this far."""


class Numbers(Modality):
    """Each number z, standardised over the items, as (z, 1): of unit length, a point on an arc, so that near numbers are alike and far ones are not.
    Of a number that is not known both are 0."""

    name: Literal["numbers"] = "numbers"
    fields: Annotated[tuple[str, ...], Field(min_length=1)]
    log: bool = False
    """Take logarithms first, as prices want; what is not positive is not known then."""

    def read(self, catalog: Catalog, text: str) -> list[str]:
        """The fields' numbers as they were, one after the other; nothing where none is known."""
        for field in self.fields:
            catalog.column(field, "fields")
            if field not in catalog.numbers:
                raise DataError(f"fields: {field!r} is text; name fields that are numbers: {_listed(catalog)}")
        columns = [list(catalog.column(field)) for field in self.fields]
        return ["" if not any(row) else "|".join(row) for row in zip(*columns, strict=True)]

    def encode(self, inputs: list[str], progress: Progress) -> NDArray[np.float32]:
        """[inputs, 2 fields]; a row of nan where no number is known."""
        raw = np.array([[float(part) if part else np.nan for part in given.split("|")] for given in inputs])
        if self.log:
            raw = np.log(np.where(raw > 0, raw, np.nan))
        raw[~np.isfinite(raw)] = np.nan
        known = ~np.isnan(raw)
        some = known.any(axis=0)
        mean, deviation = (np.zeros(len(self.fields)) for _ in range(2))
        mean[some], deviation[some] = np.nanmean(raw[:, some], axis=0), np.nanstd(raw[:, some], axis=0)
        z = np.clip((raw - mean) / np.where(deviation > 0, deviation, 1.0), -_FURTHEST, _FURTHEST)
        arc = np.stack([z, np.ones_like(z)], axis=2) / np.sqrt(1 + z**2)[:, :, None]
        features = np.where(known[:, :, None], arc, 0.0).reshape(len(inputs), -1)
        features[~known.any(axis=1)] = np.nan
        progress(len(inputs), len(inputs))
        return features.astype(np.float32)

    def fingerprint(self) -> str:
        """The options; `read` gives the fields."""
        return f"numbers/{len(self.fields)}/{self.log}"


def _listed(catalog: Catalog) -> str:
    return ", ".join(catalog.numbers) or "this catalogue has none"
