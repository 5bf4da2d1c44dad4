"""The parameters of a pass: one set for everybody, or one for each client, of item tables only the touched rows."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.cohort.layers import Layers
from everbloom.models.layout import ParameterLayout, Slot
from everbloom.models.recommender import Recommender
from everbloom.privacy.release import norms_of

TABLES = frozenset({"item.embedding", "item.item_bias"})
"""Layers with a row for each item."""


class Skeleton:
    """A model whose parameters have been taken away; and where a flat vector holds them."""

    def __init__(self, model: Recommender, layout: ParameterLayout, device: torch.device) -> None:
        """Takes the model for itself, to `device`. Raises `InputError` if it has layers that cannot be trained for many clients at once."""
        self.initial = torch.from_numpy(layout.flat(model, "personal"))
        """[personal] parameters of a device that has learnt nothing yet; what devices keep are differences from them."""
        self.model = model.to(device)
        self.size = layout.size()
        shared = [slot for slot in layout.slots if slot.group == "shared"]
        self.tables = [slot for slot in shared if slot.name.rpartition(".")[0] in TABLES]
        self.dense = [slot for slot in shared if slot not in self.tables]
        self.personal = [slot for slot in layout.slots if slot.group == "personal"]
        named = dict(model.named_parameters())
        self._counted = [(named[slot.name], slot) for slot in layout.slots if slot.group == "counted"]
        self.segments = [(slot.start, slot.end) for slot in shared]
        """Where the flat vector holds each parameter, in the model's order."""
        self.layers = Layers(model, TABLES)
        self.device = device

    @torch.no_grad()
    def begin(self, start: torch.Tensor) -> None:
        """Takes from `start` [params] what is counted: the same for everybody, and not moved by training."""
        for parameter, slot in self._counted:
            parameter.copy_(self.view(start, slot))

    def slot(self, name: str) -> Slot:
        """An item table's."""
        return next(slot for slot in self.tables if slot.name == name)

    def view(self, flat: torch.Tensor, slot: Slot) -> torch.Tensor:
        """A parameter in a flat vector [..., params]: [..., *shape]."""
        part = flat[..., slot.start : slot.end]
        return part.view(*part.shape[:-1], *slot.shape)


class SharedWeights:
    """One set of parameters; gradients of all passes add up. Installs itself."""

    def __init__(self, skeleton: Skeleton, start: torch.Tensor, rows: torch.Tensor) -> None:
        """`start` [params]; `rows` [rows] of the item tables that are read."""
        self.skeleton = skeleton
        self.rows = rows
        self._gradient = torch.zeros_like(start)
        self._leaves: dict[str, torch.Tensor] = {}
        for slot in skeleton.dense:
            leaf = skeleton.view(start, slot).detach().requires_grad_()
            leaf.grad = skeleton.view(self._gradient, slot)
            self._leaves[slot.name] = leaf
        for slot in skeleton.tables:
            self._leaves[slot.name] = skeleton.view(start, slot)[rows].requires_grad_()
        skeleton.layers.install(self._leaves)

    def add(self, name: str, gradient: torch.Tensor) -> None:
        """Adds to the gradient of a parameter that is no table."""
        found = self._leaves[name].grad
        assert found is not None
        found += gradient

    def read(self, places: torch.Tensor) -> None:
        """Puts what each example reads into the item tables: the rows at `places` [examples, rows] among those that are read at all."""
        tables = {slot.name: self._leaves[slot.name].detach()[places] for slot in self.skeleton.tables}
        self.skeleton.layers.install(tables)

    def add_rows(self, name: str, places: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds to the gradient of a table's rows, which is [examples, rows, ...]."""
        whole = self.skeleton.view(self._gradient, self.skeleton.slot(name))
        whole.index_add_(0, self.rows[places].reshape(-1), gradient.flatten(0, 1))

    def gradient(self) -> torch.Tensor:
        """[params] the sum so far."""
        for slot in self.skeleton.tables:
            found = self._leaves[slot.name].grad
            if found is not None:
                self.skeleton.view(self._gradient, slot).index_add_(0, self.rows, found)
        return self._gradient


@dataclass(frozen=True, eq=False)
class ClientDeltas:
    """What training changed for some clients: `values` by parameter name [clients, *shape]; of tables the `rows` [clients, rows] alone."""

    clients: NDArray[np.int64]
    values: Mapping[str, torch.Tensor]
    rows: torch.Tensor

    def finite(self) -> torch.Tensor:
        """[clients] bool."""
        flags = [value.flatten(1).isfinite().all(dim=1) for value in self.values.values()]
        return torch.stack(flags).all(dim=0)

    def norms(self) -> torch.Tensor:
        """[clients] float64 L2 norms; rows that several places name would have to be added up first, and none do."""
        squares = [norms_of(value.flatten(1)) for value in self.values.values()]
        return torch.stack(squares).square().sum(dim=0).sqrt()

    def scaled(self, factors: torch.Tensor) -> "ClientDeltas":
        """Each client's delta times its factor [clients]; nothing where that is 0, whatever the delta was."""
        values = {}
        for name, value in self.values.items():
            factor = factors.to(value.dtype).view(-1, *(1,) * (value.dim() - 1))
            values[name] = torch.where(factor == 0, torch.zeros_like(value), value * factor)
        return ClientDeltas(self.clients, values, self.rows)

    def add_to(self, total: torch.Tensor, skeleton: Skeleton, which: torch.Tensor) -> None:
        """Adds the deltas of the clients `which` [clients] bool to `total` [params]."""
        for slot in skeleton.dense:
            skeleton.view(total, slot).add_(self.values[slot.name][which].sum(dim=0))
        for slot in skeleton.tables:
            rows, values = self.rows[which].reshape(-1), self.values[slot.name][which].flatten(0, 1)
            skeleton.view(total, slot).index_add_(0, rows, values)

    def write_to(self, each: torch.Tensor, skeleton: Skeleton) -> None:
        """Writes each client's delta to its row of `each` [all clients, params], which holds zeros."""
        where = torch.from_numpy(self.clients).to(each.device)
        for slot in skeleton.dense:
            each[where, slot.start : slot.end] = self.values[slot.name].flatten(1).to(each.device)
        for slot in skeleton.tables:
            # Filled-up rows name item 0 again, with nothing to add.
            rows, values = self.rows.to(each.device), self.values[slot.name].to(each.device)
            skeleton.view(each, slot).index_put_((where.unsqueeze(1), rows), values, accumulate=True)


class ClientWeights:
    """A set of parameters for each client, all beginning at the same point."""

    def __init__(self, skeleton: Skeleton, start: torch.Tensor, rows: torch.Tensor) -> None:
        """`start` [params]; `rows` [clients, rows] of the item tables that each client reads."""
        self.skeleton = skeleton
        self.rows = rows
        self._start: dict[str, torch.Tensor] = {}
        for slot in skeleton.dense:
            self._start[slot.name] = skeleton.view(start, slot).expand(len(rows), *slot.shape)
        for slot in skeleton.tables:
            self._start[slot.name] = skeleton.view(start, slot)[rows]
        self._leaves = {
            name: value.clone(memory_format=torch.contiguous_format).requires_grad_()
            for name, value in self._start.items()
        }
        self._selected: dict[str, torch.Tensor] = {}
        self._which = torch.arange(len(rows))

    def install(self) -> None:
        """Puts everybody's into the model, for the item encoder."""
        self.skeleton.layers.install(self._leaves)

    def select(self, which: torch.Tensor) -> None:
        """Puts the parameters of the clients at `which` [units] into all other layers."""
        self._which = which
        self._selected = {
            slot.name: self._leaves[slot.name].detach().index_select(0, which).requires_grad_()
            for slot in self.skeleton.dense
            if not slot.name.startswith("item.")
        }
        self.skeleton.layers.install(self._selected)

    def collect(self) -> None:
        """Adds the gradients of what was selected to its clients'."""
        for name, leaf in self._selected.items():
            if leaf.grad is not None:
                whole = self._leaves[name]
                if whole.grad is None:
                    whole.grad = torch.zeros_like(whole)
                whole.grad.index_add_(0, self._which, leaf.grad)

    @torch.no_grad()
    def step(self, learning_rate: float, pull: float) -> None:
        """Down the gradient, and towards the start (FedProx); the next step's gradient begins at nothing."""
        for name, leaf in self._leaves.items():
            if pull:
                leaf.add_(leaf - self._start[name], alpha=-learning_rate * pull)
            if leaf.grad is not None:
                leaf.sub_(leaf.grad, alpha=learning_rate)
                leaf.grad.zero_()

    @torch.no_grad()
    def deltas(self, clients: NDArray[np.int64]) -> "ClientDeltas | DenseDeltas":
        """What changed; `clients` [clients] are their places in the cohort."""
        values = {name: leaf - self._start[name] for name, leaf in self._leaves.items()}
        return ClientDeltas(clients, values, self.rows)


@dataclass(frozen=True, eq=False)
class DenseDeltas:
    """What training changed for some clients, noise on every parameter: `values` [clients, params]."""

    clients: NDArray[np.int64]
    values: torch.Tensor

    def finite(self) -> torch.Tensor:
        """[clients] bool."""
        return self.values.isfinite().all(dim=1)

    def norms(self) -> torch.Tensor:
        """[clients] float64 L2 norms."""
        return norms_of(self.values)

    def scaled(self, factors: torch.Tensor) -> "DenseDeltas":
        """Each client's delta times its factor [clients]; nothing where that is 0, whatever the delta was."""
        factor = factors.to(self.values.dtype).unsqueeze(1)
        return DenseDeltas(self.clients, torch.where(factor == 0, torch.zeros_like(self.values), self.values * factor))

    def add_to(self, total: torch.Tensor, skeleton: Skeleton, which: torch.Tensor) -> None:
        """Adds the deltas of the clients `which` [clients] bool to `total` [params]."""
        total += self.values[which].sum(dim=0)

    def write_to(self, each: torch.Tensor, skeleton: Skeleton) -> None:
        """Writes each client's delta to its row of `each` [all clients, params]."""
        each[torch.from_numpy(self.clients).to(each.device)] = self.values.to(each.device)


class PrivateWeights:
    """A whole set of parameters for each client: noise moves every one of them, touched or not."""

    def __init__(self, skeleton: Skeleton, start: torch.Tensor, clients: int) -> None:
        """All begin at `start` [params]."""
        self.skeleton = skeleton
        self.start = start
        self.values = start.repeat(clients, 1)
        self.gradient = torch.zeros_like(self.values)
        self._leaves: dict[str, torch.Tensor] = {}

    def install(self, which: torch.Tensor, rows: torch.Tensor) -> None:
        """Puts the parameters of the clients `which` [units] into the model, of tables the `rows` [units, rows]."""
        mine = self.values.index_select(0, which)
        self._leaves = {slot.name: self.skeleton.view(mine, slot).requires_grad_() for slot in self.skeleton.dense}
        for slot in self.skeleton.tables:
            whole = self.skeleton.view(self.values, slot)
            self._leaves[slot.name] = whole[which.unsqueeze(1), rows].requires_grad_()
        self.skeleton.layers.install(self._leaves)

    def read(self, owner: torch.Tensor, rows: torch.Tensor) -> None:
        """Puts what each example reads into the item tables: the `rows` [examples, rows] of its `owner` [examples]."""
        tables = {
            slot.name: self.skeleton.view(self.values, slot)[owner.unsqueeze(1), rows] for slot in self.skeleton.tables
        }
        self.skeleton.layers.install(tables)

    def add_rows(self, name: str, owner: torch.Tensor, rows: torch.Tensor, gradient: torch.Tensor) -> None:
        """Adds to the gradient of a table's rows, which is [examples, rows, ...]."""
        whole = self.skeleton.view(self.gradient, self.skeleton.slot(name))
        whole.index_put_((owner.unsqueeze(1), rows), gradient, accumulate=True)

    def collect(self, which: torch.Tensor, rows: torch.Tensor, dense: Mapping[str, torch.Tensor]) -> None:
        """Adds gradients: `dense` by name, and those that reached what was installed (the item encoder's)."""
        for slot in self.skeleton.dense:
            for found in (dense.get(slot.name), self._leaves[slot.name].grad):
                if found is not None:
                    self.gradient[:, slot.start : slot.end].index_add_(0, which, found.reshape(len(which), -1))
        for slot in self.skeleton.tables:
            found = self._leaves[slot.name].grad
            if found is not None:
                whole = self.skeleton.view(self.gradient, slot)
                whole.index_put_((which.unsqueeze(1), rows), found, accumulate=True)

    def step(self, learning_rate: float, pull: float) -> None:
        """Down the gradient, and by `pull` towards the start (FedProx); the next step's gradient begins at nothing."""
        if pull:
            self.values.add_(self.values - self.start, alpha=-pull)
        self.values.sub_(self.gradient, alpha=learning_rate)
        self.gradient.zero_()

    def deltas(self, clients: NDArray[np.int64]) -> DenseDeltas:
        """What changed; `clients` are their places in the cohort."""
        return DenseDeltas(clients, self.values - self.start)
