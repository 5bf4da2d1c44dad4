"""How the cohort engine scales: whole federated rounds against cohort, population, catalogue and parameters; `python -m benchmarks.scaling`.

Synthetic data in the shape of configs/million.toml, one process; one thing is varied at a time. Writes the numbers as JSON and one picture.
"""

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.compare import spread
from benchmarks.contestants import CONTESTANTS
from benchmarks.environment import environment
from benchmarks.picture import draw
from benchmarks.processes import Contender, Failed
from benchmarks.report import RESULTS
from benchmarks.workloads import FOREVER, REPO, prepare_workload

PICTURE = REPO / "docs" / "images" / "scaling.png"
_CLIENTS_PER_REPETITION = 400


@dataclass(frozen=True)
class Size:
    """One point. `embedding`: a collaborative vector for each item, so that parameters grow with dim x items."""

    users: int = 10_000
    items: int = 10_000
    cohort: int = 100
    dim: int = 32
    embedding: bool = False

    def experiment(self) -> dict[str, Any]:
        """As tables of an experiment file."""
        source = {"name": "synthetic", "users": self.users, "items": self.items, "events_per_user": 20, "seed": 1}
        items = {"features": {"name": "tfidf", "dims": 32}, "embedding": self.embedding, "bias": "item"}
        return {
            "seed": 1,
            "data": {"text": "{title}", "source": source},
            "protocol": {"name": "timeline", "cut": "counts", "periods": 2, "warm_start": 0.9, "validation": 0.0},
            "model": {
                "dim": self.dim,
                "items": items,
                "user": {"layers": 1, "heads": 2, "history": 20, "dropout": 0},
            },
            "learning": {
                "examples": "windows",
                "objective": {"name": "sampled-softmax", "mask_history": True},
                "max_examples": 4,
                "negatives": 256,
            },
            "federation": {
                "rounds": FOREVER,
                "cohort": self.cohort,
                "checkpoint_every": FOREVER,
                "optimizer": {"name": "fedadam", "learning_rate": 0.02, "tau": 1e-5},
            },
            "evaluation": {"every": FOREVER},
        }

    @property
    def name(self) -> str:
        """Of its workload's folder."""
        return f"scaling-{self.users}-{self.items}-{self.cohort}-{self.dim}" + ("-embedding" if self.embedding else "")


@dataclass(frozen=True)
class Curve:
    """`sizes` along one axis, which is read from a point's record by `at`."""

    name: str
    sizes: tuple[Size, ...]
    at: Callable[[Size, Mapping[str, Any]], int]


CURVES = (
    Curve("cohort", tuple(Size(cohort=n) for n in (10, 30, 100, 300, 1000, 3000)), lambda size, facts: size.cohort),
    Curve("population", tuple(Size(users=n) for n in (1000, 10_000, 100_000, 1_000_000)), lambda s, facts: s.users),
    Curve("catalogue", tuple(Size(items=n) for n in (1000, 10_000, 100_000)), lambda size, facts: int(facts["items"])),
    Curve(
        "parameters",
        tuple(Size(dim=n, embedding=True) for n in (8, 16, 32, 64, 128)),
        lambda size, facts: int(facts["parameters"]),
    ),
)


def main() -> None:
    """Measures every point, writes after each curve."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[curve.name for curve in CURVES])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--largest", type=int, default=1_000_000, help="leave out populations above this")
    parser.add_argument("--dry", action="store_true", help="write neither numbers nor picture")
    arguments = parser.parse_args()
    console = Console()
    found: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(),
        "says": "clients per second (median, low, high of the repetitions) and peak memory of whole federated rounds in one process",
        "curves": {},
    }
    for curve in CURVES:
        if arguments.only and curve.name not in arguments.only:
            continue
        points = found["curves"][curve.name] = []
        for point in measure(curve, arguments.repetitions, arguments.largest):
            points.append(point)
            console.print(f"{curve.name} {point}", highlight=False)
    if not arguments.dry:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{found['date'][:10]}-scaling.json"
        path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        draw(found["curves"], PICTURE)
        console.print(f"written to {path} and {PICTURE}")


def measure(curve: Curve, repetitions: int, largest: int) -> Iterator[dict[str, Any]]:
    """A curve's points: where it is on the axis, the rates, the memory."""
    for size in curve.sizes:
        if size.users <= largest:
            folder = prepare_workload(size.name, size.experiment())
            try:
                yield _point(curve, size, folder, repetitions)
            except Failed as why:
                yield {"at": None, "failed": f"{size.name}: {why}"}


def _point(curve: Curve, size: Size, folder: Path, repetitions: int) -> dict[str, Any]:
    rounds = range(max(1, _CLIENTS_PER_REPETITION // size.cohort))
    contender = Contender(CONTESTANTS["round"], folder)
    try:
        contender.repeat(rounds)
        done = [contender.repeat(rounds) for _ in range(repetitions)]
        return {
            "at": curve.at(size, contender.facts),
            "parameters": contender.facts["parameters"],
            "clients_per_second": spread([r.clients / r.seconds for r in done]),
            "cpu_ms_per_client": spread([1000 * r.cpu_seconds / r.clients for r in done]),
            "peak_memory_mb": round(contender.peak_memory(rounds)),
            "load": round(max(r.load for r in done), 2),
        }
    finally:
        contender.stop()


if __name__ == "__main__":
    main()
