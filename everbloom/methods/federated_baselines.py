"""What a result is compared with: published federated recommenders."""

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import PositiveInt

from everbloom.registry import Method, Registry

if TYPE_CHECKING:
    import torch

    from everbloom.federated_baselines.block import Block
    from everbloom.federated_baselines.state import Clients, State


class FederatedBaseline(Method):
    """A published federated recommender with a model, a local update and an aggregation of its own, to compare with. It has no privacy guarantee.

    Every client takes part in every round. Nothing here loops over clients: they come in blocks, with a row each.
    """

    paper: ClassVar[str]
    """Where it was published."""
    own_items: ClassVar[bool] = False
    """Whether the paper scores with each client's own item embedding, as trained in the round and not averaged; else with the server's."""
    dim: PositiveInt = 32
    """Width of the item embedding."""
    negatives: PositiveInt = 4
    """Items drawn for each positive, anew in each round."""
    batch: PositiveInt = 256
    """Examples of one client in a local step."""
    local_epochs: PositiveInt = 1
    """How often a client goes through its examples in a round."""
    held_out_negatives: bool = True
    """Whether what is held out for evaluation may be drawn as a negative, as on a real device, which does not know the future. `false`, as in the
    authors' code, spares it, and so tells the model of it: for figures to compare with theirs only."""

    @abstractmethod
    def initial(self, users: int, items: int, seed: int) -> "State":
        """Before the first round."""

    @abstractmethod
    def train(self, state: "State", block: "Block") -> "Clients":
        """The block's clients after their local training."""

    @abstractmethod
    def aggregate(self, state: "State", clients: "Clients", participants: "torch.Tensor") -> "State":
        """The state after a round, from all clients [users]; `participants`: who of them has trained."""

    @abstractmethod
    def logits(self, own: "Mapping[str, torch.Tensor]", items: "torch.Tensor") -> "torch.Tensor":
        """[clients, n] from the clients' parameters `own` [clients, ...] and item embeddings [clients, n, dim]."""

    def received(self, state: "State", clients: "Clients", examples: "Iterable[Block]") -> "Mapping[str, torch.Tensor]":
        """The parameters [users, ...] that clients score with once they have received `state`, the result of the round that left them so.

        `examples`: those of that round once more, for a method that fits something to what is received.
        """
        users = len(clients.start)
        shared = {
            name: values.expand(users, *values.shape) for name, values in state.shared.items() if name in clients.own
        }
        return {name: values for name, values in state.personal.items() if name in clients.own} | shared

    def traffic(self, state: "State") -> tuple[int, int]:
        """Bytes that one client sends and receives in a round; the papers send every shared parameter both ways."""
        size = 4 * sum(values.numel() for values in state.shared.values())
        return size, size


FEDERATED_BASELINES: Registry[FederatedBaseline] = Registry(
    "federated baseline",
    FederatedBaseline,  # type: ignore[type-abstract]
    {
        "fedmf": "everbloom.federated_baselines.fedmf:FedMF",
        "fedncf": "everbloom.federated_baselines.fedncf:FedNCF",
        "fedrecon": "everbloom.federated_baselines.fedrecon:FedRecon",
        "pfedrec": "everbloom.federated_baselines.pfedrec:PFedRec",
        "gpfedrec": "everbloom.federated_baselines.gpfedrec:GPFedRec",
    },
)
