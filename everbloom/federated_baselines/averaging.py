"""The plain aggregation: the mean over the clients of everything that is shared, each client counting the same."""

from collections.abc import Iterable, Iterator

import torch

from everbloom.federated_baselines.state import ITEMS, Clients, State


def averaged(state: State, clients: Clients, participants: torch.Tensor) -> State:
    """The state after a round. Rows that a client has not touched enter its mean as they were sent; who does not take part keeps what it has.

    The papers write means weighted by the number of examples; their code, and so their figures, weighs every client the same.
    """
    sent = state.shared[ITEMS]
    moved = torch.zeros_like(sent).index_add_(0, clients.item, clients.embedding - sent[clients.item])
    shared = {
        name: sent + moved / len(participants) if name == ITEMS else clients.own[name][participants].mean(0)
        for name in state.shared
    }
    return State(shared, {name: clients.own[name] for name in state.personal})


def gathered(state: State, blocks: Iterable[tuple[torch.Tensor, Clients]]) -> Clients:
    """All clients [users] of one round, from (users, those clients) of each block; who is in none holds what was sent."""
    users = len(next(iter(state.personal.values())))
    known = state.personal | {
        name: values.expand(users, *values.shape) for name, values in state.shared.items() if name != ITEMS
    }
    own: dict[str, torch.Tensor] = {}
    start, end = torch.zeros(users, dtype=torch.int64), torch.zeros(users, dtype=torch.int64)
    items, embeddings = [], []
    for done, (which, clients) in _placed(blocks):
        for name, values in clients.own.items():
            own.setdefault(name, known[name].clone())[which] = values
        start[which], end[which] = done + clients.start, done + clients.end
        items.append(clients.item)
        embeddings.append(clients.embedding)
    return Clients(own, start, end, torch.cat(items), torch.cat(embeddings))


def _placed(
    blocks: Iterable[tuple[torch.Tensor, Clients]],
) -> Iterator[tuple[int, tuple[torch.Tensor, Clients]]]:
    """With how many rows of item embeddings came before each."""
    done = 0
    for which, clients in blocks:
        yield done, (which, clients)
        done += len(clients.item)
