"""The README's table of models: bytes are those of real layouts."""

from pathlib import Path

import numpy as np
import pytest

from everbloom.experiment import load_experiment
from everbloom.models.recommender import build_recommender, layout_of

ROOT = Path(__file__).resolve().parents[1]
TEXT_ALONE = ["model.items.embedding=false", 'model.items.bias="features"']
ROWS = [
    ("ml-1m.toml", [], 3416, "| 1,317,984 |"),
    ("ml-1m-user-dp.toml", [], 3416, "| 241,184 |"),
    ("ml-1m.toml", TEXT_ALONE, 3416, "| 430,080 |"),
    ("movielens-small.toml", [], 9066, "| 42,636 |"),
    ("baselines/sasrec-ml-1m.toml", [], 3416, "(848 kB of parameters)"),
]


@pytest.mark.parametrize(("config", "overrides", "items", "told"), ROWS)
def test_bytes_are_those_of_the_layout(config, overrides, items, told):
    model = load_experiment(ROOT / "configs" / config, overrides).model
    features = None
    if model.items.described:  # what a client sends depends on the width of MiniLM's features and not on what they are
        features = np.random.default_rng(0).standard_normal((items, 384)).astype(np.float32)
    size = 4 * layout_of(build_recommender(items, features, model, seed=1)).size()
    assert f"{size:,}" in told or f"{size / 1000:.0f} kB" in told
    named = config.removeprefix("baselines/")
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if told in line]
    assert rows
    assert overrides or any(named in row for row in rows)
