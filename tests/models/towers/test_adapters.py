"""Every registered kind of adapter: adds nothing at first, trains linear layers alone, and says whether averaging it is exact."""

import copy

import pytest
import torch
from torch import nn

from everbloom.methods import ADAPTERS

CLIENTS, MET, OUT = 5, 12, 16


@pytest.fixture(params=ADAPTERS.names())
def adapter(request):
    return ADAPTERS.parse(request.param)


@pytest.fixture
def branch(adapter):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return adapter.branch(MET, OUT)


@pytest.fixture
def given():
    drawn = torch.Generator().manual_seed(1)
    return torch.randn((4, 7, MET), generator=drawn), torch.randn((4, 7, OUT), generator=drawn)


def test_it_adds_nothing_at_first(branch, given):
    added = branch(*given)
    assert added.shape == (4, 7, OUT)
    assert not added.any()


def test_it_can_leave_that_point(branch, given):
    added = branch(*given)
    trained = [p for p in branch.parameters() if p.requires_grad]
    gradients = torch.autograd.grad((added * torch.ones_like(added)).sum(), trained, allow_unused=True)
    assert any(gradient is not None and gradient.any() for gradient in gradients)


def test_what_is_trained_are_linear_layers(branch):
    for module in branch.modules():
        if any(p.requires_grad for p in module.parameters(recurse=False)):
            assert type(module) is nn.Linear


def test_whether_averaging_is_exact(adapter, branch, given):
    """The mean of the clients' parameters, against the mean of what the clients' branches add (for LoRA: of their products), to 1e-6."""
    drawn = torch.Generator().manual_seed(2)
    clients = []
    for _ in range(CLIENTS):
        client = copy.deepcopy(branch)
        with torch.no_grad():
            for parameter in client.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=drawn) * 0.1)
        clients.append(client.double())
    mean = copy.deepcopy(clients[0])
    with torch.no_grad():
        for name, parameter in mean.named_parameters():
            parameter.copy_(torch.stack([dict(client.named_parameters())[name] for client in clients]).mean(dim=0))
        x, out = (part.double() for part in given)
        each = torch.stack([client(x, out) for client in clients]).mean(dim=0)
        difference = float((mean(x, out) - each).norm() / each.norm())
    assert (difference < 1e-6) == adapter.exact_averaging
    assert adapter.exact_averaging or difference > 1e-3


def test_the_mean_of_products_of_ffa_lora():
    """Of the matrices themselves, in single precision: what a server averages is what it should."""
    adapter = ADAPTERS.parse("ffa-lora")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        shared = adapter.branch(MET, OUT)
    a = shared.a.weight.detach()
    b = [torch.randn((OUT, adapter.rank), generator=torch.Generator().manual_seed(n)) for n in range(CLIENTS)]
    product_of_means = torch.stack(b).mean(dim=0) @ a
    mean_of_products = torch.stack([own @ a for own in b]).mean(dim=0)
    torch.testing.assert_close(product_of_means, mean_of_products, rtol=0, atol=1e-6)
