"""Where events and items come from."""

from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import pandas as pd

    from everbloom.data.catalog import Catalog


class Source(Method):
    """Where events and items come from."""

    @abstractmethod
    def locate(self, home: Path) -> list[Path]:
        """The files this source reads, in a fixed order (their content addresses the prepared data set).

        `home` is the folder that `everbloom data fetch` filled for this source. Raises `DataError` naming the download address and `--from` when
        they are not there.
        """

    @abstractmethod
    def events(self, files: list[Path]) -> "Iterator[pd.DataFrame]":
        """Chunks of events, in file order, with the columns `user`, `item`, `time` (Unix seconds, int64), `behaviour` (a name), `value`, `text`.

        `user` and `item` are the source's own ids (str or int). A source without timestamps omits `time` and yields each user's events in order.
        `behaviour`, `value` and `text` may be absent (then: the source's default behaviour, 1.0, no text).
        """

    @abstractmethod
    def items(self, files: list[Path]) -> "pd.DataFrame | None":
        """One row an item: column `item` (the id), text fields as str, numeric fields as float. None: only ids are known."""

    def alone(self) -> "tuple[Catalog, int] | None":
        """(catalogue, how many people there may be) of a source that holds no event; None: it does."""
        return None

    def pinned(self) -> "Source":
        """The same source, which will read the same at any later time: of one that has versions, this version."""
        return self


SOURCES: Registry[Source] = Registry(
    "data source",
    Source,  # type: ignore[type-abstract]
    {
        "movielens-small": "everbloom.data.sources.movielens_small:MovieLensSmall",
        "ml-100k": "everbloom.data.sources.ml_100k:MovieLens100K",
        "ml-1m": "everbloom.data.sources.ml_1m:MovieLens1M",
        "online-retail": "everbloom.data.sources.online_retail:OnlineRetail",
        "amazon-reviews": "everbloom.data.sources.amazon_reviews:AmazonReviews",
        "table": "everbloom.data.sources.table:TableFiles",
        "sequences": "everbloom.data.sources.sequences:Sequences",
        "catalogue": "everbloom.data.sources.catalogue:CatalogueAlone",
        "synthetic": "everbloom.data.sources.synthetic:Synthetic",
    },
)
