"""The hidden states of texts below the lowest adapted block: a function of public texts and frozen weights, computed once and kept in the cache."""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import FreshModel, ItemModelConfig, TowerConfig
from everbloom.data.catalog import Catalog
from everbloom.methods import Progress
from everbloom.models.features.catalogue import DEFAULT_TEXT
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.towers.blocks import ITEM_KEYS, Keys, adapted_blocks, blocks_of, cut_above
from everbloom.models.towers.loading import identity, load
from everbloom.models.towers.tokens import rectangles, token_ids

_ROWS = 64
"""Texts encoded at once."""


@dataclass(frozen=True, eq=False)
class TextStates:
    """`states` [tokens of all texts, hidden] in float32 or float16, memory-mapped; `offsets` [texts + 1] where each text's begin; `text` [items]
    which text is an item's (equal texts are one)."""

    states: NDArray[Any]
    offsets: NDArray[np.int64]
    text: NDArray[np.int64]


def item_states(
    catalog: Catalog, template: str | None, config: ItemModelConfig, cache: Path, progress: Progress
) -> TextStates | None:
    """Of the catalogue's texts; None if nothing of the language model is trained. `template` None is `{title}`."""
    if config.tower is None:
        return None
    features = config.features
    assert isinstance(features, LanguageModelFeatures), "the configuration was checked"
    texts = catalog.texts(template or DEFAULT_TEXT)
    return text_states(texts, features.model, features.max_tokens, config.tower, cache, progress)


def text_states(
    texts: Sequence[str],
    model: str | FreshModel,
    max_tokens: int,
    tower: TowerConfig,
    cache: Path,
    progress: Progress,
    keys: Keys = ITEM_KEYS,
) -> TextStates:
    """Of any texts. Raises `DataError` if the model cannot be loaded or cut."""
    distinct = list(dict.fromkeys(texts))
    number = {text: place for place, text in enumerate(distinct)}
    digest = hashlib.sha256(f"states/{identity(model, keys.model)}/{max_tokens}/{tower.layers}/{tower.states}".encode())
    for text in distinct:
        digest.update(len(text).to_bytes(8, "big") + text.encode())
    path = cache / f"{digest.hexdigest()}.states.npy"
    offsets_path = path.with_suffix(".offsets.npy")
    if not (path.is_file() and offsets_path.is_file()):
        _compute(distinct, model, max_tokens, tower, path, offsets_path, progress, keys)
    return TextStates(
        # Copy-on-write: torch wants memory that it could write to, and nobody does.
        np.load(path, mmap_mode="c", allow_pickle=False),
        np.load(offsets_path, allow_pickle=False),
        np.array([number[text] for text in texts], dtype=np.int64),
    )


def _compute(
    texts: list[str],
    model: str | FreshModel,
    max_tokens: int,
    tower: TowerConfig,
    path: Path,
    offsets_path: Path,
    progress: Progress,
    keys: Keys,
) -> None:
    tokenizer, whole = load(model, keys.model)
    first = adapted_blocks(tower.layers, len(blocks_of(whole, keys.model)), keys)[0]
    ids = token_ids(tokenizer, texts, max_tokens)
    offsets = np.concatenate(([0], np.cumsum([len(own) for own in ids]))).astype(np.int64)
    reached = cut_above(whole, first, keys.model)
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    os.close(descriptor)
    try:
        shape = (int(offsets[-1]), int(whole.config.hidden_size))
        states = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.dtype(tower.states), shape=shape)
        done = 0
        with torch.inference_mode():
            for rows, tokens, mask in rectangles(ids, _ROWS, int(tokenizer.pad_token_id)):
                whole(input_ids=tokens, attention_mask=mask)
                hidden = reached.found.float().numpy()
                for row, text in enumerate(rows.tolist()):
                    states[offsets[text] : offsets[text + 1]] = hidden[row, : len(ids[text])]
                done += len(rows)
                progress(done, len(texts))
        states.flush()
        del states
        _save(offsets_path, offsets)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _save(path: Path, values: NDArray[Any]) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            np.save(stream, values)
        Path(temporary).replace(path)
    finally:
        Path(temporary).unlink(missing_ok=True)
