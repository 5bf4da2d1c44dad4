"""Objectives against their definitions in plain Python, one position and one candidate at a time."""

import math

import pytest
import torch

from everbloom.learning.candidates import build_candidates
from everbloom.learning.examples import Examples
from everbloom.methods import OBJECTIVES

ITEMS = 12
ROWS = [[3, 5, 3, 7], [1], [2, 2], [11, 10, 9, 8]]
WEIGHTS = [[1.0, 0.0, 2.0, 1.0], [1.0], [0.0, 3.0], [0.0, 0.0, 0.0, 1.0]]
NEGATIVES = [5, 0, 1, 6, 0, 9]


def examples() -> Examples:
    width = 4
    items = torch.tensor([row + [0] * (width - len(row)) for row in ROWS])
    real = torch.tensor([[place < len(row) for place in range(width)] for row in ROWS])
    weight = torch.tensor([row + [0.0] * (width - len(row)) for row in WEIGHTS])
    return Examples(
        items, torch.zeros_like(items), real, weight, torch.arange(width).expand(len(ROWS), width), items * 0
    )


def scores(negatives: int = len(NEGATIVES)) -> torch.Tensor:
    return torch.randn((len(ROWS), 4, 4 + negatives), generator=torch.Generator().manual_seed(0)) * 2


def losses(name: str, **options: object) -> list[float]:
    objective = OBJECTIVES.parse({"name": name, **options})
    found = objective.per_example(scores(), build_candidates(examples(), torch.tensor([NEGATIVES]), ITEMS))
    return found.tolist()


def by_hand(position_loss) -> list[float]:
    """The weighted mean over positions of `position_loss(target score, own, other, place, row)`.

    own: {item: score} of the distinct own items; other: scores of the negatives that are not own.
    """
    found = []
    for number, row in enumerate(ROWS):
        total = weight_sum = 0.0
        for place, weight in enumerate(WEIGHTS[number]):
            line = scores()[number, place].tolist()
            own = {item: line[row.index(item)] for item in row}
            other = [line[4 + column] for column, item in enumerate(NEGATIVES) if item not in row]
            total += weight * position_loss(own[row[place]], own, other, place, row)
            weight_sum += weight
        found.append(total / weight_sum)
    return found


def softplus(x: float) -> float:
    return math.log1p(math.exp(-abs(x))) + max(x, 0.0)


def test_sampled_softmax():
    def position(target, own, other, place, row):
        stands_for = (ITEMS - len(own)) / len(other)
        normaliser = sum(math.exp(s) for s in own.values()) + stands_for * sum(math.exp(s) for s in other)
        return -math.log(math.exp(target) / normaliser)

    assert losses("sampled-softmax") == pytest.approx(by_hand(position), rel=1e-5)


def test_sampled_softmax_without_what_was_read():
    def position(target, own, other, place, row):
        left = {item: score for item, score in own.items() if item == row[place] or item not in row[:place]}
        stands_for = (ITEMS - len(own)) / len(other)
        normaliser = sum(math.exp(s) for s in left.values()) + stands_for * sum(math.exp(s) for s in other)
        return -math.log(math.exp(target) / normaliser)

    assert losses("sampled-softmax", mask_history=True) == pytest.approx(by_hand(position), rel=1e-5)


def test_sampled_softmax_over_all_other_items_is_the_full_softmax():
    """With every item that is not one's own as a negative there is nothing to correct: the cross-entropy over the catalogue."""
    every = torch.arange(ITEMS).unsqueeze(0)
    table = torch.randn((len(ROWS), 4, ITEMS), generator=torch.Generator().manual_seed(1))
    batch = examples()
    own = torch.gather(table, 2, batch.items.unsqueeze(1).expand(-1, 4, -1))
    found = OBJECTIVES.parse({"name": "sampled-softmax"}).per_example(
        torch.cat([own, table], dim=-1), build_candidates(batch, every, ITEMS)
    )
    cross_entropy = torch.nn.functional.cross_entropy(table.transpose(1, 2), batch.items, reduction="none")
    expected = (cross_entropy * batch.weight).sum(dim=1) / batch.weight.sum(dim=1)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "options", [{"name": name} for name in OBJECTIVES.names()] + [{"name": "sampled-softmax", "mask_history": True}]
)
def test_scoring_only_where_something_is_learnt_gives_the_same_loss(options):
    objective = OBJECTIVES.parse(options)
    batch, line = examples().take(torch.tensor([1, 2, 3])), scores()[1:]
    whole = objective.per_example(line, build_candidates(batch, torch.tensor([NEGATIVES]), ITEMS))
    place = batch.weight.argmax(dim=1, keepdim=True)  # these have one learnt position each
    few = Examples(batch.items, batch.behaviour, batch.real, batch.weight, place, batch.gap)
    scored = torch.gather(line, 1, place.unsqueeze(2).expand(-1, -1, line.shape[2]))
    found = objective.per_example(scored, build_candidates(few, torch.tensor([NEGATIVES]), ITEMS))
    torch.testing.assert_close(found, whole)


def test_the_correction_is_unbiased_enough_to_matter():
    """With few negatives the uncorrected normaliser misses most of the catalogue; the corrected one does not."""
    items, k = 5000, 64
    one = torch.tensor([[7]])
    row = Examples(one, one * 0, one > 0, torch.ones((1, 1)), one * 0, one * 0)
    table = torch.randn(items, generator=torch.Generator().manual_seed(2))
    full = float(torch.logsumexp(table, 0) - table[7])
    found = []
    for seed in range(50):
        negatives = torch.randint(items, (1, k), generator=torch.Generator().manual_seed(seed))
        line = torch.cat([table[7:8], table[negatives[0]]]).view(1, 1, -1)
        objective = OBJECTIVES.parse({"name": "sampled-softmax"})
        found.append(float(objective.per_example(line, build_candidates(row, negatives, items))))
    assert sum(found) / len(found) == pytest.approx(full, abs=0.05)
    assert full - math.log(items / k) < full - 4  # what would be found without it


def test_bce():
    def position(target, own, other, place, row):
        return (softplus(-target) + sum(map(softplus, other)) / len(other)) / 2

    assert losses("bce") == pytest.approx(by_hand(position), rel=1e-5)


@pytest.mark.parametrize("calibration", [0.0, 0.75, 1.0])
def test_gbce(calibration):
    def position(target, own, other, place, row):
        k = len(other)
        rate = k / (ITEMS - 1)
        beta = rate * (calibration * (1 - 1 / rate) + 1 / rate)
        sigmoid = 1 / (1 + math.exp(-target))
        return -(math.log(sigmoid**beta) + sum(-softplus(s) for s in other)) / (k + 1)

    assert losses("gbce", calibration=calibration) == pytest.approx(by_hand(position), rel=1e-5)


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_no_usable_negative_is_no_disaster(name):
    """Every drawn negative is an own item: a finite loss and a finite gradient."""
    batch = examples().take(torch.tensor([0]))
    line = scores(2)[:1].requires_grad_()
    loss = OBJECTIVES.parse({"name": name}).per_example(line, build_candidates(batch, torch.tensor([[3, 5]]), ITEMS))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(line.grad).all()


@pytest.mark.parametrize("name", OBJECTIVES.names())
def test_only_learnt_positions_and_candidates_get_a_gradient(name):
    line = scores().requires_grad_()
    candidates = build_candidates(examples(), torch.tensor([NEGATIVES]), ITEMS)
    OBJECTIVES.parse({"name": name}).per_example(line, candidates).sum().backward()
    assert (line.grad[candidates.weight == 0] == 0).all()
    assert (line.grad[candidates.masked.expand_as(line)] == 0).all()
    assert (line.grad[candidates.weight > 0].abs().sum(dim=-1) > 0).all()


@pytest.mark.parametrize("options", [{}, {"mask_history": True}], ids=str)
@pytest.mark.parametrize("name", OBJECTIVES.names())
@pytest.mark.parametrize("scale", [1.0, 1e4])
def test_masked_columns_have_no_gradient(name, options, scale):
    """Exactly none, padding and repeats and negatives that are own items: what is added up for an item counts each of its gradients once."""
    if options and name != "sampled-softmax":
        pytest.skip("an option of sampled-softmax")
    candidates = build_candidates(examples(), torch.tensor([NEGATIVES]), ITEMS)
    given = (scores() * scale).requires_grad_()
    losses = OBJECTIVES.parse({"name": name, **options}).per_example(given, candidates)
    (gradient,) = torch.autograd.grad(losses.sum(), [given])
    masked = candidates.masked.expand_as(gradient)
    assert masked.any(dim=(1, 2)).all()
    assert not gradient[masked].any()
    assert gradient[~masked].any()
