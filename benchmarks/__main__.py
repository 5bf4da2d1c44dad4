"""`make bench`, or `python -m benchmarks [--only WORKLOAD ...] [--contenders NAME ...] [--repetitions N]`."""

import argparse

from rich.console import Console

from benchmarks.compare import Comparison, compare
from benchmarks.environment import environment
from benchmarks.report import results, show, show_ratios, write
from benchmarks.workloads import WORKLOADS, prepare_workload


def main() -> None:
    """Measures, shows, writes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[workload.name for workload in WORKLOADS])
    parser.add_argument("--contenders", nargs="+", help="only these")
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="write no results")
    arguments = parser.parse_args()
    console = Console()
    here = environment()
    comparisons: dict[str, Comparison] = {}
    for workload in WORKLOADS:
        if arguments.only and workload.name not in arguments.only:
            continue
        console.print(f"{workload.name}: preparing", style="dim")
        folder = prepare_workload(workload.name, workload.experiment)
        names = [n for n in workload.contenders if not arguments.contenders or n in arguments.contenders]
        comparisons[workload.name] = compare(
            folder,
            names,
            workload.rounds,
            arguments.repetitions,
            lambda line: console.print(line, style="dim", highlight=False),
        )
        show(console, workload.name, workload, comparisons[workload.name])
    found = results(comparisons, here)
    show_ratios(console, found)
    if not arguments.dry:
        console.print(f"written to {write(found)} and .json")


if __name__ == "__main__":
    main()
