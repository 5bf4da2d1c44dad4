"""What an attacker sees of one device's updates, if it knows everything else: the mechanism's noise, and nothing of what others sent.

Under noise on the device that is the message itself. Where the server is trusted, or sees sums only, it is the released mean of a round in which all
other devices sent zeros: who knows what they sent can subtract it.
"""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.privacy.mechanisms.distributed import DistributedPlan
from everbloom.privacy.noise import NoiseSource, SeededNoise
from everbloom.privacy.opening import State
from everbloom.privacy.plan import PrivacyPlan
from everbloom.seeding import torch_generator


class Seen:
    """Of some devices, each by itself; remembers what a server remembers from round to round."""

    def __init__(self, plan: PrivacyPlan | None, parameters: int, seed: int) -> None:
        self.plan = plan
        self.parameters = parameters
        self.seed = seed
        self._states: dict[int, State] = {}

    def of(self, clients: NDArray[np.int64], sent: NDArray[Any], round: int) -> NDArray[np.float32]:
        """What the clients sent [clients, numbers] in a round, from 1 -> what can be seen of it [clients, params] float32."""
        plan = self.plan
        if plan is None or plan.release is None:
            return sent
        others, shares = self._others(plan, round)
        seen = np.empty((len(sent), self.parameters), dtype=np.float32)
        for place, client in enumerate(clients.tolist()):
            state = self._states.get(client) or plan.server.begin(self.parameters)
            total = plan.server.zero(self.parameters) + others
            total += sent[place].astype(total.dtype)
            noise = self._noise("audit-server", round, client)
            opened = plan.server.open(state, total, shares, self.parameters, round - 1, noise)
            seen[place], self._states[client] = opened.mean, opened.state
        return seen

    def _others(self, plan: PrivacyPlan, round: int) -> tuple[NDArray[Any] | int, int]:
        """(sum of the zeros that others send, with their shares of noise; how many devices that makes with the one looked at)."""
        if not isinstance(plan, DistributedPlan):
            return 0, 1
        total = plan.server.zero(self.parameters)
        for other in range(plan.min_cohort - 1):
            source = self._noise("audit-others", round, other)
            total += plan.release.finish(torch.zeros((1, self.parameters)), plan.clip_norm, [source])[0]
        return total, plan.min_cohort

    def _noise(self, purpose: str, round: int, client: int) -> NoiseSource:
        return SeededNoise(torch_generator(self.seed, purpose, round=round, client=client))
