"""FedMF: federated matrix factorisation (Chai et al., "Secure federated matrix factorization", IEEE Intelligent Systems 2021), as the common
comparison of PFedRec and its followers trains it: implicit feedback, binary cross entropy, and no encryption.

Client u scores item i with p_u . q_i. In each batch p_u, which stays on the device, and the device's copy of the item embedding take one SGD step
together; the item embedding is averaged. (The paper itself factorises ratings by squared error and encrypts the items' gradients; encryption
changes what the server sees, and no figure.)
"""

from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat

from everbloom.federated_baselines.averaging import averaged
from everbloom.federated_baselines.block import Block
from everbloom.federated_baselines.initial import normal
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.federated_baselines.training import Own, Training
from everbloom.methods import FederatedBaseline
from everbloom.seeding import torch_generator


class FedMF(FederatedBaseline):
    """User vector on the device, item embedding averaged; the score is their dot product."""

    name: Literal["fedmf"]
    paper: ClassVar[str] = "Chai et al., IEEE Intelligent Systems 2021"
    user_rate: PositiveFloat = 0.1
    """Learning rate of the user's vector."""
    item_rate: PositiveFloat = 1000.0
    """Learning rate of the item embedding; the mean over all clients divides by their number again."""
    initial_deviation: PositiveFloat = 0.1
    """Standard deviation of the initial vectors."""

    def initial(self, users: int, items: int, seed: int) -> State:
        """Gaussian; every client draws a vector of its own."""
        generator = torch_generator(seed, "baseline-initial")
        shared = {ITEMS: normal(generator, items, self.dim, deviation=self.initial_deviation)}
        return State(shared, {"user": normal(generator, users, self.dim, deviation=self.initial_deviation)})

    def logits(self, own: Own, items: torch.Tensor) -> torch.Tensor:
        """p_u . q_i."""
        return torch.bmm(items, own["user"][:, :, None]).squeeze(2)

    def train(self, state: State, block: Block) -> Clients:
        """See `FederatedBaseline`."""
        own = {"user": state.personal["user"][torch.from_numpy(block.users)]}
        training = Training(state.shared[ITEMS], own, block, self.logits)
        training.epoch(block, self.batch, ({"user": self.user_rate, ITEMS: self.item_rate},))
        return training.clients()

    def aggregate(self, state: State, clients: Clients, participants: torch.Tensor) -> State:
        """See `FederatedBaseline`."""
        return averaged(state, clients, participants)
