"""Where data sets come from: official addresses, checksums where they are published, and the files that make a data
set.
"""

from dataclasses import dataclass
from pathlib import Path

from everbloom.errors import DataError


@dataclass(frozen=True)
class Download:
    """`urls` are fetched into one folder (a zip is unpacked); `files` are the patterns of what belongs to the data set,
    `page` is for people.
    """

    page: str
    files: tuple[str, ...]
    urls: tuple[str, ...] = ()
    md5: str | None = None
    """Of the only url, as its publisher states it."""
    minimum_bytes: int = 1
    """Of each url: less is an error page and no data."""
    licence: str = ""


_MCAULEY = "https://mcauleylab.ucsd.edu/public_datasets/data/amazon_2023/raw"
_GROUPLENS = "research use only, no redistribution; cite Harper and Konstan (2015), doi 10.1145/2827872"

DOWNLOADS: dict[str, Download] = {
    "ml-100k": Download(
        page="https://grouplens.org/datasets/movielens/100k/",
        urls=("https://files.grouplens.org/datasets/movielens/ml-100k.zip",),
        md5="0e33842e24a9c977be4e0107933c0723",
        files=("u.data", "u.item", "ml-100k.inter", "ml-100k.item", "pfedrec_ratings.dat", "*_candidates.npz"),
        licence=_GROUPLENS,
    ),
    "ml-1m": Download(
        page="https://grouplens.org/datasets/movielens/1m/",
        urls=("https://files.grouplens.org/datasets/movielens/ml-1m.zip",),
        md5="c4d9eecfca2ab87c1945afe126590906",
        files=("ratings.dat", "movies.dat", "sequences.tsv", "items.tsv", "*_candidates.npz"),
        licence=_GROUPLENS,
    ),
    "online-retail": Download(
        page="https://archive.ics.uci.edu/dataset/352/online+retail",
        urls=("https://archive.ics.uci.edu/static/public/352/data.csv",),
        minimum_bytes=20_000_000,
        files=("*.csv", "*.xlsx"),
        licence="CC BY 4.0; cite Chen (2015), doi 10.24432/C5BW33",
    ),
    "amazon-games": Download(
        page="https://github.com/RUCAIBox/LLMRank",
        files=("*.inter", "*.item"),
        licence="research use; cite Ni, Li and McAuley (2019)",
    ),
}

AMAZON = "amazon-reviews"
EMBEDDED = ("movielens-small", "synthetic")
"""Data sets that need no files."""


def download_of(name: str) -> Download:
    """What is known of a data set that can be fetched. Raises `DataError` for another name.

    `amazon-reviews/CATEGORY` names one category of Amazon reviews 2023, for example `amazon-reviews/Video_Games`.
    """
    if name in DOWNLOADS:
        return DOWNLOADS[name]
    kind, _, category = name.partition("/")
    if kind == AMAZON and category and "/" not in category and not category.startswith("."):
        return Download(
            page="https://amazon-reviews-2023.github.io",
            urls=(
                f"{_MCAULEY}/review_categories/{category}.jsonl.gz",
                f"{_MCAULEY}/meta_categories/meta_{category}.jsonl.gz",
            ),
            files=(f"*{category}*.jsonl", f"*{category}*.json"),
            minimum_bytes=10_000,
            licence="research use; cite Hou et al. (2024), arXiv 2403.03952",
        )
    if name in EMBEDDED:
        raise DataError(f"{name}: needs no fetching; use it as it is")
    raise DataError(f"unknown data set {name!r}; expected one of: {', '.join([*EMBEDDED, *fetchable()])}")


def fetchable() -> list[str]:
    """The names that `everbloom data fetch` knows."""
    return [*DOWNLOADS, f"{AMAZON}/CATEGORY"]


def not_there(name: str, folder: Path, needed: str) -> DataError:
    """The error of a source whose files have not been fetched."""
    download = download_of(name)
    address = " and ".join(download.urls) or download.page
    return DataError(
        f"{name}: {needed} not found in {folder}; run `everbloom data fetch {name}` (downloads {address}), "
        f"or `everbloom data fetch {name} --from PATH` with files you have"
    )
