"""A catalogue and nothing else: what a deployment's server has whose devices alone hold events."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Self

import pandas as pd
from pydantic import PositiveInt

from everbloom.data.catalog import Catalog
from everbloom.data.catalogue_versions import CatalogueVersions
from everbloom.errors import DataError
from everbloom.methods import Source


class CatalogueAlone(Source):
    """There is nothing to cut into periods, to simulate or to measure centrally; rounds are counted, and devices can be asked to measure."""

    name: Literal["catalogue"]
    path: str
    """The `catalogue` folder of a deployment (the version that holds when a run begins), or a saved catalogue."""
    people: PositiveInt
    """How many devices there may be: their numbers (`everbloom-device init --client`) are from 0 to one less."""

    def locate(self, home: Path) -> list[Path]:
        """See `Source`."""
        return sorted(path for path in self._folder.iterdir() if path.is_file())

    def events(self, files: list[Path]) -> Iterator[pd.DataFrame]:
        """None at all."""
        return iter(())

    def items(self, files: list[Path]) -> None:
        """See `alone`."""
        return

    def alone(self) -> tuple[Catalog, int]:
        """See `Source`."""
        return Catalog.open(self._folder), self.people

    def pinned(self) -> Self:
        """See `Source`."""
        return self.model_copy(update={"path": str(self._folder.absolute())})

    @property
    def _folder(self) -> Path:
        folder = Path(self.path)
        if (folder / "catalog.json").is_file():
            return folder
        try:
            return CatalogueVersions(folder).current
        except DataError as error:
            raise DataError(f"{error} (check data.source.path)") from None
