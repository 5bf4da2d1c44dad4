"""Item features from a frozen pretrained language model."""

from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.config import PACKAGED, FreshModel
from everbloom.methods import FeatureEncoder, Progress
from everbloom.models.towers.loading import identity, load
from everbloom.models.towers.tokens import Pooling, pool, rectangles, token_ids

WHERE = "model.items.features.model"


class LanguageModelFeatures(FeatureEncoder):
    """Pooled last hidden states of any `transformers` AutoModel, scaled to unit length."""

    of_each_text_alone: ClassVar[bool] = True
    name: Literal["lm"]
    tunable: ClassVar[bool] = True
    model: str | FreshModel = PACKAGED
    """`minilm` (packaged), a hub id, or a local folder; or a table: an architecture with random weights."""
    pooling: Pooling = "mean"
    """`mean` over tokens, the first token (BERT-like), or the last token (causal models)."""
    max_tokens: PositiveInt = 128
    batch: PositiveInt = 64

    def encode(self, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """[items, hidden] float32. Texts are sorted by length, so that little of a batch is padding."""
        tokenizer, model = load(self.model, WHERE)
        ids = token_ids(tokenizer, texts, self.max_tokens)
        features = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        done = 0
        with torch.inference_mode():
            for rows, tokens, mask in rectangles(ids, self.batch, int(tokenizer.pad_token_id)):
                hidden = model(input_ids=tokens, attention_mask=mask).last_hidden_state.float()
                features[rows] = pool(hidden, mask, self.pooling).numpy()
                done += len(rows)
                progress(done, len(texts))
        return features

    def fingerprint(self) -> str:
        """The options, and the content of the weights for a folder or the resolved commit for a hub id."""
        return f"lm/{identity(self.model, WHERE)}/{self.pooling}/{self.max_tokens}"
