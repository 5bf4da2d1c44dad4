"""The devices of an experiment as its [population] table describes them: a pure function of the experiment, the data and the time."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.availability.presence import Presence
from everbloom.config import PopulationConfig
from everbloom.errors import ConfigError
from everbloom.seeding import uniforms
from everbloom.study import Study
from server.sampling import wanted_answers
from simulation.population.closing import Closing, close_round
from simulation.population.timing import seconds_per_example, transfer_seconds

Work = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Client numbers [clients] -> how many examples each computes a gradient of in a round."""


@dataclass(frozen=True, eq=False)
class RoundTimes:
    """What comes of a round, [asked] each: `takes` seconds until a device would have answered, had it not `dropped` out; when it `leaves`."""

    takes: NDArray[np.float64]
    dropped: NDArray[np.bool_]
    leaves: NDArray[np.float64]
    deadline: float
    closing: Closing

    @property
    def failed(self) -> NDArray[np.bool_]:
        """[asked] who let the server down. In a full round not those who would still have come, nor those who left once it was closed."""
        if not self.closing.full:
            return ~self.closing.in_time
        lost: NDArray[np.bool_] = self.dropped | (self.takes > self.leaves) & (self.leaves <= self.closing.seconds)
        return lost & ~self.closing.in_time

    def reason(self, place: int) -> str:
        """Why the device at `place` failed, in words."""
        if self.dropped[place]:
            return "the device dropped out"
        if self.takes[place] > self.leaves[place]:
            return f"the device left after {self.leaves[place]:.1f} of the {self.takes[place]:.1f} s that it needed"
        return f"the device needed {self.takes[place]:.1f} s, federation.reply_timeout is {self.deadline:g} s"


@dataclass(frozen=True, eq=False)
class Population:
    """Times are simulated seconds since the run began. Everything is computed for the clients that are asked about alone."""

    config: PopulationConfig
    presence: Presence
    seed: int
    work: Work
    message_bytes: int
    wanted: int
    deadline: float

    def there(self, clients: NDArray[np.int64], now: float) -> NDArray[np.bool_]:
        """[clients] who can be asked."""
        return self.presence.there(clients, self.config.start_seconds + now)

    def next_time(self, clients: NDArray[np.int64], now: float) -> float:
        """When one of `clients` can be asked, `now` or later; infinite if never."""
        if self.there(clients, now).any():
            return now
        return self.presence.next_time(clients, self.config.start_seconds + now) - self.config.start_seconds

    def takes(self, clients: NDArray[np.int64]) -> NDArray[np.float64]:
        """[clients] seconds from being asked to the answer's arrival."""
        pace = self.presence.seconds_per_example(clients)
        if pace is None:
            pace = seconds_per_example(self.config.speed, self.seed, clients)
        transfer = transfer_seconds(self.config.bandwidth, self.seed, clients, self.message_bytes)
        return self.config.overhead_seconds + transfer + pace * self.work(clients)

    def round(self, clients: NDArray[np.int64], now: float, period: int, round: int) -> RoundTimes:
        """What comes of asking `clients` now."""
        draws = uniforms(self.seed, "device-round", clients, 2, period=period, round=round)
        takes = self.takes(clients)
        dropped = draws[:, 0] < self.config.dropout
        leaves = self.presence.until(clients, self.config.start_seconds + now) - self.config.start_seconds - now
        arrives = np.where(dropped | (takes > leaves), np.inf, takes)
        closing = close_round(arrives, self.wanted, self.deadline, order=draws[:, 1])
        return RoundTimes(takes, dropped, leaves, self.deadline, closing)


def open_population(study: Study) -> Population | None:
    """The population of an experiment; None if everybody is always there. Raises `InputError` if what it rests on does not fit."""
    experiment = study.experiment
    if experiment.population is None:
        if experiment.federation.over_selection:
            raise ConfigError(
                "federation.over_selection: without a [population] every device answers at once and nobody too many need be asked; "
                "describe the devices in a [population] table, or set it to 0"
            )
        return None
    return Population(
        config=experiment.population,
        presence=experiment.population.availability.open(study.clients, experiment.seed),
        seed=experiment.seed,
        work=_work(study),
        message_bytes=4 * study.layout.size(),
        wanted=wanted_answers(experiment.federation, study.clients),
        deadline=experiment.federation.reply_timeout,
    )


def _work(study: Study) -> Work:
    """A device's events stand for its examples of any period; no more of them than it may train on."""
    learning, history = study.experiment.learning, study.experiment.model.user.history
    private = None if study.plan is None else study.plan.dp_sgd
    steps = learning.local_steps * (1.0 if private is None else private.sample_rate)
    most = np.inf
    if learning.max_examples is not None:
        most = learning.max_examples * (history if learning.examples == "windows" else 1)
    offsets = study.dataset.events.offsets

    def work(clients: NDArray[np.int64]) -> NDArray[np.float64]:
        events = offsets[clients + 1] - offsets[clients]
        examples: NDArray[np.float64] = np.minimum(events, most)
        return steps * examples

    return work
