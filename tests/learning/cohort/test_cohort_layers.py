"""Layers with a set of parameters for each client are each client's own layer."""

import pytest
import torch
from torch import nn

from everbloom.errors import InputError
from everbloom.learning.cohort.layers import Layers
from everbloom.learning.cohort.weights import TABLES
from everbloom.models.layout import ParameterLayout

CLIENTS, EACH = 3, 2
LAYERS = {
    "linear": lambda: nn.Linear(4, 5),
    "no bias": lambda: nn.Linear(4, 5, bias=False),
    "norm": lambda: nn.LayerNorm(4),
    "table": lambda: nn.Embedding(6, 4),
}


def given_to(layer):
    drawn = torch.Generator().manual_seed(0)
    if isinstance(layer, nn.Embedding):
        return torch.randint(0, 6, (CLIENTS * EACH, 7), generator=drawn)
    return torch.randn((CLIENTS * EACH, 7, 4), generator=drawn)


@pytest.mark.parametrize("kind", LAYERS)
def test_each_client_meets_its_own_parameters(kind):
    own = [nn.Sequential(LAYERS[kind]()) for _ in range(CLIENTS)]
    drawn = torch.Generator().manual_seed(1)
    for one in own:
        for parameter in one.parameters():
            nn.init.normal_(parameter, generator=drawn)
    given = given_to(own[0][0])
    expected = torch.cat([one(given[n * EACH : (n + 1) * EACH]) for n, one in enumerate(own)])
    names = [name for name, _ in own[0].named_parameters()]
    stacked = {name: torch.stack([dict(one.named_parameters())[name].detach() for one in own]) for name in names}
    model = nn.Sequential(LAYERS[kind]())
    layers = Layers(model, frozenset())
    assert not list(model.parameters())
    for taps in (None, []):
        layers.taps = taps
        layers.install(stacked)
        torch.testing.assert_close(model(given), expected, rtol=1e-5, atol=1e-6)
        layers.install({name: value[1] for name, value in stacked.items()})
        torch.testing.assert_close(model(given), own[1](given), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", [nn.GRU, nn.Conv1d])
def test_an_unknown_layer_is_refused_in_one_line(case_of, kind):
    case = case_of()
    model = case.model()
    model.user.blocks.append(kind(8, 8, 1))
    with pytest.raises(InputError, match=rf"user\.blocks\.1 \({kind.__name__}\).*one-by-one") as refused:
        Layers(model, TABLES)
    assert "\n" not in str(refused.value)


def test_what_is_not_known_is_not_left_untrained(case_of):
    """A parameter that hangs on no layer, but on the model itself, has no rule either."""
    model = case_of().model()
    model.temperature = nn.Parameter(torch.ones(1))
    with pytest.raises(InputError, match="Recommender"):
        Layers(model, TABLES)


def test_all_parameters_of_the_recommender_are_taken(case_of, variant):
    """Those that are trained; a language model's frozen weights stay where they are."""
    model = case_of(variant).model()
    names = ParameterLayout.of(model).names("shared")
    layers = Layers(model, TABLES)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert {name.rpartition(".")[0] for name in names} == set(layers.modules)
