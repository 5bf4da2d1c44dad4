"""The modality of vectors that were computed elsewhere, of images, sounds or anything: a file of item ids and their vectors."""

import hashlib
import zipfile
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from everbloom.data.catalog import Catalog
from everbloom.errors import DataError
from everbloom.methods import Modality, Progress


class Vectors(Modality):
    """Items that the file does not name have none; what it names beside the catalogue is not read."""

    name: Literal["vectors"] = "vectors"
    path: str
    """`.npz` with arrays `id` [n] and `vector` [n, width]; `.csv` with a column `id`, all others numbers; `.parquet` likewise, or with one column
    `vector` of lists; `.npy` [n, width] beside `ids`."""
    ids: str | None = None
    """For `.npy`: a text file with one item id a line, in the order of the rows."""

    def read(self, catalog: Catalog, text: str) -> list[str]:
        """The items' ids."""
        return list(catalog.item_ids)

    def encode(self, inputs: list[str], progress: Progress) -> NDArray[np.float32]:
        """[inputs, width]; a row of nan where the file has none."""
        ids, vectors = self._table()
        row = {name: place for place, name in enumerate(ids)}
        if len(row) < len(ids):
            twice = next(name for place, name in enumerate(ids) if row[name] != place)
            raise DataError(f"{self.path}: the id {twice!r} occurs more than once; one vector an item")
        if not np.isfinite(vectors).all():
            place = int(np.argmin(np.isfinite(vectors).all(axis=1)))
            raise DataError(
                f"{self.path}: the vector of {ids[place]!r} holds a number that is not finite; leave it out"
            )
        found = np.array([row.get(name, -1) for name in inputs])
        if (found < 0).all():
            example = f"{ids[0]!r}" if ids else "nothing"
            raise DataError(
                f"{self.path}: none of its {len(ids)} ids is an item's (it has {example}, items are like {inputs[0]!r}); the file "
                "belongs to other data"
            )
        progress(len(inputs), len(inputs))
        return np.where((found >= 0)[:, None], vectors[found], np.float32(np.nan))

    def fingerprint(self) -> str:
        """The content of the files."""
        digest = hashlib.sha256()
        for path in self._files():
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"vectors/{Path(self.path).suffix}/{digest.hexdigest()}"

    def _files(self) -> list[Path]:
        paths = [Path(given).expanduser() for given in (self.path, self.ids) if given is not None]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: no such file (looked in {Path.cwd()}); check path and ids")
        return paths

    def _table(self) -> tuple[list[str], NDArray[np.float32]]:
        path = self._files()[0]
        reader = {".npy": self._npy, ".npz": _npz, ".csv": _csv, ".parquet": _parquet}.get(path.suffix.lower())
        if reader is None:
            raise DataError(f"{path}: expected a file of vectors that ends in .npz, .npy, .csv or .parquet")
        try:
            names, vectors = reader(path)
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no file of vectors: {str(error).splitlines()[0]}") from None
        if vectors.ndim != 2 or len(vectors) != len(names) or vectors.size == 0:
            raise DataError(
                f"{path}: {len(names)} ids and vectors of shape {list(vectors.shape)}; expected [ids, width]"
            )
        return names, vectors

    def _npy(self, path: Path) -> tuple[list[str], NDArray[np.float32]]:
        if self.ids is None:
            raise DataError(f"{path}: says not whose its rows are; name a text file of ids by `ids`, or use .npz")
        names = Path(self.ids).expanduser().read_text(encoding="utf-8").splitlines()
        return names, np.load(path, allow_pickle=False).astype(np.float32)


def _npz(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    with np.load(path, allow_pickle=False) as arrays:
        for name in ("id", "vector"):
            if name not in arrays:
                raise DataError(f"{path}: array {name!r} is missing; expected id and vector, found {', '.join(arrays)}")
        return arrays["id"].astype(str).tolist(), arrays["vector"].astype(np.float32)


def _csv(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    return _columns(path, pd.read_csv(path, dtype={"id": str}))


def _parquet(path: Path) -> tuple[list[str], NDArray[np.float32]]:
    try:
        return _columns(path, pd.read_parquet(path))
    except ImportError:
        raise DataError(f"{path}: reading parquet needs pyarrow; run: pip install 'everbloom[parquet]'") from None


def _columns(path: Path, table: pd.DataFrame) -> tuple[list[str], NDArray[np.float32]]:
    if "id" not in table:
        raise DataError(f"{path}: column 'id' is missing; found {', '.join(map(str, table.columns[:5]))}")
    names = table["id"].astype(str).tolist()
    if "vector" in table:
        return names, np.stack([np.asarray(vector, dtype=np.float32) for vector in table["vector"]])
    return names, table.drop(columns="id").to_numpy(dtype=np.float32)
