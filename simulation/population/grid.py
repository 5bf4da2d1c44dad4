"""An in-process grid whose devices come and go on a simulated clock."""

import math
from collections.abc import Iterator

import numpy as np
from flwr.app import Error, Message
from flwr.common.constant import ErrorCode
from numpy.typing import NDArray

from everbloom.errors import InputError
from everbloom.study import Study
from everbloom.wire import TRAIN
from simulation.grid import Answer, InProcessGrid, client_of
from simulation.population.population import Population, RoundTimes, open_population


class TimedGrid(InProcessGrid):
    """Asks `answer` for those alone who answer in time, so that nothing is computed for the others; `now` moves on to the round's close.

    Those who fail become error replies that say why, ahead of the answers. Those who were not needed any more stay silent, as they would between
    real machines, where nobody waits for them.
    """

    def __init__(self, clients: int, answer: Answer, population: Population) -> None:
        super().__init__(clients, self._in_time)
        self._everybody = answer
        self._population = population
        self.now = 0.0

    def available(self, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
        """See `KnowsTime`."""
        return self._population.there(clients, self.now)

    def wait_for(self, clients: NDArray[np.int64]) -> None:
        """See `KnowsTime`."""
        then = self._population.next_time(clients, self.now)
        if not math.isfinite(then):
            raise InputError(
                f"population.availability: after simulated second {self.now:.0f} none of the {len(clients)} devices that may still take part "
                "can ever be asked (looking a year ahead); make devices available more often"
            )
        self.now = then

    def _in_time(self, messages: list[Message]) -> Iterator[Message]:
        if not messages or messages[0].metadata.message_type != TRAIN:
            yield from self._everybody(messages)
            return
        times = self._times(messages)
        self.now += times.closing.seconds
        for place in np.flatnonzero(times.failed).tolist():
            yield Message(Error(ErrorCode.NODE_UNAVAILABLE, times.reason(place)), reply_to=messages[place])
        punctual = [messages[place] for place in np.flatnonzero(times.closing.in_time).tolist()]
        if punctual:
            yield from self._everybody(punctual)

    def _times(self, messages: list[Message]) -> RoundTimes:
        task = messages[0].content.config_records["task"]
        period, round = task["period"], task["round"]
        assert isinstance(period, int)
        assert isinstance(round, int)
        clients = np.array([client_of(message.metadata.dst_node_id) for message in messages], dtype=np.int64)
        return self._population.round(clients, self.now, period, round)


def simulated_grid(study: Study, answer: Answer) -> InProcessGrid:
    """The grid of an experiment, on a clock if it has a [population]. Raises `InputError` if that does not fit."""
    population = open_population(study)
    return InProcessGrid(study.clients, answer) if population is None else TimedGrid(study.clients, answer, population)
