"""The user encoder's dropout: masks given from outside, so that a user vector is a function of its arguments."""

import pytest
import torch

from everbloom.config import UserModelConfig
from everbloom.models.users import Circumstances, Dropout, UserEncoder

DIM = 8


def encoder(dropout: float = 0.5, layers: int = 2, feedforward: int = 1) -> UserEncoder:
    config = UserModelConfig(layers=layers, heads=2, history=6, feedforward=feedforward, dropout=dropout)
    torch.manual_seed(0)
    made = UserEncoder(DIM, config)
    with torch.no_grad():
        for parameter in made.parameters():  # zero-initialised branches would hide what is dropped in them
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return made


def given(examples: int = 4, events: int = 5) -> tuple[torch.Tensor, Circumstances]:
    draw = torch.Generator().manual_seed(1)
    done = torch.zeros((examples, events), dtype=torch.int64)
    return torch.randn((examples, events, DIM), generator=draw), Circumstances(done)


def masks_for(user: UserEncoder, examples: int = 4, seed: int = 2) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(Dropout.ROWS, (examples, user.mask_sites, 6), generator=draw)


def test_dropout_is_inverted():
    """A share is zero, the rest is scaled up: the mean is one."""
    torch.manual_seed(0)
    masks = Dropout(DIM, 0.3).masks
    assert masks.shape == (Dropout.ROWS, DIM)
    assert masks.unique().tolist() == pytest.approx([0, 1 / 0.7])
    assert float((masks == 0).float().mean()) == pytest.approx(0.3, abs=5 * (0.3 * 0.7 / masks.numel()) ** 0.5)
    assert float(masks.mean()) == pytest.approx(1, abs=0.02)


def test_dropout_multiplies_by_the_rows_of_the_table():
    dropout = Dropout(DIM, 0.3)
    states = torch.randn(2, 3, DIM)
    rows = torch.tensor([[5, 4095, 0], [7, 7, 1]])
    found = dropout(states, rows)
    for example in range(2):
        for place in range(3):
            assert torch.equal(found[example, place], states[example, place] * dropout.masks[rows[example, place]])
    assert dropout(states, None) is states


@pytest.mark.parametrize("training", [True, False])
def test_without_masks_nothing_is_dropped(training):
    """In training mode too: whether anything is dropped is an argument and not a state of the module."""
    dropping, plain = encoder(0.5).train(training), encoder(0.0).train(training)
    plain.load_state_dict(dropping.state_dict())
    assert plain.mask_sites == 0
    assert torch.equal(dropping(*given()), plain(*given()))


def test_masks_that_keep_everything_drop_nothing():
    user = encoder()
    user.dropout.masks.fill_(1)
    torch.testing.assert_close(user(*given(), masks_for(user)), user(*given()))


@pytest.mark.parametrize("feedforward", [0, 1])
@pytest.mark.parametrize("layers", [0, 1, 2])
def test_each_site_drops_something_of_its_own(layers, feedforward):
    """Other rows at one site change the result, where the site is used; a block without feed-forward leaves its last one."""
    user = encoder(layers=layers, feedforward=feedforward)
    masks = masks_for(user)
    assert user.mask_sites == 1 + 2 * layers
    before = user(*given(), masks)
    for site in range(user.mask_sites):
        other = masks.clone()
        other[:, site] = (other[:, site] + 1) % Dropout.ROWS
        used = feedforward or site == 0 or site % 2
        assert torch.equal(user(*given(), other), before) == (not used)


def test_masks_are_each_examples_and_positions_own():
    """Examples do not share them, later positions do not reach earlier ones, and those beyond the events are not read."""
    user = encoder()
    vectors, beside = given()
    masks = masks_for(user)
    together = user(vectors, beside, masks)
    for row in range(4):
        part = slice(row, row + 1)
        torch.testing.assert_close(
            user(vectors[part], Circumstances(beside.behaviour[part]), masks[part]), together[part]
        )
    later = masks.clone()
    later[..., 3:] = (later[..., 3:] + 1) % Dropout.ROWS
    found = user(vectors, beside, later)
    torch.testing.assert_close(found[:, :3], together[:, :3])
    assert not torch.allclose(found[:, 3:], together[:, 3:])
    torch.testing.assert_close(user(vectors[:, :3], beside, masks), together[:, :4])


def test_masks_are_neither_parameters_nor_part_of_the_state():
    user = encoder()
    assert not any("masks" in name for name, _ in user.named_parameters())
    assert not any("masks" in name for name in user.state_dict())
