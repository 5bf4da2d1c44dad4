"""Signatures are verified once: in one process a hundred devices would each verify the same hundred."""

from functools import cache

import pytest

from everbloom.privacy.secure_aggregation import roster, server, survivors
from everbloom.privacy.secure_aggregation.keys import verify


@pytest.fixture
def verified_once(monkeypatch):
    remembered = cache(verify)
    for module in (roster, server, survivors):
        monkeypatch.setattr(module, "verify", remembered)
