"""GPFedRec (Zhang et al., "GPFedRec: graph-guided personalization for federated recommendation", KDD 2024).

Client u scores with a perceptron over [p_u, q_i]; p_u and the perceptron are its own. From all clients' item embeddings Q_u the server makes a graph:
u is joined to every v whose cosine similarity to u lies above the mean of all pairs, and R_u is the mean of Q_v over u's neighbours. The next round
begins with Q, the mean of all R_u, and a client adds `regularisation` times the mean square of (its item embedding - R_u) to its loss.

The authors' code compares with the cosine *distance* where the paper says similarity, so that its neighbours are the users that are least alike.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch.nn.functional import normalize

from everbloom.federated_baselines.block import Block
from everbloom.federated_baselines.initial import normal
from everbloom.federated_baselines.perceptron import perceptron, perceptron_logits
from everbloom.federated_baselines.state import ITEMS, Clients, State
from everbloom.federated_baselines.training import Own, Training
from everbloom.methods import FederatedBaseline
from everbloom.seeding import torch_generator

_TARGET = "target"
"""R_u, [users, items x dim]: what the server sends to each client alone."""


class GPFedRec(FederatedBaseline):
    """Everything but the item embedding on the device, each client's drawn to the mean of its neighbours' in a graph of users."""

    name: Literal["gpfedrec"]
    paper: ClassVar[str] = "Zhang et al., KDD 2024"
    own_items: ClassVar[bool] = True
    layers: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (32, 16, 8)
    """Widths of the perceptron's hidden layers."""
    user_rate: PositiveFloat = 7.9
    """Learning rate of the user's vector."""
    score_rate: PositiveFloat = 0.1
    """Learning rate of the perceptron."""
    item_rate: PositiveFloat = 13455.9
    """Learning rate of the item embedding. The authors' is 0.1 x items x 80 - 0.1."""
    regularisation: Annotated[float, Field(ge=0)] = 1.0
    """Weight of the distance to the neighbours' mean."""
    neighbours: Literal["similar", "dissimilar"] = "similar"
    """Who is joined to a user: as the paper says, or as the authors' code does it."""

    def initial(self, users: int, items: int, seed: int) -> State:
        """PyTorch's defaults, as in the authors' code; all clients start alike."""
        generator = torch_generator(seed, "baseline-initial")
        table = normal(generator, items, self.dim)
        own = {"user": normal(generator, self.dim), **perceptron(generator, (2 * self.dim, *self.layers))}
        own[_TARGET] = table.reshape(-1)
        return State({ITEMS: table}, {name: values.repeat(users, *[1] * values.dim()) for name, values in own.items()})

    def logits(self, own: Own, items: torch.Tensor) -> torch.Tensor:
        """The perceptron's output."""
        return perceptron_logits(own, items)

    def train(self, state: State, block: Block) -> Clients:
        """See `FederatedBaseline`. Every row is drawn to R_u, so every row moves."""
        users = torch.from_numpy(block.users)
        own = {name: values[users] for name, values in state.personal.items()}
        target = own.pop(_TARGET).reshape(-1, self.dim)
        sent = state.shared[ITEMS]

        def penalty(rows: torch.Tensor, clients: int) -> torch.Tensor:
            return self.regularisation * (rows - target[: len(rows)]).square().sum() / sent.numel()

        training = Training(sent, own, block, self.logits, dense=True)
        rates = dict.fromkeys(own, self.score_rate) | {"user": self.user_rate, ITEMS: self.item_rate}
        training.epoch(block, self.batch, (rates,), penalty)
        return training.clients()

    def aggregate(self, state: State, clients: Clients, participants: torch.Tensor) -> State:
        """The graph, each client's mean over it, and the mean of these."""
        items = len(state.shared[ITEMS])
        place = clients.start[participants] // items
        tables = clients.embedding.reshape(-1, state.shared[ITEMS].numel())[place]
        means = self._graph(tables) @ tables
        target = state.personal[_TARGET].clone()
        target[participants] = means
        personal = {name: clients.own[name] for name in state.personal if name != _TARGET}
        return State({ITEMS: means.mean(0).reshape(items, -1)}, {**personal, _TARGET: target})

    def _graph(self, tables: torch.Tensor) -> torch.Tensor:
        """[clients, clients] equal weights of each one's neighbours, which sum to 1; who has none is its own."""
        similarity = normalize(tables) @ normalize(tables).T
        likeness = similarity if self.neighbours == "similar" else 1 - similarity
        joined = (likeness > likeness.mean()).to(torch.float32)
        count = joined.sum(1, keepdim=True)
        return torch.where(count > 0, joined / count.clamp(min=1), torch.eye(len(joined)))

    def traffic(self, state: State) -> tuple[int, int]:
        """A client sends its item embedding and receives two: everybody's, and its own R_u."""
        size = 4 * state.shared[ITEMS].numel()
        return size, 2 * size
