"""How methods differ for people like these and not only for these: differences to fine-tuning over resampled users and seeds together."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from everbloom.continual import measures
from everbloom.evaluation.records import FEDERATED
from everbloom.evaluation.user_records import FOLDER, looked_back, of_test, read_user_records
from everbloom.intervals import Estimate
from everbloom.resampling import MeansOverUsers, resampled_users
from everbloom.seeding import numpy_generator
from server.run_directory import RunDirectory
from simulation.campaign.periods import MAIN

RESAMPLES = 1000
"""So many give a standard deviation to 2%."""
COMPARED: Mapping[str, Callable[[NDArray[np.float64]], float]] = {
    "forgetting": measures.average_forgetting,
    "backward_transfer": measures.backward_transfer,
    "stability": measures.stability,
    "final": measures.final_mean,
}
"""What is compared beside quality on the next period: measures of the matrix A."""


Resampled = Mapping[str, NDArray[np.float64]]
"""measure -> [resamples] what a run would have measured on each resample of the users."""


@dataclass
class Population:
    """The users of a comparison, resampled once for all of its runs. `users`: their number."""

    seed: int
    users: int = 0
    known: dict[RunDirectory, Resampled] = field(default_factory=dict)
    """Of runs that were read before: finished ones do not change."""

    def resampled(self, run: RunDirectory, periods: int) -> Resampled | None:
        """What a finished run would have measured on each resample. None if it has no records per user."""
        if run not in self.known:
            measured = _measured(run, periods)
            if measured is None:
                return None
            self.known[run] = self._resampled(measured, periods)
        return self.known[run]

    def _resampled(self, measured: "_Cells", periods: int) -> Resampled:
        means = MeansOverUsers.of(dict(enumerate(measured.cells)), self.users)
        generator = numpy_generator(self.seed, "resampled-users")
        found: dict[str, list[float]] = {name: [] for name in (MAIN, *COMPARED)}
        for weights in resampled_users(self.users, RESAMPLES, generator):
            for row in means.weighted(weights):
                matrix = np.full((periods, periods), np.nan)
                ahead = row[: measured.ahead]
                found[MAIN].append(float(np.nanmean(ahead)) if not np.isnan(ahead).all() else np.nan)
                matrix[measured.after, measured.period] = row[measured.ahead :]
                for name, measure in COMPARED.items():
                    found[name].append(measure(matrix))
        return {name: np.array(values) for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class _Cells:
    """The measurements of a run: first `ahead` ones of everybody on the next period, then entries (after, period) of the matrix."""

    cells: Sequence[tuple[NDArray[np.int32], NDArray[np.float32]]]
    ahead: int
    after: NDArray[np.int64]
    period: NDArray[np.int64]


def _measured(run: RunDirectory, periods: int) -> _Cells | None:
    ahead = [_values(run, of_test(period, FEDERATED)) for period in range(1, periods)]
    places, memory = [], []
    for after in range(periods):
        for period in range(1, min(after + 2, periods)):
            found = _values(run, looked_back(after, period))
            if found is None and period == after + 1:  # without a panel it is the test of everybody
                found = ahead[after]
            places.append((after, period))
            memory.append(found)
    cells = [cell for cell in (*ahead, *memory) if cell is not None]
    if len(cells) < len(ahead) + len(memory):
        return None
    rows, columns = np.array(places, dtype=np.int64).T
    return _Cells(cells, len(ahead), rows, columns)


def _values(run: RunDirectory, name: str) -> tuple[NDArray[np.int32], NDArray[np.float32]] | None:
    """(users, values) of a test; None where there are none. Raises `DataError` if they are damaged."""
    if not (run.path / FOLDER / name).is_file():
        return None
    records = read_user_records(run.path, name)
    return (records.user, records.values[MAIN]) if MAIN in records.values else None


def compared(
    values: Mapping[str, Mapping[int, float]],
    reference: Mapping[str, Mapping[int, float]],
    ours: Mapping[int, Resampled],
    theirs: Mapping[int, Resampled],
) -> dict[str, Estimate]:
    """measure -> difference to the reference with an interval over users and seeds, by the seeds that both have.

    `values`, `reference`: measure -> seed -> value. `ours`, `theirs`: by seed, on the same resamples of the users.
    """
    found: dict[str, Estimate] = {}
    for name in (MAIN, *COMPARED):
        seeds = [seed for seed in ours if seed in theirs and seed in values.get(name, {})]
        if not seeds:
            continue
        differences = [values[name][seed] - reference[name][seed] for seed in seeds]
        again = np.mean([ours[seed][name] - theirs[seed][name] for seed in seeds], axis=0)
        told = again[~np.isnan(again)]  # where nobody was drawn who was measured, a resample tells nothing
        if len(told) < RESAMPLES / 2:
            continue
        estimate = Estimate.of_people(differences, float(np.std(told, ddof=1)))
        if estimate is not None:
            found[name] = estimate
    return found
