"""The modality of an item's text."""

from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, SerializeAsAny

from everbloom.data.catalog import Catalog
from everbloom.errors import DataError
from everbloom.methods import FEATURE_ENCODERS, FeatureEncoder, Modality, Progress


class TextModality(Modality):
    """What a feature encoder makes of a text, by a template over the item's fields."""

    name: Literal["text"] = "text"
    encoder: Annotated[SerializeAsAny[FeatureEncoder], BeforeValidator(FEATURE_ENCODERS.parse)]
    template: str | None = None
    """Default: `data.text`."""

    @property
    def text_encoder(self) -> FeatureEncoder:
        """See `Modality`."""
        return self.encoder

    def read(self, catalog: Catalog, text: str) -> list[str]:
        """The texts."""
        return catalog.texts(text) if self.template is None else catalog.texts(self.template, "template")

    def encode(self, inputs: list[str], progress: Progress) -> NDArray[np.float32]:
        """As the encoder does."""
        try:
            return self.encoder.encode(inputs, progress)
        except DataError as error:
            raise DataError(str(error).replace("model.items.features", "encoder")) from None

    def fingerprint(self) -> str:
        """The encoder's own, so that one text is encoded once however the experiment names it."""
        return self.encoder.fingerprint()
