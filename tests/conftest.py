"""What every test shares."""

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def everbloom_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh, empty EVERBLOOM_HOME: no test reads or writes the user's own."""
    home = tmp_path_factory.mktemp("everbloom-home")
    monkeypatch.setenv("EVERBLOOM_HOME", str(home))
    return home
