"""Reads a source's chunks into compact columns, in file order, leaving out rows that are no events."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.data.events import BEHAVIOURS, NO_ITEM
from everbloom.data.ids import IdEncoder
from everbloom.errors import DataError
from everbloom.methods import Progress

_SEARCH = BEHAVIOURS.index("search")


@dataclass(frozen=True, eq=False)
class Columns:
    """Events in file order, [events] each; `time` and `text` are None where the source has none."""

    user: NDArray[np.int32]
    item: NDArray[np.int32]
    behaviour: NDArray[np.uint8]
    value: NDArray[np.float32]
    time: NDArray[np.int64] | None
    text: NDArray[np.object_] | None

    def __len__(self) -> int:
        return len(self.user)

    def where(self, keep: NDArray[np.bool_]) -> "Columns":
        """The rows where `keep` [events] is true."""
        if keep.all():
            return self
        return Columns(
            self.user[keep],
            self.item[keep],
            self.behaviour[keep],
            self.value[keep],
            None if self.time is None else self.time[keep],
            None if self.text is None else self.text[keep],
        )


@dataclass(frozen=True, eq=False)
class Collected:
    """What a source gave: events on dense indices by first appearance, the ids behind them, and the rows left out, by
    reason.
    """

    columns: Columns
    user_ids: NDArray[np.object_]
    item_ids: NDArray[np.object_]
    rows: int
    left_out: dict[str, int]


def collect(
    chunks: Iterable[pd.DataFrame],
    item_table_ids: "pd.Series[int] | pd.Series[str] | None",
    default_behaviour: str,
    progress: Progress | None = None,
) -> Collected:
    """Encodes all chunks; items of the item table come first. Raises `DataError` on an unknown behaviour."""
    users, items = IdEncoder(), IdEncoder()
    if item_table_ids is not None:
        items.add(item_table_ids)
    pieces: list[Columns] = []
    left_out: Counter[str] = Counter()
    rows = 0
    for chunk in chunks:
        dropped: dict[str, int] = dict(chunk.attrs.get("dropped", {}))
        left_out.update({reason: count for reason, count in dropped.items() if count})
        rows += len(chunk) + sum(dropped.values())
        pieces.append(_valid(_encode(chunk, users, items, default_behaviour), left_out, chunk))
        if progress is not None:
            progress(rows, 0)
    user_table, user_ids = users.finish()
    item_table, item_ids = items.finish()
    columns = _concatenate(pieces)
    columns = replace(columns, user=user_table[columns.user], item=_look_up(item_table, columns.item))
    return Collected(columns, user_ids, item_ids, rows, dict(left_out))


def _encode(chunk: pd.DataFrame, users: IdEncoder, items: IdEncoder, default_behaviour: str) -> Columns:
    rows = len(chunk)
    if "value" in chunk:
        value = pd.to_numeric(chunk["value"]).to_numpy(dtype=np.float32, na_value=np.nan)
        value = np.where(np.isnan(value), np.float32(1), value)
    else:
        value = np.ones(rows, dtype=np.float32)
    text = None
    if "text" in chunk:
        text = chunk["text"].astype("str").fillna("").to_numpy(dtype=object)
    return Columns(
        user=users.add(chunk["user"]),
        item=items.add(chunk["item"]),
        behaviour=_behaviours(chunk.get("behaviour"), rows, default_behaviour),
        value=value,
        time=_times(chunk["time"]) if "time" in chunk else None,
        text=text,
    )


_NO_TIME = np.iinfo(np.int64).min


def _times(times: "pd.Series[int]") -> NDArray[np.int64]:
    return np.asarray(times.to_numpy(dtype=np.int64, na_value=_NO_TIME))


def _behaviours(names: "pd.Series[str] | None", rows: int, default: str) -> NDArray[np.uint8]:
    if names is None:
        return np.full(rows, BEHAVIOURS.index(default), dtype=np.uint8)
    codes, distinct = pd.factorize(names)
    known = []
    for name in distinct.tolist():
        if name not in BEHAVIOURS:
            raise DataError(
                f"behaviour {name!r} is unknown; expected one of {', '.join(BEHAVIOURS)}; "
                "a `table` source translates the file's words by data.source.behaviours"
            )
        known.append(BEHAVIOURS.index(name))
    return np.array([*known, BEHAVIOURS.index(default)], dtype=np.uint8)[codes]  # code -1 (missing): the default


def _valid(columns: Columns, left_out: Counter[str], chunk: pd.DataFrame) -> Columns:
    """Leaves out rows that are no events; a search needs no item, but then a text."""
    has_text = np.zeros(len(columns), dtype=np.bool_) if columns.text is None else columns.text != ""
    rules = {
        "no user": columns.user < 0,
        "no item": (columns.item < 0) & ~((columns.behaviour == _SEARCH) & has_text.astype(np.bool_)),
        "no time": np.zeros(len(columns), dtype=np.bool_) if columns.time is None else columns.time == _NO_TIME,
        "value is not finite": ~np.isfinite(columns.value),
    }
    keep = np.ones(len(columns), dtype=np.bool_)
    for reason, broken in rules.items():
        count = int((broken & keep).sum())
        if count:
            left_out[reason] += count
        keep &= ~broken
    return columns.where(keep)


def _concatenate(pieces: list[Columns]) -> Columns:
    if not pieces:
        nothing = np.empty(0, dtype=np.int32)
        return Columns(nothing, nothing, nothing.astype(np.uint8), nothing.astype(np.float32), None, None)
    if len({piece.time is None for piece in pieces}) > 1:
        raise DataError("the source gives timestamps for some events only; give them for all or for none")
    with_text = any(piece.text is not None for piece in pieces)
    texts = [
        np.full(len(piece), "", dtype=object) if piece.text is None else piece.text for piece in pieces if with_text
    ]
    times = [piece.time for piece in pieces if piece.time is not None]
    return Columns(
        user=np.concatenate([piece.user for piece in pieces]),
        item=np.concatenate([piece.item for piece in pieces]),
        behaviour=np.concatenate([piece.behaviour for piece in pieces]),
        value=np.concatenate([piece.value for piece in pieces]),
        time=np.concatenate(times) if times else None,
        text=np.concatenate(texts) if with_text else None,
    )


def _look_up(table: NDArray[np.int32], codes: NDArray[np.int32]) -> NDArray[np.int32]:
    return np.append(table, np.int32(NO_ITEM))[codes]  # code -1: the last, NO_ITEM
