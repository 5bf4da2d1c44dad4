"""What clients draw: negatives that are theirs to draw, in an order that depends on nobody else."""

import numpy as np
import pytest
import torch

from everbloom.federated_baselines.block import block_of, blocks


def drawn(block, client):
    """[epochs, examples] (items, labels) of one client."""
    size = int(block.sizes[client])
    return block.items[:, client, :size].numpy(), block.labels[:, client, :size].numpy()


def test_everybody_with_a_positive_takes_part_longest_first(positives):
    assert positives.participants.tolist() == [1, 4, 0, 3]


def test_each_positive_is_there_with_its_negatives_in_every_epoch(positives, small_baseline):
    block = block_of(positives, positives.participants, small_baseline("fedmf"), 5, 1)
    for place, user in enumerate(block.users):
        own = positives.item[positives.offsets[user] : positives.offsets[user + 1]]
        spared = positives.spared[positives.spared_offsets[user] : positives.spared_offsets[user + 1]]
        for items, labels in zip(*drawn(block, place), strict=True):
            assert sorted(items[labels == 1]) == sorted(own)
            negatives = items[labels == 0]
            assert len(negatives) == 3 * len(own)
            assert not set(negatives) & set(spared)
            assert ((negatives >= 0) & (negatives < 23)).all()
        assert sorted(drawn(block, place)[0][0]) == sorted(drawn(block, place)[0][1])


def test_the_negatives_of_one_positive_differ_and_are_uniform(positives, small_baseline):
    method = small_baseline("fedmf", negatives=19, local_epochs=1)
    block = block_of(positives, np.array([0]), method, 5, 1)
    items, labels = drawn(block, 0)
    # 19 of the 19 items that user 0 may draw, for each of 3 positives: each of them three times.
    free = [item for item in range(23) if item not in (1, 3, 4, 17)]
    assert sorted(items[labels == 0]) == sorted(free * 3)
    few = small_baseline("fedmf", negatives=2, local_epochs=1)
    counts = np.zeros(23)
    for round in range(1, 1001):
        items, labels = drawn(block_of(positives, np.array([0]), few, 5, round), 0)
        counts += np.bincount(items[labels == 0], minlength=23)
    assert counts[[1, 3, 4, 17]].sum() == 0
    expected = 6000 / 19
    assert (np.abs(counts[free] - expected) < 5 * expected**0.5).all()


def test_what_a_client_draws_does_not_depend_on_its_block(positives, small_baseline):
    method = small_baseline("fedmf")
    together = block_of(positives, positives.participants, method, 5, 2)
    for place, user in enumerate(together.users):
        alone = block_of(positives, np.array([user]), method, 5, 2)
        for one, other in zip(drawn(together, place), drawn(alone, 0), strict=True):
            np.testing.assert_array_equal(one, other)
    other_round = block_of(positives, positives.participants, method, 5, 3)
    assert not torch.equal(together.items, other_round.items)
    assert not torch.equal(together.items, block_of(positives, positives.participants, method, 6, 2).items)


def test_batches_go_through_every_example_once_an_epoch(positives, small_baseline):
    method = small_baseline("fedmf")
    (block,) = blocks(positives, method, 5, 1)
    seen = [0] * 4
    for batch in block.batches(8):
        assert torch.allclose(batch.weight.sum(1), torch.ones(batch.clients))
        for client in range(batch.clients):
            seen[client] += int((batch.weight[client] > 0).sum())
    assert seen == (2 * block.sizes).tolist()


def test_halves_divide_each_clients_own_examples(positives, small_baseline):
    block = block_of(positives, positives.participants, small_baseline("fedrecon"), 5, 1)
    support, query = block.halves()
    assert (support.sizes + query.sizes).tolist() == block.sizes.tolist()
    for client in range(len(block.users)):
        joined = np.concatenate([drawn(support, client)[0], drawn(query, client)[0]], axis=1)
        np.testing.assert_array_equal(joined, drawn(block, client)[0])


@pytest.mark.parametrize("clients", [1, 3])
def test_blocks_are_cut_without_losing_anybody(positives, small_baseline, monkeypatch, clients):
    monkeypatch.setattr("everbloom.federated_baselines.block._CLIENTS", clients)
    cut = list(blocks(positives, small_baseline("fedmf"), 5, 1))
    assert np.concatenate([block.users for block in cut]).tolist() == [1, 4, 0, 3]
    assert max(len(block.users) for block in cut) == clients
