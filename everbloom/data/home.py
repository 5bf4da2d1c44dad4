"""Where everbloom keeps what it fetched and prepared: `EVERBLOOM_HOME`, by default the platform's user data directory.

`raw/NAME/` holds fetched files as they came, `prepared/FINGERPRINT/` prepared data sets, `features/` cached item
features.
"""

import os
from pathlib import Path

import platformdirs

from everbloom.methods import Source


def home() -> Path:
    """The folder that holds everything; it need not exist yet."""
    chosen = os.environ.get("EVERBLOOM_HOME")
    if chosen:
        return Path(chosen).expanduser().absolute()
    return platformdirs.user_data_path("everbloom", appauthor=False)


def raw_folder(name: str) -> Path:
    """Where `everbloom data fetch NAME` puts the files of a data set."""
    return home() / "raw" / name


def prepared_folder(fingerprint: str) -> Path:
    """Where a prepared data set lives."""
    return home() / "prepared" / fingerprint


def dataset_name(source: Source) -> str:
    """The name under which a source's files are fetched: its own, or its `dataset` where one source reads several data
    sets.
    """
    return str(getattr(source, "dataset", None) or source.name)


def feature_cache() -> Path:
    """Where computed item features are kept."""
    return home() / "features"
