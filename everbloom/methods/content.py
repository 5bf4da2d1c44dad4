"""What an item's content becomes: features of texts and of other kinds, and what is trained of a language model."""

from abc import abstractmethod
from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveFloat, PositiveInt

from everbloom.methods.progress import Progress
from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import nn

    from everbloom.data.catalog import Catalog


class FeatureEncoder(Method):
    """Turns item texts into frozen feature vectors."""

    of_each_text_alone: ClassVar[bool] = False
    """Whether a text's features depend on that text alone, and other texts can be encoded to compare with it."""
    tunable: ClassVar[bool] = False
    """Whether it is a language model that `model.items.tower` can fine-tune."""

    @abstractmethod
    def encode(self, texts: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[items, features] float32, a pure function of the texts and of this configuration."""

    def encode_within(self, texts: list[str], others: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[others, features] features of other texts beside those of the catalogue's `texts`, in the same space. What is here is for encoders that
        read every text by itself; one that learns from all of them overrides it."""
        return self.encode(others, progress)

    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the encoder's result for given texts (name, options, content of the weights) in the feature cache."""


FEATURE_ENCODERS: Registry[FeatureEncoder] = Registry(
    "feature encoder",
    FeatureEncoder,  # type: ignore[type-abstract]
    {
        "lm": "everbloom.models.features.language_model:LanguageModelFeatures",
        "tfidf": "everbloom.models.features.tfidf:TfidfFeatures",
    },
)


class Modality(Method):
    """One kind of an item's content, as frozen features. Messages of its errors begin with what is wrong; where it stands is put before them."""

    weight: PositiveFloat = 1.0
    """How much it counts beside the others, before anything is learnt."""
    dims: PositiveInt | None = None
    """Public reduction (PCA over the items that have it) to this width; None keeps it whole."""

    @property
    def text_encoder(self) -> FeatureEncoder | None:
        """What encodes a text, if it is texts that this reads."""
        return None

    @abstractmethod
    def read(self, catalog: "Catalog", text: str) -> list[str]:
        """[items] what it reads of each item, empty where the item has none of it; `text` is the experiment's template of an item's text. Raises
        `DataError` if the catalogue does not have it at all."""

    @abstractmethod
    def encode(self, inputs: list[str], progress: Progress) -> "NDArray[np.float32]":
        """[inputs, width] float32 of inputs that are not empty; a row of nan where there is nothing after all. A pure function of the inputs, of this
        configuration and of files that it names. Raises `DataError` if one of these cannot be read."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Identifies the result for given inputs (name, options, content of files) in the feature cache."""

    def identities(self, inputs: list[str]) -> "Iterable[str]":
        """What the cache is to know of the inputs: where they name files, also what these hold."""
        return inputs


MODALITIES: Registry[Modality] = Registry(
    "modality",
    Modality,  # type: ignore[type-abstract]
    {
        "text": "everbloom.models.features.text:TextModality",
        "categories": "everbloom.models.features.categories:Categories",
        "numbers": "everbloom.models.features.numbers:Numbers",
        "vectors": "everbloom.models.features.vectors:Vectors",
        "image": "everbloom.models.features.image:Images",
    },
)


class Adapter(Method):
    """What is trained of a language model that is frozen otherwise: a small branch beside each of some of its linear layers."""

    exact_averaging: ClassVar[bool]
    """Whether the mean of devices' parameters gives the mean of what their branches do to a hidden state."""

    @abstractmethod
    def branch(self, met: int, out: int) -> "nn.Module":
        """Beside a layer from width `met` to `out`: a module called with (x [..., met], the layer's own output [..., out]) that gives what is added
        to the output. It adds nothing at first. What is trained in it are `nn.Linear`s; whatever it draws, it draws from the ambient generator.
        """

    @abstractmethod
    def targets(self, architecture: str) -> tuple[str, ...]:
        """Names of the layers that have a branch by default in models of this `model_type`; none: they have to be named."""


ADAPTERS: Registry[Adapter] = Registry(
    "adapter",
    Adapter,  # type: ignore[type-abstract]
    {
        "ffa-lora": "everbloom.models.towers.adapters.ffa_lora:FfaLora",
        "lora": "everbloom.models.towers.adapters.lora:Lora",
        "bottleneck": "everbloom.models.towers.adapters.bottleneck:Bottleneck",
    },
)
