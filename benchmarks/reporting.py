"""How long `everbloom report` takes on a run of 200 rounds, in a process of its own; `python -m benchmarks.reporting [--repeats N]`.

Each call starts Python, reads the records, opens the study for examples and writes the page. The fastest counts; the median stands beside it, and
what the process itself computed, which does not depend on what else the machine does.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from time import perf_counter

import everbloom
from benchmarks.workloads import REPO


def main() -> None:
    """Makes the run, and reports on it so many times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        run = everbloom.run(REPO / "configs" / "smoke.toml", {"federation.rounds": 100}, out=Path(folder) / "run")
        times = [_report(run.path) for _ in range(repeats)]
        size = (run.path / "report.html").stat().st_size
    walls, computed = zip(*times, strict=True)
    print(
        f"{len(run.rounds)} rounds, {len(run.metrics)} measurements: {min(walls):.2f} s (median {median(walls):.2f} s, "
        f"{min(computed):.2f} s of processor time), {size / 1e3:.0f} kB"
    )


def _report(path: Path) -> tuple[float, float]:
    """(seconds on the clock, seconds of processor time)."""
    before, began = os.times(), perf_counter()
    subprocess.run([sys.executable, "-m", "simulation.cli", "report", str(path)], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    computed = after.children_user + after.children_system - before.children_user - before.children_system
    return perf_counter() - began, computed


if __name__ == "__main__":
    main()
