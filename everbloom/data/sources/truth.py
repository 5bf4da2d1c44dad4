"""What a synthetic population really prefers in each step: what measures of drift are held to, and how simulated users
react to what they are recommended.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.data.sources.assortment import Assortment, draw_assortment
from everbloom.data.sources.synthetic import START, Synthetic, draw_block
from everbloom.data.sources.tastes import topic_shares


@dataclass(frozen=True, eq=False)
class Truth:
    """The ground truth of a synthetic population. User u and item i are those with the ids u and i in the source.

    A prepared log has its own order of users and items: `log.user_ids` and `catalog.item_ids` hold the source's ids.

    `joined` [users]: the step in which a user's first event can be. `tastes` [users, steps, topics]: probability of each
    topic (sum 1). `start` [steps]: Unix seconds at which a step begins.
    """

    joined: NDArray[np.int64]
    tastes: NDArray[np.float64]
    start: NDArray[np.float64]
    assortment: Assortment

    @property
    def mixtures(self) -> NDArray[np.float64]:
        """[items, topics] shares of the topics in each item (sum 1)."""
        return self.assortment.mixture

    @property
    def available(self) -> NDArray[np.bool_]:
        """[steps, items] whether an item can be chosen: arrived by the beginning of the step, and not retired."""
        return self.assortment.there

    @property
    def popularity(self) -> NDArray[np.float64]:
        """[steps, items] weights of Zipf's law, of all items, available or not."""
        return self.assortment.popularity

    def step_at(self, time: NDArray[np.int64]) -> NDArray[np.int64]:
        """[times] the step of each time (Unix seconds); the first and the last one also hold for what is outside."""
        return np.clip(np.searchsorted(self.start, time, side="right") - 1, 0, len(self.start) - 1)

    def choice(self, step: int, users: NDArray[np.int64] | None = None) -> NDArray[np.float64]:
        """[users, items] probability that an event of a user in a step is with an item; rows sum to 1, and what is not available has 0.

        sum over topics t of P(t | user, step) P(item | t, step). Of one event on its own: staying with the topic of the event before
        (`persistence`) and leaving out what the user has met (`repeats = false`) come on top. `users` None: all of them.
        """
        tastes = self.tastes[:, step] if users is None else self.tastes[users, step]
        return np.asarray(tastes @ self.assortment.given_topic(step).T)


def truth(config: Synthetic) -> Truth:
    """The ground truth of the data that these settings give; holds all users at once, so for modest sizes only."""
    arrivals, tastes = [], []
    for block, users in config.blocks():
        _, arrival, walk = draw_block(config, block, users)
        arrivals.append(arrival)
        tastes.append(topic_shares(config, walk))
    joined = np.minimum(np.concatenate(arrivals) // config.step_seconds, config.periods - 1).astype(np.int64)
    start = np.asarray(START + np.arange(config.periods) * config.step_seconds, dtype=np.float64)
    return Truth(joined, np.concatenate(tastes), start, draw_assortment(config))
