"""How a cohort's examples are laid into rectangles: each exactly once, with its own client's negatives and masks."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from everbloom.config import ContentConfig
from everbloom.data.gaps import GAP_CODES
from everbloom.learning.cohort.batches import Cohort, make_batch, pieces, units_of
from everbloom.learning.cohort.forward import similarities
from everbloom.learning.cohort.places import distinct
from everbloom.learning.examples import Examples
from everbloom.models.content import ContentMatch

ITEMS = 9


@st.composite
def cohorts(draw):
    """(cohort, rows of a sample of its examples, ascending)."""
    counts = np.array(draw(st.lists(st.integers(0, 9), min_size=1, max_size=6)))
    width, rng = draw(st.integers(1, 11)), np.random.default_rng(draw(st.integers(0, 999)))
    count = int(counts.sum())
    length = rng.integers(1, width + 1, count)
    real = np.arange(width) < length[:, None]
    only_last = draw(st.booleans())
    examples = Examples(
        torch.from_numpy(np.where(real, rng.integers(0, ITEMS, (count, width)), 0)),
        torch.from_numpy(np.where(real, rng.integers(0, 7, (count, width)), 0)),
        torch.from_numpy(real),
        torch.from_numpy(real.astype(np.float32)),
        torch.from_numpy(length[:, None] - 1) if only_last else torch.arange(width).expand(count, width),
        torch.from_numpy(np.where(real, rng.integers(0, GAP_CODES, (count, width)), 0)),
    )
    negatives = torch.from_numpy(rng.integers(0, ITEMS, (len(counts), 4)))
    kept = rng.random(count) < draw(st.sampled_from([0.0, 0.5, 1.0]))
    return Cohort(examples, counts, negatives, np.zeros(len(counts), dtype=np.uint64)), np.flatnonzero(kept)


def owners(cohort):
    return np.repeat(np.arange(len(cohort)), cohort.counts)


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.sampled_from([None, 1, 2, 64]))
def test_units_part_the_examples(drawn, most):
    """Every example in exactly one unit, and that one its client's."""
    cohort, rows = drawn
    units = units_of(cohort, rows, most)
    assert np.array_equal(np.sort(units.row), rows)
    assert units.offsets[0] == 0
    assert units.offsets[-1] == len(rows)
    assert (units.sizes > 0).all()
    length = cohort.examples.real.sum(dim=1).numpy()
    for number, client in enumerate(units.client):
        mine = units.row[units.offsets[number] : units.offsets[number + 1]]
        assert (owners(cohort)[mine] == client).all()
        assert units.length[number] == length[mine].max()
        if most:
            assert len(mine) <= most
            assert length[mine].max() - length[mine].min() < -(-cohort.examples.items.shape[1] // 4)
    if most is None:
        assert len(set(units.client)) == len(units.client)


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.sampled_from([None, 2, 64]), st.integers(1, 200))
def test_pieces_hold_each_unit_once_and_cost_what_they_may(drawn, most, budget):
    cohort, rows = drawn
    units = units_of(cohort, rows, most)
    cost = units.length * 3
    found = list(pieces(units, budget, cost))
    assert np.array_equal(np.sort(np.concatenate([*found, []])), np.arange(len(units.client)))
    for piece in found:
        assert len(piece) == 1 or len(piece) * units.sizes[piece].max() * cost[piece].max() <= budget


@settings(max_examples=100, deadline=None)
@given(cohorts(), st.sampled_from([None, 2, 64]), st.integers(1, 200))
def test_batches_hold_each_example_once(drawn, most, budget):
    """As it is in the cohort, but for positions that are padding everywhere; what fills a rectangle up is all padding and weighs nothing."""
    cohort, rows = drawn
    units, seen = units_of(cohort, rows, most), []
    count, width = cohort.examples.items.shape
    masks = torch.arange(count * 3 * width).view(count, 3, width)
    for piece in pieces(units, budget, units.length):
        batch = make_batch(cohort, units, piece, masks, ITEMS)
        each, length = len(batch.rows) // len(piece), batch.length
        seen += batch.rows[batch.real].tolist()
        assert torch.equal(batch.negatives, cohort.negatives[batch.client])
        filling, there = ~batch.real, cohort.examples.take(batch.rows[batch.real])
        assert not batch.examples.real[filling].any()
        assert not batch.examples.weight[filling].any()
        assert not batch.examples.items[filling].any()
        assert not there.real[:, length:].any()
        for field in ("items", "behaviour", "real", "weight", "gap"):
            assert torch.equal(getattr(batch.examples, field)[batch.real], getattr(there, field)[:, :length])
        assert torch.equal(batch.examples.place[batch.real], there.place[:, :length])
        assert torch.equal(batch.masks[batch.real], masks[batch.rows[batch.real], :, :length])
        own = batch.client.repeat_interleave(each)[batch.real]
        assert np.array_equal(owners(cohort)[batch.rows[batch.real].numpy()], own.numpy())
        assert batch.candidates.masked[filling, 0, :length].all()
    assert sorted(seen) == rows.tolist()


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.integers(1, 12), st.integers(0, 999))
def test_distinct_items(groups, count, seed):
    """Each group's once, item 0 where it has fewer than another; and the way back."""
    items = torch.from_numpy(np.random.default_rng(seed).integers(0, ITEMS, (groups, count)))
    rows, local = distinct(items)
    assert torch.equal(torch.gather(rows, 1, local), items)
    for row, own in zip(rows.tolist(), items.tolist(), strict=True):
        wanted = sorted(set(own))
        assert row == wanted + [0] * (len(row) - len(wanted))
    assert rows.shape[1] == max(len(set(own)) for own in items.tolist())


@settings(max_examples=60, deadline=None)
@given(cohorts(), st.integers(1, 4), st.sampled_from([None, 2]))
def test_similarities_are_the_content_matchs(drawn, lags, most):
    """Taken once for a unit, and then laid out: the cosines that the model computes for each example."""
    cohort, rows = drawn
    units = units_of(cohort, rows, most)
    features = torch.randn((ITEMS, 5), generator=torch.Generator().manual_seed(0))
    content = ContentMatch(features, ContentConfig(lags=lags))
    for piece in pieces(units, 100, units.length):
        batch = make_batch(cohort, units, piece, None, ITEMS)
        expected = content.similarities(batch.examples.items, batch.examples.place, batch.negatives)
        torch.testing.assert_close(similarities(content, batch), expected, rtol=1e-5, atol=1e-6)
