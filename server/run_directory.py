"""A run's directory: its records are an interface that tools and people rely on."""

import json
import os
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from everbloom.errors import CheckpointError, InputError
from everbloom.experiment import Experiment, load_experiment

_RECORDED = ("everbloom", "flwr", "torch", "opacus", "transformers", "numpy", "pandas", "dp-accounting")


@dataclass(frozen=True)
class RunDirectory:
    """`experiment.toml`, `environment.json`, `rounds.jsonl`, `metrics.jsonl`, `summary.json`, `checkpoint/`."""

    path: Path

    @classmethod
    def create(cls, path: Path, experiment: Experiment) -> "RunDirectory":
        """A new run. Raises `InputError` if anything is there already; nothing is written over."""
        refuse_existing(path)
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path)
        run.write("experiment.toml", experiment.to_toml())
        run.write("environment.json", json.dumps(_environment(experiment.seed), indent=2) + "\n")
        for name in ("rounds", "metrics"):
            (path / f"{name}.jsonl").touch()
        return run

    @classmethod
    def open(cls, path: Path, purpose: str = "to resume") -> "RunDirectory":
        """An existing run; `purpose` is what it is opened for. Raises `CheckpointError` if it is none."""
        for name in ("experiment.toml", "rounds.jsonl", "metrics.jsonl"):
            if not (path / name).is_file():
                raise CheckpointError(f"{path}: no run {purpose} here ({name} is missing)")
        return cls(path)

    @property
    def experiment(self) -> Experiment:
        """The resolved experiment of this run."""
        return load_experiment(self.path / "experiment.toml")

    @property
    def checkpoints(self) -> Path:
        """Where checkpoints are kept."""
        return self.path / "checkpoint"

    def append(self, name: str, record: dict[str, Any]) -> None:
        """Adds one record to `NAME.jsonl`."""
        with (self.path / f"{name}.jsonl").open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(record) + "\n")

    def lengths(self) -> dict[str, int]:
        """Bytes of each record file: what a checkpoint remembers."""
        return {name: (self.path / f"{name}.jsonl").stat().st_size for name in ("rounds", "metrics")}

    def truncate(self, lengths: dict[str, int]) -> None:
        """Drops the records of rounds that will be done again. Raises `CheckpointError` if there are fewer records than that."""
        for name, length in lengths.items():
            if (there := (self.path / f"{name}.jsonl").stat().st_size) < length:
                raise CheckpointError(
                    f"{self.path / name}.jsonl: damaged, {there} bytes are left of the {length} that the checkpoint counts; start a new run"
                )
        for name, length in lengths.items():
            os.truncate(self.path / f"{name}.jsonl", length)

    def records(self, name: str) -> list[dict[str, Any]]:
        """All records of `NAME.jsonl`."""
        return [json.loads(line) for line in (self.path / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]

    def rounds_done(self) -> int:
        """How many rounds are recorded; a line that a kill cut short does not count."""
        return (self.path / "rounds.jsonl").read_bytes().count(b"\n")

    def write(self, name: str, text: str) -> None:
        """Writes a file beside and renames, so that a reader never sees half of it."""
        temporary = self.path / f".{name}.tmp"
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(self.path / name)


def refuse_existing(path: Path) -> None:
    """Raises `InputError` if there is anything at `path` that a new run would write over."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path}: exists and is not empty; give another --out, or continue it with --resume {path}")


def _environment(seed: int) -> dict[str, Any]:
    return {
        "seed": seed,
        "commit": _commit(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in _RECORDED},
    }


def _commit() -> str | None:
    """The commit of the code that runs; None for an installed wheel."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
