"""Stored candidates of the sampled protocol: the exact negatives that published figures were measured with."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.config import DataConfig
from everbloom.data.home import dataset_name, raw_folder
from everbloom.data.prepare import Dataset
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError

_ARRAYS = ("user", "val_item", "test_item", "val_neg", "test_neg")


@dataclass(frozen=True, eq=False)
class StoredCandidates:
    """By dense indices: `user` [n], the user's `validation_item` and `test_item` [n], and negatives [n, negatives]."""

    user: NDArray[np.int32]
    validation_item: NDArray[np.int32]
    test_item: NDArray[np.int32]
    validation_negatives: NDArray[np.int32]
    test_negatives: NDArray[np.int32]


def load_candidates(dataset: Dataset, data: DataConfig, filename: str) -> StoredCandidates:
    """Reads an `npz` file with `user`, `val_item`, `test_item`, `val_neg`, `test_neg` in the source's ids.

    `filename` is looked up in the data set's raw folder, or is a path. Raises `DataError` if it is missing or no such
    file, or names users or items that the data set does not have.
    """
    path = raw_folder(dataset_name(data.source)) / Path(filename).expanduser()
    arrays = _read(path)
    users, items = _Index(dataset.events.user_ids, "user", path), _Index(dataset.catalog.item_ids, "item", path)
    return StoredCandidates(
        user=users.of(arrays["user"]),
        validation_item=items.of(arrays["val_item"]),
        test_item=items.of(arrays["test_item"]),
        validation_negatives=items.of(arrays["val_neg"]),
        test_negatives=items.of(arrays["test_neg"]),
    )


def _read(path: Path) -> dict[str, NDArray[np.generic]]:
    if not path.is_file():
        raise DataError(f"{path}: no such file of candidates; put it there or correct evaluation.candidates")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not an npz file of candidates: {error}") from None
    missing = [name for name in _ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{path}: array {missing[0]!r} is missing; expected {', '.join(_ARRAYS)}")
    users = len(arrays["user"])
    for name in _ARRAYS:
        shape, dimensions = arrays[name].shape, 2 if name.endswith("neg") else 1
        if len(shape) != dimensions or shape[0] != users:
            expected = f"[{users}, negatives]" if dimensions == 2 else f"[{users}]"
            raise DataError(f"{path}: {name} has shape {list(shape)}; expected {expected}")
    return arrays


class _Index:
    """From a source's ids to dense indices."""

    def __init__(self, ids: StringColumn, kind: str, path: Path) -> None:
        self._ids = pd.Index(list(ids), dtype=object)
        self._kind = kind
        self._path = path

    def of(self, ids: NDArray[np.generic]) -> NDArray[np.int32]:
        """Indices of the same shape as `ids`."""
        texts = ids.astype(str).ravel()
        found = self._ids.get_indexer(pd.Index(texts, dtype=object))
        if (found < 0).any():
            unknown = np.unique(texts[found < 0])
            raise DataError(
                f"{self._path}: {len(unknown)} {self._kind}s are not in the data set, for example {str(unknown[0])!r}; the "
                "file belongs to other data, or data.cleaning removed them"
            )
        return found.reshape(ids.shape).astype(np.int32)
