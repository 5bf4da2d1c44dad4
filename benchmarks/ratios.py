"""The figures that the comparison comes down to, each with what it means.

Above 1 the cohort engine is faster than the other; in `pooled` and `overhead`, how far it is above the floor.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

from benchmarks.compare import Clock, Comparison, spread


@dataclass(frozen=True)
class Ratio:
    """Time of the fastest of `slow` over time of the fastest of `fast`, for the same rounds of a workload."""

    name: str
    workload: str
    slow: tuple[str, ...]
    fast: tuple[str, ...]
    says: str


_ENGINE = ("cohort",)
_ENGINE_2 = ("cohort-2",)
_RAY = ("flower-ray", "flower-ray-100")

_FOUR = "the same with 4 local steps"

RATIOS = (
    Ratio(
        "opacus_loop",
        "example-dp-full",
        ("loop",),
        _ENGINE,
        "example-level DP-SGD, one full-batch step: one client after the other through Opacus, over the engine; one process each",
    ),
    Ratio(
        "opacus_loop_poisson",
        "example-dp-poisson",
        ("loop",),
        _ENGINE,
        "the same with 5 steps and Poisson sampling at 0.2",
    ),
    Ratio(
        "plain_loop",
        "user-level-1",
        ("loop",),
        _ENGINE,
        "1 local step, no noise: one client after the other through LocalTrainer, over the engine; one process each",
    ),
    Ratio("plain_loop_4", "user-level-4", ("loop",), _ENGINE, _FOUR),
    Ratio(
        "flower_ray",
        "user-level-1",
        _RAY,
        _ENGINE_2,
        "1 local step, no noise: Flower's Ray engine (with the faster number of nodes), over the engine; both cores each",
    ),
    Ratio("flower_ray_4", "user-level-4", _RAY, _ENGINE_2, _FOUR),
    Ratio(
        "pfl",
        "user-level-1",
        ("pfl",),
        _ENGINE,
        "1 local step, no noise: pfl-research, over the engine; one process each",
    ),
    Ratio("pfl_4", "user-level-4", ("pfl",), _ENGINE, _FOUR),
    Ratio("pfl_2", "user-level-1", ("pfl-2",), _ENGINE_2, "pfl with two processes each"),
    Ratio("pfl_2_4", "user-level-4", ("pfl-2",), _ENGINE_2, "the same with 4 local steps"),
    Ratio(
        "pooled",
        "user-level-1",
        _ENGINE,
        ("pooled",),
        "1 local step, no noise: the engine, over pooled minibatch training of the same examples; one core each. 1: federation costs nothing",
    ),
    Ratio("pooled_4", "user-level-4", _ENGINE, ("pooled",), _FOUR),
    Ratio(
        "pooled_dp",
        "example-dp-full",
        _ENGINE,
        ("pooled",),
        "example-level DP-SGD, one full-batch step: the engine, over pooled training without privacy; one core each",
    ),
    Ratio(
        "overhead",
        "overhead",
        ("round",),
        ("pooled",),
        "whole federated rounds, over pooled minibatch training of as many clients' examples; one core each",
    ),
    Ratio("overhead_2", "overhead", ("round-2",), ("pooled-2",), "the same on both cores"),
)


def ratios_of(comparisons: Mapping[str, Comparison], clock: Clock = "seconds") -> dict[str, dict[str, float]]:
    """name -> median, low and high over the repetitions; those of workloads or contenders that are missing are left out.

    By `cpu_seconds`: the processor's time of all processes, which other programs on the machine hardly change, but which counts no waiting.
    """
    found = {}
    for ratio in RATIOS:
        comparison = comparisons.get(ratio.workload)
        if comparison is None:
            continue
        slow, fast = _fastest(comparison, ratio.slow), _fastest(comparison, ratio.fast)
        values = comparison.ratios(slow, fast, clock) if slow and fast else None
        if values:
            found[ratio.name] = spread(values)
    return found


def _fastest(comparison: Comparison, names: tuple[str, ...]) -> str | None:
    there = {name: comparison.measured[name] for name in names if name in comparison.measured}
    return min(there, key=lambda name: median(r.seconds for r in there[name].repetitions), default=None)
