"""Blocks of clients train as each would alone: by the same code in a block of its own, and by a plain loop with PyTorch's modules and optimizers."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

from everbloom.federated_baselines.averaging import gathered
from everbloom.federated_baselines.block import block_of, blocks
from everbloom.federated_baselines.scoring import OwnScorer
from everbloom.federated_baselines.state import ITEMS
from everbloom.methods import FEDERATED_BASELINES

EVERY = FEDERATED_BASELINES.names()
USERS, CATALOGUE = 5, 23


def started(method, positives, rounds=1):
    """A state in which no two clients are alike any more, and that round's number."""
    state = method.initial(USERS, CATALOGUE, 3)
    participants = torch.from_numpy(np.sort(positives.participants))
    for round in range(1, rounds + 1):
        state = method.aggregate(state, round_of(method, state, positives, round), participants)
    return state, rounds + 1


def round_of(method, state, positives, round):
    return gathered(
        state,
        ((torch.from_numpy(block.users), method.train(state, block)) for block in blocks(positives, method, 3, round)),
    )


def table_of(clients, sent, user):
    return clients.tables(sent, torch.tensor([user]))[0]


@pytest.mark.parametrize("name", EVERY)
def test_a_client_trains_in_a_block_as_alone(name, positives, small_baseline):
    method = small_baseline(name)
    state, round = started(method, positives)
    together = round_of(method, state, positives, round)
    for user in positives.participants.tolist():
        alone = method.train(state, block_of(positives, np.array([user]), method, 3, round))
        torch.testing.assert_close(
            table_of(together, state.shared[ITEMS], user), table_of(alone, state.shared[ITEMS], 0)
        )
        for key, values in alone.own.items():
            torch.testing.assert_close(together.own[key][user], values[0])


@pytest.mark.parametrize("name", EVERY)
def test_training_moves_who_takes_part_and_leaves_who_does_not(name, positives, small_baseline):
    method = small_baseline(name)
    state, round = started(method, positives)
    before = {key: values.clone() for key, values in (state.shared | state.personal).items()}
    clients = round_of(method, state, positives, round)
    for key, values in before.items():
        torch.testing.assert_close((state.shared | state.personal)[key], values, rtol=0, atol=0)
    assert torch.equal(table_of(clients, state.shared[ITEMS], 2), state.shared[ITEMS])
    assert not torch.equal(table_of(clients, state.shared[ITEMS], 1), state.shared[ITEMS])


@pytest.mark.parametrize("name", EVERY)
def test_a_state_is_a_vector_and_back(name, positives, small_baseline):
    method = small_baseline(name)
    state, _ = started(method, positives)
    again = method.initial(USERS, CATALOGUE, 9).from_flat(state.flat())
    for key, values in (state.shared | state.personal).items():
        assert torch.equal((again.shared | again.personal)[key], values)
    with pytest.raises((ValueError, RuntimeError), match="split"):
        state.from_flat(state.flat()[:-1])


class Bilinear(nn.Module):
    """One client of PFedRec, FedMF or FedRecon: logits w . e_i + b."""

    def __init__(self, items, weight, bias):
        super().__init__()
        self.items, self.weight, self.bias = (nn.Parameter(values.clone()) for values in (items, weight, bias))

    def forward(self, items):
        return self.items[items] @ self.weight + self.bias


class Perceptron(nn.Module):
    """One client of FedNCF or GPFedRec."""

    def __init__(self, items, own):
        super().__init__()
        self.items, self.user = nn.Parameter(items.clone()), nn.Parameter(own["user"].clone())
        layers = sum(key.startswith("weight.") for key in own)
        self.layers = nn.ModuleList()
        for place in range(layers):
            weight, bias = own[f"weight.{place}"], own[f"bias.{place}"]
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": bias})
            self.layers.append(layer)

    def forward(self, items):
        hidden = torch.cat([self.user.expand(len(items), -1), self.items[items]], dim=1)
        for layer in self.layers[:-1]:
            hidden = torch.relu(layer(hidden))
        return self.layers[-1](hidden)[:, 0]


def batches_of(items, labels, size):
    for epoch in range(len(items)):
        for start in range(0, items.shape[1], size):
            yield items[epoch, start : start + size], labels[epoch, start : start + size]


def stepped(model, optimizer, items, labels, penalty=None):
    optimizer.zero_grad()
    loss = binary_cross_entropy_with_logits(model(items), labels)
    (loss if penalty is None else loss + penalty()).backward()
    optimizer.step()


def pfedrec(method, state, user, items, labels):
    model = Bilinear(state.shared[ITEMS], state.personal["weight"][user], state.personal["bias"][user])
    score = torch.optim.SGD([model.weight, model.bias], lr=method.score_rate)
    table = torch.optim.SGD([model.items], lr=method.item_rate)
    for batch in batches_of(items, labels, method.batch):
        stepped(model, score, *batch)
        stepped(model, table, *batch)
    return model.items, {"weight": model.weight, "bias": model.bias}


def fedmf(method, state, user, items, labels):
    model = Bilinear(state.shared[ITEMS], state.personal["user"][user], torch.zeros(()))
    groups = [{"params": [model.weight], "lr": method.user_rate}, {"params": [model.items], "lr": method.item_rate}]
    optimizer = torch.optim.SGD(groups)
    for batch in batches_of(items, labels, method.batch):
        stepped(model, optimizer, *batch)
    return model.items, {"user": model.weight}


def fedrecon(method, state, user, items, labels):
    half = items.shape[1] // 2
    model = Bilinear(state.shared[ITEMS], torch.zeros(method.dim), torch.zeros(()))
    vector = torch.optim.SGD([model.weight], lr=method.user_rate)
    table = torch.optim.SGD([model.items], lr=method.item_rate)
    for _ in range(method.reconstruction_epochs):
        for batch in batches_of(items[:, :half], labels[:, :half], method.batch):
            stepped(model, vector, *batch)
    for batch in batches_of(items[:, half:], labels[:, half:], method.batch):
        stepped(model, table, *batch)
    return model.items, {"user": model.weight}


def perceptron_client(method, model, items, labels, penalty=None):
    groups = [
        {"params": [model.user], "lr": method.user_rate},
        {"params": [model.items], "lr": method.item_rate},
        {"params": model.layers.parameters(), "lr": method.score_rate},
    ]
    optimizer = torch.optim.SGD(groups)
    for batch in batches_of(items, labels, method.batch):
        stepped(model, optimizer, *batch, penalty)
    layers = {f"weight.{place}": layer.weight for place, layer in enumerate(model.layers)}
    layers |= {f"bias.{place}": layer.bias for place, layer in enumerate(model.layers)}
    return model.items, {"user": model.user, **layers}


def fedncf(method, state, user, items, labels):
    model = Perceptron(state.shared[ITEMS], {**state.shared, "user": state.personal["user"][user]})
    return perceptron_client(method, model, items, labels)


def gpfedrec(method, state, user, items, labels):
    model = Perceptron(state.shared[ITEMS], {key: values[user] for key, values in state.personal.items()})
    target = state.personal["target"][user].reshape(CATALOGUE, -1)
    return perceptron_client(
        method, model, items, labels, lambda: method.regularisation * nn.functional.mse_loss(model.items, target)
    )


ORACLES = {"pfedrec": pfedrec, "fedmf": fedmf, "fedncf": fedncf, "fedrecon": fedrecon, "gpfedrec": gpfedrec}


@pytest.mark.parametrize("name", EVERY)
def test_a_block_trains_as_a_plain_loop_over_its_clients(name, positives, small_baseline):
    method = small_baseline(name)
    state, round = started(method, positives)
    clients = round_of(method, state, positives, round)
    (block,) = blocks(positives, method, 3, round)
    scorer = OwnScorer(method, clients, state.shared[ITEMS])
    for place, user in enumerate(block.users.tolist()):
        size = int(block.sizes[place])
        items, own = ORACLES[name](method, state, user, block.items[:, place, :size], block.labels[:, place, :size])
        torch.testing.assert_close(table_of(clients, state.shared[ITEMS], user), items.detach(), rtol=1e-4, atol=1e-5)
        for key, values in own.items():
            torch.testing.assert_close(clients.own[key][user], values.detach(), rtol=1e-4, atol=1e-5)
        alone = {key: values[None].detach() for key, values in own.items()}
        torch.testing.assert_close(
            scorer._scores(torch.tensor([user])), method.logits(alone, items[None].detach()), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize("name", [name for name in EVERY if name != "gpfedrec"])
def test_the_server_takes_the_plain_mean_of_what_is_shared(name, positives, small_baseline):
    method = small_baseline(name)
    state, round = started(method, positives)
    clients = round_of(method, state, positives, round)
    after = method.aggregate(state, clients, torch.tensor([0, 1, 3, 4]))
    tables = torch.stack([table_of(clients, state.shared[ITEMS], user) for user in (0, 1, 3, 4)])
    torch.testing.assert_close(after.shared[ITEMS], tables.mean(0))
    for key in after.shared:
        if key != ITEMS:
            torch.testing.assert_close(after.shared[key], clients.own[key][[0, 1, 3, 4]].mean(0))
    for key in after.personal:
        assert torch.equal(after.personal[key], clients.own[key])


@pytest.mark.parametrize("neighbours", ["similar", "dissimilar"])
def test_gpfedrec_averages_over_a_graph_of_its_clients(positives, small_baseline, neighbours):
    method = small_baseline("gpfedrec", neighbours=neighbours)
    state, round = started(method, positives)
    clients = round_of(method, state, positives, round)
    members = [0, 1, 3, 4]
    after = method.aggregate(state, clients, torch.tensor(members))
    tables = torch.stack([table_of(clients, state.shared[ITEMS], user).reshape(-1) for user in members])
    cosine = torch.nn.functional.cosine_similarity(tables[:, None], tables[None], dim=2)
    likeness = cosine if neighbours == "similar" else 1 - cosine
    targets = [tables[likeness[place] > likeness.mean()].mean(0) for place in range(4)]
    for place, user in enumerate(members):
        torch.testing.assert_close(after.personal["target"][user], targets[place], rtol=1e-4, atol=1e-5)
    assert torch.equal(after.personal["target"][2], state.personal["target"][2])
    wanted = torch.stack(targets).mean(0).reshape(CATALOGUE, -1)
    torch.testing.assert_close(after.shared[ITEMS], wanted, rtol=1e-4, atol=1e-5)
