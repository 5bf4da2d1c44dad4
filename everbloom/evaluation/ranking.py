"""From scores to ranks: the whole catalogue with the known items masked, or one target among stored negatives.

Nothing here depends on the order in which a top-k routine happens to meet equal scores: in the full ranking ties go to
the lower item index, and among stored negatives they count against the target.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.data.events import NO_ITEM, EventLog
from everbloom.evaluation.histories import case_targets, history_items

Score = Callable[[NDArray[np.int64]], torch.Tensor]
"""Positions of cases [b] -> scores [b, items] of the whole catalogue."""

_MASKED = torch.iinfo(torch.int64).min
_CHUNK_SCORES = 2**20  # 8 MB of sort keys at once: larger chunks fall out of the cache


@dataclass(frozen=True, eq=False)
class Ranking:
    """Recommended lists, best first.

    `items` [cases, k_max] int32, `NO_ITEM` where nothing was left to recommend; `hits` [cases, k_max]: whether that
    item is a target of its case.
    """

    items: NDArray[np.int32]
    hits: NDArray[np.bool_]


def chunk_size(items: int) -> int:
    """Cases to rank at once, so that their scores stay small."""
    return max(16, min(1024, _CHUNK_SCORES // max(items, 1)))


def rank(cases: Cases, log: EventLog, items: int, score: Score, k_max: int, chunk: int | None = None) -> Ranking:
    """The best `k_max` of all `items` for each case.

    Items that are not available or, unless the cases say that these count, that the user already knows (any event in the history) are never ranked,
    except the case's own targets, which always can be. Equal scores rank by item index, lower first; -0.0 equals 0.0.
    Raises `ValueError` if scores have another shape, `FloatingPointError` if any is NaN.
    """
    ranked = np.full((len(cases), k_max), NO_ITEM, dtype=np.int32)
    unavailable = torch.as_tensor(np.flatnonzero(~cases.available))
    for positions in _chunks(len(cases), chunk or chunk_size(items)):
        scores = _checked(score(positions), (len(positions), items))
        keys = _mask(sort_keys(scores), cases, log, positions, unavailable)
        best, index = keys.topk(min(k_max, items), dim=1)
        chosen = torch.where(best == _MASKED, NO_ITEM, index).to(torch.int32)
        ranked[positions, : chosen.shape[1]] = chosen.cpu().numpy()
    return Ranking(ranked, _hits(ranked, cases, items))


def sampled_ranks(
    target_item: NDArray[np.int64], negatives: NDArray[np.int64], score: Score, items: int, chunk: int | None = None
) -> NDArray[np.int64]:
    """[cases] rank, from 1, of each case's target among its stored negatives; equal scores count against the target.

    The "sampled-99" protocol (He et al., "Neural collaborative filtering", WWW 2017), for comparison with papers only:
    it orders methods otherwise than a full ranking does (Krichene & Rendle, "On sampled metrics for item
    recommendation", KDD 2020). Row c of `target_item` [cases] and `negatives` [cases, 99] belongs to case position c.
    Negatives are taken as stored: nothing is masked. Raises as `rank` does.
    """
    ranks = np.empty(len(target_item), dtype=np.int64)
    for positions in _chunks(len(target_item), chunk or chunk_size(items)):
        scores = _checked(score(positions), (len(positions), items))
        wanted = scores.gather(1, torch.as_tensor(target_item[positions, None]).to(scores.device))
        others = scores.gather(1, torch.as_tensor(negatives[positions]).to(scores.device))
        ranks[positions] = 1 + (others >= wanted).sum(dim=1).cpu().numpy()
    return ranks


def hits_of_ranks(ranks: NDArray[np.int64], k_max: int) -> NDArray[np.bool_]:
    """[cases, k_max] hits of lists whose single target has these ranks [cases] (from 1)."""
    return np.asarray(ranks[:, None] == np.arange(1, k_max + 1))


def _chunks(cases: int, size: int) -> Iterator[NDArray[np.int64]]:
    for start in range(0, cases, size):
        yield np.arange(start, min(start + size, cases))


def _checked(scores: torch.Tensor, shape: tuple[int, int]) -> torch.Tensor:
    if tuple(scores.shape) != shape:
        raise ValueError(f"score: expected [cases, items] = {list(shape)}, got {list(scores.shape)}")
    if torch.isnan(scores).any():
        raise FloatingPointError("score: NaN among the scores, so there is no ranking; the model has diverged")
    return scores.detach().to(torch.float32)


def sort_keys(scores: torch.Tensor) -> torch.Tensor:
    """[b, items] int64, all different within a row and ordered as (score, lower index first).

    The upper half is the float32's bits made monotone, the lower half the index.
    """
    bits = (scores + 0.0).view(torch.int32)
    monotone = bits ^ ((bits >> 31) & 0x7FFFFFFF)
    descending = torch.arange(scores.shape[1] - 1, -1, -1, device=scores.device)
    return (monotone.to(torch.int64) << 32) | descending


def _mask(
    keys: torch.Tensor, cases: Cases, log: EventLog, positions: NDArray[np.int64], unavailable: torch.Tensor
) -> torch.Tensor:
    """Masks in place what may not be ranked."""
    owner, item = (torch.as_tensor(column).to(keys.device) for column in case_targets(cases, positions))
    kept = keys[owner, item]
    keys.index_fill_(1, unavailable.to(keys.device), _MASKED)
    if not cases.repeats:
        known = tuple(torch.as_tensor(column).to(keys.device) for column in history_items(cases, log, positions))
        keys[known] = _MASKED
    keys[owner, item] = kept
    return keys


def _hits(ranked: NDArray[np.int32], cases: Cases, items: int) -> NDArray[np.bool_]:
    owner, item = case_targets(cases, np.arange(len(cases)))
    # Items are shifted by one so that NO_ITEM (-1) cannot be read as the last item of the case before.
    wanted = owner * (items + 1) + item + 1
    listed = np.arange(len(cases))[:, None] * (items + 1) + ranked.astype(np.int64) + 1
    return np.isin(listed, wanted)
