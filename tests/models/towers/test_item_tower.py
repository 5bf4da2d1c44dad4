"""An item's tower: the frozen features at first, whatever is asked for together; and PEFT's LoRA with the same matrices."""

import peft
import pytest
import torch
from torch.nn import functional
from tower_texts import TEXTS
from transformers import AutoModel

from everbloom.methods import ADAPTERS
from everbloom.models.layout import ParameterLayout
from everbloom.models.towers.adapted import branches
from everbloom.models.towers.item import recomputed
from everbloom.models.towers.loading import load
from everbloom.models.towers.tokens import token_ids

EVERY = torch.arange(len(TEXTS))


@pytest.mark.parametrize("adapter", ADAPTERS.names())
@pytest.mark.parametrize("pooling", ["mean", "cls", "last"])
@pytest.mark.parametrize("layers", [1, 2, 3, (0, 2)])
def test_it_starts_at_the_frozen_features(tower_of, architecture, adapter, pooling, layers):
    model = tower_of(architecture, {"adapter": adapter, "layers": layers}, {"pooling": pooling})
    with torch.no_grad():
        torch.testing.assert_close(model.item.tower(EVERY), model.item.features, rtol=0, atol=2e-6)


def test_it_starts_at_the_reduced_features(tower_of, architecture):
    model = tower_of(architecture, feature_dim=4)
    assert model.item.features.shape == (len(TEXTS), 4)
    with torch.no_grad():
        torch.testing.assert_close(model.item.tower(EVERY), model.item.features, rtol=0, atol=1e-4)


def test_of_the_packaged_model(tower_of):
    model = tower_of("minilm", lm={"max_tokens": 128})
    with torch.no_grad():
        torch.testing.assert_close(model.item.tower(EVERY), model.item.features, rtol=0, atol=2e-6)


@pytest.mark.parametrize("adapter", ADAPTERS.names())
def test_an_item_is_the_same_whatever_is_asked_for_beside_it(tower_of, architecture, perturb, adapter):
    """Padding, rectangles and order change nothing, in the vectors or in their gradients."""
    model = tower_of(architecture, {"adapter": adapter})
    perturb(model)
    tower, trained = model.item.tower, [p for p in model.item.tower.parameters() if p.requires_grad]
    alone = torch.stack([tower(EVERY[row : row + 1])[0] for row in EVERY])
    weight = torch.randn(alone.shape, generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.grad((alone * weight).sum(), trained)
    order = torch.tensor([5, 1, 0, 3, 2, 7, 6, 4])
    for shape in ((8,), (2, 4), (4, 2), (8, 1)):
        found = tower(order.view(shape))
        torch.testing.assert_close(found.view(alone.shape), alone[order], rtol=1e-4, atol=1e-5)
        loss = (found.view(alone.shape) * weight[order]).sum()
        for one, other in zip(torch.autograd.grad(loss, trained), expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_forgetting_and_working_out_again_changes_nothing(tower_of, architecture, perturb, monkeypatch):
    monkeypatch.setattr("everbloom.models.towers.item.TOKENS", 10)  # several passes
    model = tower_of(architecture)
    perturb(model)
    trained = [p for p in model.item.tower.parameters() if p.requires_grad]
    weight = torch.randn((len(TEXTS), 16), generator=torch.Generator().manual_seed(0))
    expected = torch.autograd.grad((model.item.tower(EVERY) * weight).sum(), trained)
    for keep in (0, 100_000, 10**9):
        with recomputed(model.item.tower, keep):
            found = model.item.tower(EVERY)
        for one, other in zip(torch.autograd.grad((found * weight).sum(), trained), expected, strict=True):
            assert torch.equal(one, other)


def test_only_adapters_are_trained_and_only_they_leave_evaluation(tower_of, architecture):
    """A language model's own dropout would make a vector depend on what was drawn before."""
    model = tower_of(architecture, {"modules": None})
    model.train()
    for name, module in model.item.tower.model.named_modules():
        own = [p.requires_grad for p in module.parameters(recurse=False)]
        assert module.training == any(own), name
    names = ParameterLayout.of(model).names("shared")
    inside = [name for name in names if name.startswith("item.tower")]
    assert inside
    assert all(".branch." in name for name in inside)


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")  # PEFT's, of transformers
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
@pytest.mark.parametrize("adapter", ["ffa-lora", "lora"])
def test_it_is_peft(tower_of, folder_of, perturb, kind, adapter):
    """The same matrices in PEFT's own layers over the whole model give the same vectors."""
    folder = str(folder_of(kind))
    model = tower_of(folder, {"adapter": {"name": adapter, "rank": 3, "alpha": 5.0}, "layers": (1, 2)})
    perturb(model)
    tower = model.item.tower
    target = {path.rpartition(".")[2] for path, _ in branches(tower.model)}
    lora = peft.LoraConfig(
        r=3,
        lora_alpha=5.0,
        target_modules=sorted(target),
        layers_to_transform=[1, 2],
        layers_pattern="h" if kind == "gpt2" else None,
        fan_in_fan_out=kind == "gpt2",
    )
    theirs = peft.get_peft_model(AutoModel.from_pretrained(folder), lora).eval()
    ours = {path.replace(".block.", "."): layer.branch for path, layer in branches(tower.model)}
    with torch.no_grad():
        for path, branch in ours.items():
            layer = theirs.base_model.model.get_submodule(path)
            layer.lora_A["default"].weight.copy_(branch.a.weight)
            layer.lora_B["default"].weight.copy_(branch.b.weight)
        ids = token_ids(load(folder, "here").tokenizer, TEXTS, 9)
        for row, own in enumerate(ids):
            hidden = theirs(input_ids=torch.tensor([own])).last_hidden_state[0]
            expected = functional.normalize(hidden.mean(dim=0), dim=0)
            torch.testing.assert_close(tower(EVERY)[row], expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_near(tower_of, architecture, perturb):
    exact, half = tower_of(architecture), tower_of(architecture, {"dtype": "bfloat16"})
    for model in (exact, half):
        perturb(model)
    with torch.no_grad():
        difference = (exact.item.tower(EVERY) - half.item.tower(EVERY)).abs().max()
    assert 0 < difference < 0.05


def test_the_ambient_generator_decides_the_frozen_factor_alone(tower_of, architecture):
    """The experiment's seed draws A, the same in every process, whether or not the model had been loaded before."""
    one, two = tower_of(architecture), tower_of(architecture)
    for (_, left), (_, right) in zip(branches(one.item.tower), branches(two.item.tower), strict=True):
        assert torch.equal(left.branch.a.weight, right.branch.a.weight)
        assert not left.branch.a.weight.requires_grad
