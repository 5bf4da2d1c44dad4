"""FedNCF (Perifanis & Efraimidis, "Federated neural collaborative filtering", Knowledge-Based Systems 2022), its multi-layer perceptron, as the
common comparison of PFedRec and its followers trains it.

Client u scores item i with a perceptron over [p_u, q_i]. In each batch p_u, which stays on the device, and the device's copies of the perceptron and
the item embedding take one SGD step together; perceptron and item embedding are averaged.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt

from everbloom.federated_baselines.averaging import averaged
from everbloom.federated_baselines.block import Block
from everbloom.federated_baselines.initial import normal
from everbloom.federated_baselines.perceptron import perceptron, perceptron_logits
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.federated_baselines.training import Own, Training
from everbloom.methods import FederatedBaseline
from everbloom.seeding import torch_generator


class FedNCF(FederatedBaseline):
    """User vector on the device; item embedding and perceptron averaged."""

    name: Literal["fedncf"]
    paper: ClassVar[str] = "Perifanis & Efraimidis, Knowledge-Based Systems 2022"
    layers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 16, 8)
    """Widths of the perceptron's hidden layers."""
    user_rate: PositiveFloat = 0.1
    """Learning rate of the user's vector."""
    score_rate: PositiveFloat = 0.1
    """Learning rate of the perceptron."""
    item_rate: PositiveFloat = 1000.0
    """Learning rate of the item embedding; the mean over all clients divides by their number again."""
    initial_deviation: PositiveFloat = 1.0
    """Standard deviation of the initial vectors."""

    def initial(self, users: int, items: int, seed: int) -> State:
        """Vectors Gaussian, every client's its own; the perceptron as PyTorch draws it."""
        generator = torch_generator(seed, "baseline-initial")
        vectors = {ITEMS: normal(generator, items, self.dim, deviation=self.initial_deviation)}
        user = normal(generator, users, self.dim, deviation=self.initial_deviation)
        return State({**vectors, **perceptron(generator, (2 * self.dim, *self.layers))}, {"user": user})

    def logits(self, own: Own, items: torch.Tensor) -> torch.Tensor:
        """The perceptron's output."""
        return perceptron_logits(own, items)

    def train(self, state: State, block: Block) -> Clients:
        """See `FederatedBaseline`."""
        clients = len(block.users)
        sent = {name: values for name, values in state.shared.items() if name != ITEMS}
        own = {name: values.repeat(clients, *[1] * values.dim()) for name, values in sent.items()}
        own["user"] = state.personal["user"][torch.from_numpy(block.users)]
        training = Training(state.shared[ITEMS], own, block, self.logits)
        rates = dict.fromkeys(sent, self.score_rate)
        training.epoch(block, self.batch, ({"user": self.user_rate, ITEMS: self.item_rate, **rates},))
        return training.clients()

    def aggregate(self, state: State, clients: Clients, participants: torch.Tensor) -> State:
        """See `FederatedBaseline`."""
        return averaged(state, clients, participants)
