"""`everbloom demo`: one experiment four ways (popularity, federated with and without privacy, pooled), one table, one picture."""

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from everbloom.report.curves import draw_quality
from server.run_directory import RunDirectory
from simulation.commands import comparison, run_central, start_run
from simulation.run import free_directory

WITHOUT_PRIVACY = ("privacy.unit=none", "privacy.epsilon=none", "privacy.delta=none", "privacy.max_participations=none")
"""Overrides that turn an experiment's privacy off and leave everything else alone."""


def run_demo(path: Path, out: Path, console: Console) -> dict[str, Any]:
    """Runs all four, prints the comparison, writes `comparison.json` and `quality.png`; returns the comparison."""
    started = time.monotonic()
    folder = free_directory(out.parent, out.name)
    console.rule("federated, with differential privacy on every device")
    private = start_run(path, [], folder / "private", console)
    console.rule("the same federation without privacy")
    exact = start_run(path, WITHOUT_PRIVACY, folder / "without-privacy", console)
    console.rule("the same model on pooled data")
    central = run_central(path, WITHOUT_PRIVACY, console)
    found = {
        "popularity": private["baselines"]["popularity"],
        f"federated, epsilon {private['privacy']['epsilon']:.3g}": private["test"],
        "federated, no privacy": exact["test"],
        "pooled data": central,
    }
    (folder / "comparison.json").write_text(json.dumps(found, indent=2) + "\n")
    runs = {name: RunDirectory(folder / name) for name in ("private", "without-privacy")}
    draw_quality(
        {
            f"federated, epsilon {private['privacy']['epsilon']:.3g}": _records(runs["private"]),
            "federated, no privacy": _records(runs["without-privacy"]),
        },
        {"popularity": _popularity(runs["private"])},
        "ndcg@10",
        folder / "quality.png",
    )
    console.rule("comparison")
    console.print(comparison(found))
    console.print(private["privacy"]["statement"], highlight=False)
    console.print(
        f"{time.monotonic() - started:.0f} s. Records, checkpoints and the picture quality.png: {folder}",
        highlight=False,
        soft_wrap=True,
    )
    return found


def _records(run: RunDirectory) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    return run.records("metrics"), run.records("rounds")


def _popularity(run: RunDirectory) -> float:
    """Popularity's validation measure: the level to beat in the picture."""
    rows = [row for row in run.records("metrics") if row["model"] == "popularity" and row["split"] == "validation"]
    return float(rows[0]["ndcg@10"])
