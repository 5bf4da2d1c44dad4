"""One workload's measurement: contenders take turns, repetition by repetition, on the same rounds."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Literal

from benchmarks.contestants import CONTESTANTS, Contestant
from benchmarks.processes import Contender, Failed, Repetition

Tell = Callable[[str], None]
Clock = Literal["seconds", "cpu_seconds"]

_SAME = 1e-3
"""Relative difference of a round's mean update up to which two contenders did the same work: floating point over several steps."""


@dataclass
class Measured:
    """A contender's part of a comparison."""

    contestant: Contestant
    start_seconds: float
    facts: Mapping[str, Any]
    first: Repetition
    """Not counted: caches, pools and lazy imports are filled here."""
    repetitions: list[Repetition] = field(default_factory=list)
    peak_memory_mb: float | None = None

    def record(self) -> dict[str, Any]:
        """All raw numbers and the summary."""
        rates = [r.clients / r.seconds for r in self.repetitions]
        return {
            "says": self.contestant.says,
            "cores": self.contestant.cores,
            "facts": dict(self.facts),
            "start_seconds": round(self.start_seconds, 2),
            "first_repetition_seconds": round(self.first.seconds, 4),
            "repetitions": [
                {
                    "seconds": round(r.seconds, 5),
                    "cpu_seconds": round(r.cpu_seconds, 3),
                    "clients": r.clients,
                    "load": round(r.load, 2),
                }
                for r in self.repetitions
            ],
            "clients_per_second": spread(rates),
            "cpu_ms_per_client": spread([1000 * r.cpu_seconds / r.clients for r in self.repetitions]),
            "peak_memory_mb": None if self.peak_memory_mb is None else round(self.peak_memory_mb),
        }


@dataclass
class Comparison:
    """What a workload gave; `left_out`: contender -> why it is not here."""

    measured: dict[str, Measured] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def ratios(self, slow: str, fast: str, clock: Clock = "seconds") -> list[float] | None:
        """Per repetition: how many times as long `slow` took as `fast` for the same rounds; None if one of them is missing."""
        pair = [self.measured.get(name) for name in (slow, fast)]
        if pair[0] is None or pair[1] is None:
            return None
        return [
            (getattr(a, clock) / a.clients) / (getattr(b, clock) / b.clients)
            for a, b in zip(pair[0].repetitions, pair[1].repetitions, strict=True)
        ]

    def other_work(self) -> list[str]:
        """Contenders whose updates are not those of the others: their times would compare different work."""
        found = []
        with_norms = {name: m for name, m in self.measured.items() if any(m.first.norms)}
        for number in range(min((len(m.repetitions) for m in with_norms.values()), default=0)):
            norms = {name: m.repetitions[number].norms for name, m in with_norms.items()}
            usual = [median(column) for column in zip(*norms.values(), strict=True)]
            found += [
                name
                for name, own in norms.items()
                if any(abs(a - b) > _SAME * b for a, b in zip(own, usual, strict=True))
            ]
        return sorted(set(found))


def compare(folder: Path, names: Sequence[str], rounds: int, repetitions: int, tell: Tell) -> Comparison:
    """Starts everybody, then a b c ... a b c ...; last a repetition each for memory. A contender that fails is left out."""
    result = Comparison()
    running: dict[str, Contender] = {}

    def drop(name: str, why: Failed) -> None:
        result.left_out[name] = str(why)
        result.measured.pop(name, None)
        tell(f"{name}: left out, {why}")
        if contender := running.pop(name, None):
            contender.stop()

    try:
        for name in names:
            try:
                running[name] = contender = Contender(CONTESTANTS[name], folder)
                first = contender.repeat(_rounds(0, rounds))
                result.measured[name] = Measured(contender.contestant, contender.start_seconds, contender.facts, first)
                tell(f"{name}: ready after {contender.start_seconds:.1f} s, first repetition {first.seconds:.2f} s")
            except Failed as why:
                drop(name, why)
        for number in range(1, repetitions + 1):
            for name, contender in list(running.items()):
                try:
                    done = contender.repeat(_rounds(number, rounds))
                    result.measured[name].repetitions.append(done)
                    tell(f"{number}/{repetitions} {name}: {done.clients / done.seconds:.1f} clients/s")
                except Failed as why:
                    drop(name, why)
        for name, contender in list(running.items()):
            try:
                result.measured[name].peak_memory_mb = contender.peak_memory(_rounds(0, rounds))
            except Failed as why:
                drop(name, why)
    finally:
        for contender in running.values():
            contender.stop()
    return result


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and greatest."""
    return {"median": _short(median(values)), "low": _short(min(values)), "high": _short(max(values))}


def _short(value: float) -> float:
    return float(f"{value:.4g}")


def _rounds(repetition: int, rounds: int) -> list[int]:
    return [1 + repetition * rounds + number for number in range(rounds)]
