"""FedRecon (Singhal et al., "Federated reconstruction: partially local federated learning", NeurIPS 2021) on matrix factorisation.

Nothing is kept on the device: in each round client u reconstructs its vector p_u from nothing, with the item embedding as it was sent and on one half
of its examples (support), and then moves its copy of the item embedding on the other half (query), with p_u as it is. The item embedding is averaged.
A client that receives a model reconstructs p_u on all its examples. p_u begins at 0, where the paper draws it: without a draw every
reconstruction of the same examples is the same.
"""

from collections.abc import Iterable, Mapping
from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat, PositiveInt

from everbloom.federated_baselines.averaging import averaged
from everbloom.federated_baselines.block import Block
from everbloom.federated_baselines.initial import normal
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.federated_baselines.training import Own, Training
from everbloom.methods import FederatedBaseline
from everbloom.seeding import torch_generator


class FedRecon(FederatedBaseline):
    """User vector reconstructed in every round, item embedding averaged; the score is their dot product."""

    name: Literal["fedrecon"]
    paper: ClassVar[str] = "Singhal et al., NeurIPS 2021"
    reconstruction_epochs: PositiveInt = 5
    """How often a client goes through its support examples to reconstruct its vector."""
    user_rate: PositiveFloat = 1.0
    """Learning rate of the reconstruction."""
    item_rate: PositiveFloat = 5000.0
    """Learning rate of the item embedding; the mean over all clients divides by their number again."""
    initial_deviation: PositiveFloat = 0.1
    """Standard deviation of the initial item embedding."""

    def initial(self, users: int, items: int, seed: int) -> State:
        """Items Gaussian, users 0."""
        generator = torch_generator(seed, "baseline-initial")
        shared = {ITEMS: normal(generator, items, self.dim, deviation=self.initial_deviation)}
        return State(shared, {"user": torch.zeros(users, self.dim)})

    def logits(self, own: Own, items: torch.Tensor) -> torch.Tensor:
        """p_u . q_i."""
        return torch.bmm(items, own["user"][:, :, None]).squeeze(2)

    def train(self, state: State, block: Block) -> Clients:
        """See `FederatedBaseline`."""
        support, query = block.halves()
        training = self._reconstructed(state, block, support)
        training.epoch(query, self.batch, ({ITEMS: self.item_rate},))
        return training.clients()

    def aggregate(self, state: State, clients: Clients, participants: torch.Tensor) -> State:
        """See `FederatedBaseline`."""
        return averaged(state, clients, participants)

    def received(self, state: State, clients: Clients, examples: Iterable[Block]) -> Mapping[str, torch.Tensor]:
        """Vectors reconstructed for the received item embedding."""
        user = torch.zeros_like(state.personal["user"])
        for block in examples:
            user[torch.from_numpy(block.users)] = self._reconstructed(state, block, block).own["user"]
        return {"user": user}

    def _reconstructed(self, state: State, block: Block, support: Block) -> Training:
        own = {"user": torch.zeros(len(block.users), self.dim)}
        training = Training(state.shared[ITEMS], own, block, self.logits)
        for _ in range(self.reconstruction_epochs):
            training.epoch(support, self.batch, ({"user": self.user_rate},))
        return training
