"""What each part of the recommender adds: one experiment, parts taken away or put in, several seeds; a table of next-period NDCG@10.

    python -m benchmarks.components --out runs/components --seeds 3

A run that is there is read and not made again, so an interrupted comparison goes on where it stopped.
"""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from server.run_directory import RunDirectory

EXPERIMENT = "configs/hybrid-online-retail.toml"
ENCODERS = ("model.content=none", "model.prior=none", "model.cooccurrence=none")
TEXT = (*ENCODERS, "model.items.embedding=false")
TOWER = ("model.items.tower.layers=1", 'model.items.tower.adapter={name="ffa-lora",alpha=16.0}')
ARMS: dict[str, tuple[str, ...]] = {
    "frozen features": (*TEXT, "model.items.train_adapter=false", "model.items.feature_dim=32"),
    "+ adapter": TEXT,
    "+ LoRA": (*TEXT, *TOWER),
    "+ collaborative": (*ENCODERS, "model.items.bias=item"),
    "hybrid": (),
    "hybrid without content match": ("model.content=none",),
    "hybrid without prior": ("model.prior=none",),
    "hybrid without co-occurrence": ("model.cooccurrence=none",),
    "hybrid without collaborative vectors": ("model.items.embedding=false",),
    "hybrid, fixed weights": ("model.content.learn=false", "model.prior.learn=false", "model.cooccurrence.learn=false"),
}
SLICES = ("all", "new-items", "new-users", "returning-users")


def run(arm: str, seed: int, folder: Path, overrides: Sequence[str]) -> Path:
    """The directory of an arm's finished run."""
    path = folder / f"{arm.replace(' ', '-').replace(',', '').replace('+-', '')}-{seed}"
    if not (path / "summary.json").is_file():
        command = [sys.executable, "-m", "simulation.cli", "run"]
        command += ["--resume", str(path)] if path.is_dir() else [EXPERIMENT, "--out", str(path)]
        if not path.is_dir():
            command += [word for one in (f"seed={seed}", *ARMS[arm], *overrides) for word in ("-s", one)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return path


def ahead(path: Path, model: str, part: str) -> float:
    """Mean over the periods of NDCG@10 before each is learnt."""
    records = RunDirectory.open(path).records("metrics")
    found = [
        float(record["ndcg@10"])
        for record in records
        if (record["model"], record["split"], record["protocol"], record["slice"]) == (model, "test", "full", part)
        and record.get("after", record["period"] - 1) == record["period"] - 1
    ]
    return float(np.mean(found))


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", choices=ARMS, default=list(ARMS))
    parser.add_argument("-s", "--set", action="append", default=[], metavar="KEY=VALUE", help="for all arms")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print("| |", " | ".join(SLICES), "|\n|---|", "---|" * len(SLICES), sep="")
    for place, arm in enumerate(given.arms):
        runs = [run(arm, seed, given.out, given.set) for seed in range(1, given.seeds + 1)]
        for name, model in [("popularity", "popularity")] * (place == 0) + [(arm, "federated")]:
            cells = []
            for part in SLICES:
                values = np.array([ahead(path, model, part) for path in runs])
                cells.append(f"{values.mean():.4f} ({values.min():.4f}-{values.max():.4f})")
            print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
