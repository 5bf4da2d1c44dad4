"""What the federation of a baseline knows between rounds, and what its clients hold after one."""

from dataclasses import dataclass

import torch

ITEMS = "items"
"""The shared item embedding [items, dim], which every method has."""


@dataclass(frozen=True, eq=False)
class State:
    """`shared`: what the server holds, `ITEMS` among it. `personal` [users, ...]: what stays on the clients."""

    shared: dict[str, torch.Tensor]
    personal: dict[str, torch.Tensor]

    def flat(self) -> torch.Tensor:
        """All of it as one float32 vector, shared parameters first."""
        return torch.cat([values.reshape(-1) for values in (*self.shared.values(), *self.personal.values())])

    def from_flat(self, flat: torch.Tensor) -> "State":
        """A state of the same shapes with these values. Raises `ValueError` if there are more or fewer."""
        tensors = [*self.shared.values(), *self.personal.values()]
        pieces = iter(flat.split([values.numel() for values in tensors]))
        shared = {name: next(pieces).reshape(values.shape) for name, values in self.shared.items()}
        return State(shared, {name: next(pieces).reshape(values.shape) for name, values in self.personal.items()})


@dataclass(frozen=True, eq=False)
class Clients:
    """Some clients after their local training.

    `own` [clients, ...]: their personal parameters and their copies of the shared ones other than the item embedding. Of that, client c holds the
    rows `item[start[c]:end[c]]` with the values `embedding[start[c]:end[c]]`, and every other row as it was sent.
    """

    own: dict[str, torch.Tensor]
    start: torch.Tensor
    end: torch.Tensor
    item: torch.Tensor
    embedding: torch.Tensor

    def tables(self, sent: torch.Tensor, clients: torch.Tensor) -> torch.Tensor:
        """[clients, items, dim] the whole item embedding as each of these clients holds it; `sent` [items, dim]."""
        found = sent.repeat(len(clients), 1, 1)
        lengths = self.end[clients] - self.start[clients]
        owner = torch.repeat_interleave(torch.arange(len(clients)), lengths)
        behind = lengths.cumsum(0) - lengths
        row = torch.arange(len(owner)) - behind[owner] + self.start[clients][owner]
        found[owner, self.item[row]] = self.embedding[row]
        return found
