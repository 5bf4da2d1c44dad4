"""Local training of a block of clients at once: plain SGD, each client on its own copy of what it touches."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, embedding

from everbloom.federated_baselines.block import Batch, Block
from everbloom.federated_baselines.state import ITEMS, Clients

Own = Mapping[str, torch.Tensor]
Logits = Callable[[Own, torch.Tensor], torch.Tensor]
"""(parameters [clients, ...], item embeddings [clients, n, dim]) -> logits [clients, n]."""
Rates = Mapping[str, float]
"""Parameter -> the learning rate of one SGD step that moves these and no others."""
Penalty = Callable[[torch.Tensor, int], torch.Tensor]
"""(item rows of the first so many clients [rows, dim], how many clients) -> what is added to the sum of their losses."""


class Training:
    """A block of clients at work. `own` [clients, ...] is changed in place; only the rows of the item embedding that are touched are copied."""

    def __init__(
        self, sent: torch.Tensor, own: Mapping[str, torch.Tensor], block: Block, logits: Logits, *, dense: bool = False
    ) -> None:
        """`sent` [items, dim]: the server's item embedding. `dense`: every client moves all rows, so all are copied."""
        self.own = dict(own)
        self.logits = logits
        clients, items = len(block.users), len(sent)
        touched = np.full(clients * items, dense, dtype=np.bool_)
        if not dense:
            touched[(np.arange(clients)[None, :, None] * items + block.items.numpy()).ravel()] = True
        pairs = np.flatnonzero(touched)
        slots = np.zeros(clients * items, dtype=np.int64)
        slots[pairs] = np.arange(len(pairs))
        self._slots = torch.from_numpy(slots.reshape(clients, items))
        self.ends = torch.from_numpy(np.searchsorted(pairs, np.arange(1, clients + 1) * items))
        self.item = torch.from_numpy(pairs % items)
        self.embedding = sent[self.item]

    def epoch(self, block: Block, size: int, stages: Sequence[Rates], penalty: Penalty | None = None) -> None:
        """Goes through the block's batches; at each, one step for each stage in turn, on the same examples."""
        for batch in block.batches(size):
            for rates in stages:
                self.step(batch, rates, penalty)

    def step(self, batch: Batch, rates: Rates, penalty: Penalty | None = None) -> None:
        """One SGD step of every client in the batch on the mean loss over its own examples."""
        clients = batch.clients
        rows = int(self.ends[clients - 1])
        leaves = {name: values[:clients].detach() for name, values in self.own.items()}
        leaves[ITEMS] = self.embedding[:rows].detach()
        for name in rates:
            leaves[name].requires_grad_()
        slots = self._slots[:clients].gather(1, batch.items)
        own = {name: values for name, values in leaves.items() if name != ITEMS}
        found = self.logits(own, embedding(slots, leaves[ITEMS]))
        losses = binary_cross_entropy_with_logits(found, batch.labels, reduction="none")
        loss = (losses * batch.weight).sum()
        if penalty is not None:
            loss = loss + penalty(leaves[ITEMS], clients)
        gradients = torch.autograd.grad(loss, [leaves[name] for name in rates])
        for (name, rate), gradient in zip(rates.items(), gradients, strict=True):
            leaves[name].detach().sub_(gradient, alpha=rate)

    def clients(self) -> Clients:
        """What they hold now."""
        start = torch.cat([torch.zeros(1, dtype=torch.int64), self.ends[:-1]])
        return Clients(self.own, start, self.ends, self.item, self.embedding)
