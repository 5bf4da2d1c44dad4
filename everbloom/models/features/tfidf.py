"""Item features without a language model: TF-IDF of the texts, reduced by a truncated SVD (latent semantic analysis)."""

from importlib.metadata import version
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.errors import DataError
from everbloom.methods import FeatureEncoder, Progress


class TfidfFeatures(FeatureEncoder):
    """Deerwester et al., 1990, over word unigrams; rows scaled to unit length."""

    name: Literal["tfidf"]
    dims: PositiveInt = 64
    max_words: PositiveInt = 20_000

    def encode(self, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """[items, min(dims, words - 1, items - 1)] float32."""
        return self.encode_within(texts, texts, progress)

    def encode_within(self, texts: list[str], others: list[str], progress: Progress) -> NDArray[np.float32]:
        """See `FeatureEncoder`: words, their weights and the axes are those of `texts`."""
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.preprocessing import normalize

        try:
            # Words of one character carry meaning in Chinese and Japanese.
            vectorizer = TfidfVectorizer(
                max_features=self.max_words, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b"
            ).fit(texts)
        except ValueError:
            raise DataError(
                "model.items.features: the item texts hold no words; check data.text and the item table"
            ) from None
        words = vectorizer.transform(texts)
        dims = min(self.dims, words.shape[1] - 1, words.shape[0] - 1)
        if dims < 1:
            raise DataError(
                "model.items.features: too few distinct words or items for TF-IDF; use an embedding instead"
            )
        axes = TruncatedSVD(dims, random_state=0)
        reduced = axes.fit_transform(words)
        if others is not texts:
            reduced = axes.transform(vectorizer.transform(others))
        progress(len(others), len(others))
        return np.ascontiguousarray(normalize(reduced), dtype=np.float32)

    def fingerprint(self) -> str:
        """The options and the version of the library that computes it."""
        # Asked for its version without importing it: whoever finds the features in the cache does not need it.
        return f"tfidf/{self.dims}/{self.max_words}/sklearn-{version('scikit-learn')}"
