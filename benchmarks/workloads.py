"""The workloads, as experiments, and their preparation: everything that contenders share and that no measurement includes."""

import copy
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from everbloom.data.fetch import fetch
from everbloom.data.home import raw_folder
from everbloom.experiment import parse_experiment
from everbloom.study import open_study

REPO = Path(__file__).resolve().parent.parent
SCRATCH = REPO / "build" / "bench"
_NEAR = REPO.parent / "shared" / "data"
"""Data sets that may lie beside a checkout; otherwise they are downloaded."""

FOREVER = 1_000_000

_MOVIELENS: dict[str, Any] = {
    "seed": 1,
    "data": {"text": "{title}. {genres}", "tie_order": "reverse-file", "source": {"name": "ml-100k"}},
    "protocol": {"name": "leave-one-out"},
    "federation": {
        "rounds": FOREVER,
        "cohort": 100,
        "checkpoint_every": FOREVER,
        "optimizer": {"name": "fedadam", "learning_rate": 0.004, "tau": 1e-5},
    },
    "evaluation": {"every": FOREVER},
}

_USER_LEVEL = _MOVIELENS | {
    "model": {
        "dim": 64,
        "items": {"features": {"name": "lm"}, "feature_dim": 64},
        "user": {"layers": 2, "heads": 2, "history": 50, "dropout": 0},
    },
    "learning": {
        "examples": "windows",
        "objective": {"name": "sampled-softmax", "mask_history": True},
        "negatives": 256,
        "learning_rate": 0.1,
    },
}

_EXAMPLE_DP = _MOVIELENS | {
    "model": {
        "dim": 64,
        "items": {"features": {"name": "lm"}, "embedding": False, "bias": "item"},
        "user": {"layers": 1, "heads": 2, "history": 10, "feedforward": 0, "dropout": 0},
    },
    "learning": {
        "examples": "next-item",
        "objective": {"name": "sampled-softmax", "mask_history": True},
        "negatives": 64,
        "learning_rate": 0.1,
    },
    "privacy": {
        "unit": "example",
        "noise_multiplier": 1.0,
        "delta": 1e-4,
        "clip_norm": 1.0,
        "denominator": 50,
        "max_participations": 100,
    },
}

_POISSON = {"learning": {"local_steps": 5}, "privacy": {"sampling": "poisson", "sample_rate": 0.2}}


@dataclass(frozen=True)
class Workload:
    """An experiment and how long a repetition of it is."""

    name: str
    says: str
    """What it is, for the report."""
    experiment: Mapping[str, Any]
    rounds: int
    """Rounds of one repetition, the same for every contender, so that each repetition is the same work."""
    contenders: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)


WORKLOADS = (
    Workload(
        name="user-level-1",
        says="MovieLens-100K, windows of 50, 2 layers of width 64, 1 local step, no noise, cohort 100",
        experiment=_USER_LEVEL,
        rounds=2,
        contenders=(
            "cohort", "cohort-2", "loop", "loop-2", "flower-ray", "flower-ray-100", "pfl", "pfl-2", "pooled", "pooled-2",
        ),
    ),
    Workload(
        name="user-level-4",
        says="the same with 4 local steps",
        experiment=_USER_LEVEL | {"learning": _USER_LEVEL["learning"] | {"local_steps": 4}},
        rounds=1,
        contenders=(
            "cohort", "cohort-2", "loop", "loop-2", "flower-ray", "flower-ray-100", "pfl", "pfl-2", "pooled", "pooled-2",
        ),
    ),
    Workload(
        name="example-dp-full",
        says="DP-SGD on every device: next-item examples with history 10, whole LM features, 1 layer, one full-batch step",
        experiment=_EXAMPLE_DP,
        rounds=1,
        contenders=("cohort", "cohort-2", "loop", "loop-2", "pooled", "pooled-2"),
    ),
    Workload(
        name="example-dp-poisson",
        says="the same with Poisson sampling at 0.2 and 5 local steps",
        experiment=_EXAMPLE_DP | {key: _EXAMPLE_DP[key] | value for key, value in _POISSON.items()},
        rounds=1,
        contenders=("cohort", "cohort-2", "loop", "loop-2", "pooled", "pooled-2"),
    ),
    Workload(
        name="overhead",
        says="whole federated rounds (server, grid, sampling, messages, aggregation, optimizer; no evaluation) of user-level-1",
        experiment=_USER_LEVEL,
        rounds=4,
        contenders=("round", "round-2", "pooled", "pooled-2"),
    ),
)  # fmt: skip


def prepare_workload(name: str, experiment: Mapping[str, Any]) -> Path:
    """A folder with the experiment, its prepared data and its features. Downloads MovieLens-100K if it is needed and nowhere near."""
    os.environ["EVERBLOOM_HOME"] = str(SCRATCH / "home")
    parsed = parse_experiment(copy.deepcopy(dict(experiment)) | {"name": name})
    source = parsed.data.source.name
    if source != "synthetic" and not raw_folder(source).is_dir():
        near = _NEAR / source
        fetch(source, near if near.is_dir() else None)
    study = open_study(parsed, _quiet, _quiet)
    folder = SCRATCH / "workloads" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "experiment.toml").write_text(parsed.to_toml(), encoding="utf-8")
    (folder / "data").symlink_to(study.dataset.folder)
    if study.features is not None:
        np.save(folder / "features.npy", study.features)
    return folder


def _quiet(done: int, total: int) -> None:
    return
