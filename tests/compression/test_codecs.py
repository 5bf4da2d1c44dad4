"""Every registered codec keeps the contract; each one against what its paper says, written out."""

from dataclasses import replace

import numpy as np
import pytest

from everbloom.compression.codec import Stretch
from everbloom.compression.sending import compressed
from everbloom.errors import SchemaError
from everbloom.methods import COMPRESSIONS
from everbloom.seeding import PublicDraws

BLOCKS = [Stretch(0, (40, 16)), Stretch(640, (16,)), Stretch(656, (12, 24)), Stretch(944, (3, 3)), Stretch(953, ())]
PARAMS = 954
OPTIONS = {"top-k": {"fraction": 0.1}, "8-bit": {"block": 100}, "low-rank": {"rank": 3}, "colr": {"rank": 5}}
DRAWS = PublicDraws(7, np.array([4, 9, 2, 30]), period=1, round=3)
VECTORS = np.random.default_rng(0).standard_normal((4, PARAMS)).astype(np.float32)


def opened(name, **options):
    return COMPRESSIONS.parse({"name": name, **OPTIONS[name], **options}).open(BLOCKS)


@pytest.mark.parametrize("name", COMPRESSIONS.names())
class TestEvery:
    def test_as_many_bytes_as_it_says_and_they_are_read_again(self, name):
        codec = opened(name)
        encoded = codec.encode(VECTORS, DRAWS)
        rows = encoded.rows()
        assert rows.dtype == np.uint8
        assert rows.shape == (4, codec.size)
        assert codec.size < 4 * PARAMS
        again = codec.read(rows)
        assert np.array_equal(again.numbers, encoded.numbers)
        assert np.array_equal(again.codes, encoded.codes)
        decoded = codec.decode(again, replace(DRAWS, clients=np.zeros(1)))
        assert decoded.dtype == np.float32
        assert np.array_equal(decoded, codec.decode(encoded, DRAWS))

    def test_each_device_is_encoded_by_itself(self, name):
        codec = opened(name)
        together = codec.decode(codec.encode(VECTORS, DRAWS), DRAWS)
        for place in range(4):
            own = DRAWS.of(np.array([place]))
            alone = codec.decode(codec.encode(VECTORS[place : place + 1], own), own)
            np.testing.assert_allclose(alone[0], together[place], atol=1e-5)

    def test_nearer_to_the_vector_than_nothing_is(self, name):
        """A contraction, on average over rounds: what error feedback needs (Karimireddy et al., 2019)."""
        codec = opened(name)
        left = []
        for round in range(20):
            draws = replace(DRAWS, round=round)
            left.append(((codec.decode(codec.encode(VECTORS, draws), draws) - VECTORS) ** 2).sum(axis=1))
        assert (np.mean(left, axis=0) < 0.95 * (VECTORS**2).sum(axis=1)).all()

    def test_shorter_numbers_are_a_shorter_vector(self, name):
        codec = opened(name)
        encoded = codec.encode(VECTORS, DRAWS)
        factors = np.array([0.5, 0.1, 1.0, 0.0])
        found = codec.decode(encoded.scaled(factors), DRAWS)
        np.testing.assert_allclose(found, codec.decode(encoded, DRAWS) * factors[:, None], atol=1e-6)

    def test_nothing_is_nothing(self, name):
        codec = opened(name)
        assert not codec.decode(codec.encode(np.zeros_like(VECTORS), DRAWS), DRAWS).any()
        nobody = compressed(codec, VECTORS[:0], None, DRAWS.of(np.zeros(0, dtype=np.int64)), 1.0)
        assert nobody.encoded.rows().shape == (0, codec.size)

    def test_bytes_of_another_length_or_no_numbers_are_refused(self, name):
        codec = opened(name)
        rows = codec.encode(VECTORS, DRAWS).rows()
        for wrong in (rows[:, :-1], rows.astype(np.float32), rows[0]):
            with pytest.raises(SchemaError, match="unusable update"):
                codec.read(wrong)
        rows[1, :4] = np.frombuffer(np.float32(np.nan).tobytes(), dtype=np.uint8)
        with pytest.raises(SchemaError, match="not finite"):
            codec.read(rows)


def test_top_k_keeps_the_largest_as_they_are():
    codec = opened("top-k")
    assert codec.size == 8 * 96
    decoded = codec.decode(codec.encode(VECTORS, DRAWS), DRAWS)
    for vector, found in zip(VECTORS, decoded, strict=True):
        largest = np.sort(np.argsort(-np.abs(vector))[:96])
        assert np.array_equal(np.flatnonzero(found), largest)
        assert np.array_equal(found[largest], vector[largest])


@pytest.mark.parametrize("places", [[5, 5], [9, 2], [1, PARAMS]])
def test_top_k_places_that_no_device_sends(places):
    codec = COMPRESSIONS.parse({"name": "top-k", "fraction": 2 / PARAMS}).open(BLOCKS)
    row = np.concatenate([np.ones(2, "<f4").view(np.uint8), np.array(places, "<u4").view(np.uint8)])
    with pytest.raises(SchemaError, match="do not ascend"):
        codec.decode(codec.read(row[None]), DRAWS)


def test_eight_bits_are_right_on_average_and_never_a_step_off():
    codec = opened("8-bit")
    assert codec.size == PARAMS + 4 * 10
    steps = np.repeat(np.abs(np.pad(VECTORS, ((0, 0), (0, 46))).reshape(4, 10, 100)).max(axis=2) / 127, 100, axis=1)
    steps = steps[:, :PARAMS]
    rounds = 400
    total = np.zeros(VECTORS.shape)
    for round in range(rounds):
        draws = replace(DRAWS, round=round)
        decoded = codec.decode(codec.encode(VECTORS, draws), draws)
        assert (np.abs(decoded - VECTORS) <= steps * (1 + 1e-4)).all()
        total += decoded
    # The deviation of one rounding is at most half a step.
    assert (np.abs(total / rounds - VECTORS) < 5 * 0.5 * steps / np.sqrt(rounds) + 1e-6).all()
    # It would notice rounding that is always down, or to the nearest.
    assert np.abs(np.round(VECTORS / steps) * steps - VECTORS).max() > (5 * 0.5 * steps / np.sqrt(rounds)).max()


def test_low_rank_is_a_projection_and_exact_where_there_is_no_more():
    codec = opened("low-rank")
    assert codec.size == 4 * (3 * (40 + 16) + 16 + 3 * (12 + 24) + 9 + 1)
    decoded = codec.decode(codec.encode(VECTORS, DRAWS), DRAWS)
    for vector, found in zip(VECTORS, decoded, strict=True):
        matrix, lower = vector[:640].reshape(40, 16), found[:640].reshape(40, 16)
        assert np.linalg.matrix_rank(lower, tol=1e-4) == 3
        assert abs(np.sum(lower * (matrix - lower))) < 1e-3  # what is left stands at right angles
        assert np.array_equal(found[640:656], vector[640:656])
        assert np.array_equal(found[944:], vector[944:])
    simple = VECTORS.copy()
    rng = np.random.default_rng(1)
    simple[:, :640] = (rng.standard_normal((4, 40, 2)) @ rng.standard_normal((4, 2, 16))).reshape(4, -1)
    found = codec.decode(codec.encode(simple, DRAWS), DRAWS)
    np.testing.assert_allclose(found[:, :640], simple[:, :640], atol=1e-4)


def test_a_low_rank_basis_that_would_make_an_update_longer_is_refused():
    codec = opened("low-rank")
    encoded = codec.encode(VECTORS, DRAWS)
    long = replace(encoded, codes=(encoded.codes.view("<f4") * np.float32(3)).view(np.uint8))
    with pytest.raises(SchemaError, match="longer than 1"):
        codec.decode(long, DRAWS)


def test_colr_is_one_linear_map_for_all_devices_of_a_round():
    codec = opened("colr")
    assert codec.size == 4 * (40 * 5 + 16 + 24 * 5 + 9 + 1)
    encoded = codec.encode(VECTORS, DRAWS)
    summed = codec.encode(VECTORS.sum(axis=0, keepdims=True), DRAWS)
    np.testing.assert_allclose(encoded.numbers.sum(axis=0), summed.numbers[0], atol=1e-4)
    np.testing.assert_allclose(codec.decode(encoded, DRAWS).sum(axis=0), codec.decode(summed, DRAWS)[0], atol=1e-4)
    # A projection: sent again in the same round, nothing more is lost; in another round it is another one.
    once = codec.decode(encoded, DRAWS)
    np.testing.assert_allclose(codec.decode(codec.encode(once, DRAWS), DRAWS), once, atol=1e-4)
    other = replace(DRAWS, round=4)
    assert np.abs(codec.decode(codec.encode(VECTORS, other), other) - once).max() > 0.1
    # Rows of an item table are told apart: only their own coordinates lose.
    row = np.zeros((1, PARAMS), dtype=np.float32)
    row[0, 32:48] = 1.0
    assert set(np.flatnonzero(codec.decode(codec.encode(row, DRAWS), DRAWS))) <= set(range(32, 48))


@pytest.mark.parametrize("name", ["top-k", "low-rank", "colr"])
def test_no_vector_grows(name):
    codec = opened(name)
    found = codec.decode(codec.encode(VECTORS, DRAWS), DRAWS)
    assert (np.linalg.norm(found, axis=1) <= np.linalg.norm(VECTORS, axis=1) * (1 + 1e-6)).all()
