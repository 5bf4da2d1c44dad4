"""Texts as token ids, rectangles of them, and one vector out of a text's hidden states."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Pooling = Literal["mean", "cls", "last"]


def token_ids(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_tokens: int, special: bool = True
) -> list[list[int]]:
    """Each text's ids, at most `max_tokens` of them. A text without any token is one padding token: a model must read something."""
    if not texts:
        return []
    found = tokenizer(list(texts), truncation=True, max_length=max_tokens, padding=False, add_special_tokens=special)
    return [list(ids) or [int(tokenizer.pad_token_id)] for ids in found["input_ids"]]


def rectangles(
    ids: Sequence[Sequence[int]], rows: int, pad: int
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor, torch.Tensor]]:
    """(which texts, their ids [rows, longest], mask [rows, longest]), longest first and about as long in one rectangle; padded at the end."""
    length = np.array([len(own) for own in ids], dtype=np.int64)
    order = np.argsort(-length, kind="stable")
    for start in range(0, len(order), rows):
        which = order[start : start + rows]
        place = np.arange(length[which[0]])
        real = place < length[which][:, None]
        filled = np.full(real.shape, pad, dtype=np.int64)
        filled[real] = np.concatenate([np.asarray(ids[row], dtype=np.int64) for row in which])
        yield which, torch.from_numpy(filled), torch.from_numpy(real.astype(np.int64))


def pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: Pooling) -> torch.Tensor:
    """[texts, tokens, hidden], padded at the end where `mask` [texts, tokens] is 0 -> [texts, hidden] of unit length."""
    if pooling == "cls":
        found = hidden[:, 0]
    elif pooling == "last":
        last = mask.sum(dim=1).clamp(min=1) - 1
        found = hidden[torch.arange(len(hidden), device=hidden.device), last]
    else:
        weight = mask.unsqueeze(-1).to(hidden.dtype)
        found = (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    return torch.nn.functional.normalize(found, dim=-1)
