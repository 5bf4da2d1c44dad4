"""The flat vector: every shared parameter once, in order, and both sides agree what it means."""

import numpy as np
import pytest
import torch
from torch import nn

from everbloom.errors import SchemaError
from everbloom.models.layout import ParameterLayout


class Three(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.frozen = nn.Linear(2, 2)
        self.shared = nn.Linear(2, 3)
        self.personal = nn.Linear(3, 1, bias=False)
        for parameter in self.frozen.parameters():
            parameter.requires_grad_(False)


@pytest.fixture
def model() -> Three:
    torch.manual_seed(0)
    return Three()


def test_groups(model):
    layout = ParameterLayout.of(model, personal=["personal"])
    assert {slot.name: slot.group for slot in layout.slots} == {
        "frozen.weight": "frozen",
        "frozen.bias": "frozen",
        "shared.weight": "shared",
        "shared.bias": "shared",
        "personal.weight": "personal",
    }
    assert [layout.size(group) for group in ("frozen", "shared", "personal")] == [6, 9, 3]
    assert layout.names("shared") == ("shared.weight", "shared.bias")
    assert layout.names("personal") == ("personal.weight",)


def test_flat_is_every_parameter_once_in_order(model):
    layout = ParameterLayout.of(model, personal=["personal"])
    expected = torch.cat([model.shared.weight.reshape(-1), model.shared.bias]).detach().numpy()
    assert np.array_equal(layout.flat(model), expected)
    assert layout.flat(model).dtype == np.float32
    assert np.array_equal(layout.flat(model, "personal"), model.personal.weight.detach().numpy().ravel())


def test_flat_is_a_copy(model):
    layout = ParameterLayout.of(model)
    flat = layout.flat(model)
    flat[:] = 7
    assert not (layout.flat(model) == 7).any()


def test_a_bound_vector_is_the_parameters(model):
    layout = ParameterLayout.of(model, personal=["personal"])
    before = layout.flat(model)
    vector = layout.bind(model)
    assert np.array_equal(vector.numpy(), before)
    wanted = torch.arange(9, dtype=torch.float32)
    vector.copy_(wanted)
    assert np.array_equal(layout.flat(model), wanted.numpy())
    assert torch.equal(model.shared(torch.ones(2)), wanted[:6].view(3, 2).sum(dim=1) + wanted[6:])
    with torch.no_grad():
        model.shared.bias.zero_()
    assert vector[6:].abs().sum() == 0


def test_schema_tells_models_apart(model):
    layout = ParameterLayout.of(model)
    other = Three()
    assert ParameterLayout.of(other).schema == layout.schema
    other.personal = nn.Linear(1, 3, bias=False)  # as many numbers, another shape
    assert ParameterLayout.of(other).size() == layout.size()
    assert ParameterLayout.of(other).schema != layout.schema
    assert ParameterLayout.of(model, personal=["personal"]).schema != layout.schema
    layout.check(layout.schema, "the server")
    with pytest.raises(SchemaError, match="the server has parameter schema abc"):
        layout.check("abc", "the server")


def test_nothing_shared_is_an_empty_vector():
    layout = ParameterLayout.of(nn.ReLU())
    assert layout.size() == 0
    assert layout.flat(nn.ReLU()).shape == (0,)
