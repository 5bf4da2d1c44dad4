"""PFedRec (Zhang et al., "Dual personalization on federated recommendation", IJCAI 2023): no user vector, but a score function of one's own.

Client u scores item i with w_u . e_i + b_u. In each batch it first moves (w_u, b_u), then, on the same examples and with the moved score function,
its copy of the item embedding. Only the item embedding is averaged. The authors' code also uploads b_u, which nobody reads; here it stays.
"""

from typing import ClassVar, Literal

import torch
from pydantic import PositiveFloat

from everbloom.federated_baselines.averaging import averaged
from everbloom.federated_baselines.block import Block
from everbloom.federated_baselines.initial import linear, normal
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.federated_baselines.training import Own, Training
from everbloom.methods import FederatedBaseline
from everbloom.seeding import torch_generator


class PFedRec(FederatedBaseline):
    """Score function on the device, item embedding averaged and scored with as tuned on the device."""

    name: Literal["pfedrec"]
    paper: ClassVar[str] = "Zhang et al., IJCAI 2023"
    own_items: ClassVar[bool] = True
    score_rate: PositiveFloat = 0.1
    """Learning rate of the score function."""
    item_rate: PositiveFloat = 13456.0
    """Learning rate of the item embedding. The authors' is 0.1 x items x 80: the mean over all clients divides by their number again."""

    def initial(self, users: int, items: int, seed: int) -> State:
        """PyTorch's defaults, as in the authors' code; all clients start with one score function."""
        generator = torch_generator(seed, "baseline-initial")
        shared = {ITEMS: normal(generator, items, self.dim)}
        weight, bias = linear(generator, self.dim, 1)
        return State(shared, {"weight": weight.repeat(users, 1), "bias": bias.repeat(users, 1)})

    def logits(self, own: Own, items: torch.Tensor) -> torch.Tensor:
        """w_u . e_i + b_u."""
        return torch.baddbmm(own["bias"][:, :, None], items, own["weight"][:, :, None]).squeeze(2)

    def train(self, state: State, block: Block) -> Clients:
        """See `FederatedBaseline`."""
        users = torch.from_numpy(block.users)
        own = {name: values[users] for name, values in state.personal.items()}
        training = Training(state.shared[ITEMS], own, block, self.logits)
        training.epoch(
            block, self.batch, ({"weight": self.score_rate, "bias": self.score_rate}, {ITEMS: self.item_rate})
        )
        return training.clients()

    def aggregate(self, state: State, clients: Clients, participants: torch.Tensor) -> State:
        """See `FederatedBaseline`."""
        return averaged(state, clients, participants)
