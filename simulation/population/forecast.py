"""What a [population] implies, before anything is trained: its rounds are played without their arithmetic."""

from dataclasses import dataclass
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from everbloom.seeding import uniforms
from everbloom.study import Study
from server.sampling import asked_size
from simulation.population.population import Population

_TIMES = 48
"""A cycle is looked at so many times."""
_CLIENTS = 20_000
"""On so many of the clients; more would say the same."""


@dataclass(frozen=True)
class Forecast:
    """Means over rounds that begin at times spread evenly over a cycle of the availability (a day, or a trace's)."""

    lowest: float
    """The share of the population that can be asked at the worst time."""
    lowest_at: float
    """Seconds into the cycle."""
    mean: float
    highest: float
    highest_at: float
    asked: float
    """Devices a round."""
    answers: float
    failed: float
    unneeded: float
    seconds: float
    """From asking to the close."""
    void: float
    """Share of the rounds in which fewer than `federation.min_replies` answer."""
    wanted: int

    @property
    def failing(self) -> float:
        """The share of those who are asked that fails."""
        return self.failed / self.asked if self.asked else 0.0


def forecast(study: Study, population: Population) -> Forecast:
    """Plays a cycle's rounds with everybody's budget whole, as a function of the experiment alone."""
    federation = study.experiment.federation
    seed, everybody = study.experiment.seed, np.arange(study.clients)
    if study.clients > _CLIENTS:
        everybody = np.sort(np.argsort(uniforms(seed, "forecast", everybody, 1)[:, 0])[:_CLIENTS])
    scale = study.clients / len(everybody)
    most = asked_size(federation, study.clients)
    cycle = population.presence.cycle
    shares: list[float] = []
    played: list[tuple[int, int, int, int, float]] = []
    for step in range(_TIMES):
        at = step * cycle / _TIMES
        now = at - population.config.start_seconds
        there = everybody[population.there(everybody, now)]
        shares.append(len(there) / len(everybody))
        if not len(there):
            continue  # the server would wait
        cohort = _some(there, min(most, round(len(there) * scale)), seed, step)
        times = population.round(cohort, now, period=-1, round=step)  # no round of the run draws the same
        answers, failed = int(times.closing.in_time.sum()), int(times.failed.sum())
        played.append((len(cohort), answers, failed, len(cohort) - answers - failed, times.closing.seconds))
    columns = zip(*played, strict=True) if played else [(0,)] * 5
    asked, answered, failing, unneeded, seconds = (fmean(column) for column in columns)
    low, high = int(np.argmin(shares)), int(np.argmax(shares))
    return Forecast(
        lowest=shares[low],
        lowest_at=low * cycle / _TIMES,
        mean=fmean(shares),
        highest=shares[high],
        highest_at=high * cycle / _TIMES,
        asked=asked,
        answers=answered,
        failed=failing,
        unneeded=unneeded,
        seconds=seconds,
        void=fmean(answers < federation.min_replies for _, answers, *_ in played) if played else 1.0,
        wanted=federation.cohort_size(study.clients),
    )


def _some(there: NDArray[np.int64], size: int, seed: int, step: int) -> NDArray[np.int64]:
    """`size` of those who are there; of a sample of a large population perhaps one twice, which changes no mean."""
    draws = uniforms(seed, "forecast-cohort", np.arange(max(size, len(there))), 1, round=step)[:, 0]
    if size <= len(there):
        return np.sort(there[np.argsort(draws[: len(there)])[:size]])
    return np.sort(there[(draws[:size] * len(there)).astype(np.int64)])
