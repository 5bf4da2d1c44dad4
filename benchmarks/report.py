"""The results of a run, for people (a table on the terminal and in Markdown) and for programs (JSON with every timing)."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.compare import Comparison
from benchmarks.ratios import RATIOS, ratios_of
from benchmarks.workloads import WORKLOADS, Workload

RESULTS = Path(__file__).resolve().parent / "results"
_COLUMNS = ("contender", "cores", "clients/s", "(low - high)", "CPU ms/client", "peak MB", "start s", "first s")
_RATIO_COLUMNS = ("ratio", "median", "low - high", "by CPU time", "what it is")


def results(comparisons: Mapping[str, Comparison], environment: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, as JSON writes it."""
    ratios, by_cpu = ratios_of(comparisons), ratios_of(comparisons, "cpu_seconds")
    workloads = {workload.name: workload for workload in WORKLOADS}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": dict(environment),
        "ratios": {name: value["median"] for name, value in ratios.items()},
        "ratio_spread": {name: [value["low"], value["high"]] for name, value in ratios.items()},
        "ratio_cpu": {name: value["median"] for name, value in by_cpu.items()},
        "ratio_definitions": {ratio.name: ratio.says for ratio in RATIOS},
        "workloads": {
            name: {
                "says": workloads[name].says,
                "rounds_per_repetition": workloads[name].rounds,
                "contenders": {key: measured.record() for key, measured in comparison.measured.items()},
                "left_out": comparison.left_out,
                "other_work": comparison.other_work(),
            }
            for name, comparison in comparisons.items()
        },
    }


def write(found: Mapping[str, Any]) -> Path:
    """Writes `<date>.json` and `<date>.md`; returns the latter."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{found['date'][:10]}.md"
    path.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    path.write_text(markdown(found), encoding="utf-8")
    return path


def show(console: Console, name: str, workload: Workload, comparison: Comparison) -> None:
    """One workload's table."""
    table = Table(title=f"{name}: {workload.says}", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, justify="left" if column == "contender" else "right")
    for key, measured in comparison.measured.items():
        table.add_row(*_row(key, measured.record()))
    console.print(table)
    for key, why in comparison.left_out.items():
        console.print(f"left out: {key}: {why}", style="yellow", highlight=False)
    for key in comparison.other_work():
        console.print(f"{key}: its updates are not those of the others", style="red")


def show_ratios(console: Console, found: Mapping[str, Any]) -> None:
    """The ratios' table."""
    table = Table(title="ratios")
    for column in _RATIO_COLUMNS:
        table.add_column(column)
    for name in found["ratios"]:
        table.add_row(*_ratio_row(name, found))
    console.print(table)


def markdown(found: Mapping[str, Any]) -> str:
    """The same tables as a page."""
    here = found["environment"]
    lines = [
        f"# Benchmarks, {found['date']}",
        "",
        f"{here['cpu']}, {here['cores']} cores, {here['memory_gb']} GB, {here['platform']}, Python {here['python']}, commit {here['commit']}.",
        f"Load average at the start: {here['load_average_at_start'][0]} (0 is a quiet machine). Versions: {_versions(here['versions'])}.",
        "",
        f"| {' | '.join(_RATIO_COLUMNS)} |",
        "|---" * len(_RATIO_COLUMNS) + "|",
    ]
    lines += [f"| {' | '.join(_ratio_row(name, found))} |" for name in found["ratios"]]
    for name, workload in found["workloads"].items():
        lines += [
            "",
            f"## {name}",
            "",
            f"{workload['says']}.",
            "",
            f"| {' | '.join(_COLUMNS)} |",
            "|---" * len(_COLUMNS) + "|",
        ]
        lines += [f"| {' | '.join(_row(key, record))} |" for key, record in workload["contenders"].items()]
        lines += [f"\nLeft out: {key}: {why}" for key, why in workload["left_out"].items()]
        lines += [f"\n{key}: its updates are not those of the others." for key in workload["other_work"]]
    return "\n".join(lines) + "\n"


def _row(name: str, record: Mapping[str, Any]) -> tuple[str, ...]:
    rate, cpu = record["clients_per_second"], record["cpu_ms_per_client"]
    return (
        name,
        str(record["cores"]),
        f"{rate['median']:.1f}",
        f"{rate['low']:.1f} - {rate['high']:.1f}",
        f"{cpu['median']:.2f}",
        "-" if record["peak_memory_mb"] is None else str(record["peak_memory_mb"]),
        f"{record['start_seconds']:.0f}",
        f"{record['first_repetition_seconds']:.2f}",
    )


def _ratio_row(name: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = found["ratio_spread"][name]
    return (
        name,
        f"{found['ratios'][name]:.2f}",
        f"{low:.2f} - {high:.2f}",
        f"{found['ratio_cpu'][name]:.2f}",
        found["ratio_definitions"][name],
    )


def _versions(environments: Mapping[str, Mapping[str, str]]) -> str:
    return "; ".join(
        f"{name}: {', '.join(f'{package} {number}' for package, number in found.items())}"
        for name, found in environments.items()
        if found
    )
