"""What is remembered and sent later: nothing is lost, nothing is too long, and what compression alone would never reach is reached."""

from dataclasses import replace

import numpy as np
import pytest

from everbloom.compression.codec import Stretch
from everbloom.compression.sending import compressed, sent_bound
from everbloom.methods import COMPRESSIONS
from everbloom.seeding import PublicDraws

BLOCKS = [Stretch(0, (12, 8)), Stretch(96, (4,))]
PARAMS = 100
CLIENTS = np.arange(6)
OPTIONS = {"top-k": {"fraction": 0.03}, "8-bit": {"block": 25}, "low-rank": {"rank": 1}, "colr": {"rank": 1}}


def codec_of(name):
    return COMPRESSIONS.parse({"name": name, **OPTIONS[name]}).open(BLOCKS)


@pytest.mark.parametrize("name", COMPRESSIONS.names())
def test_nothing_is_lost(name):
    codec, rng = codec_of(name), np.random.default_rng(0)
    rest = np.zeros((6, PARAMS), dtype=np.float32)
    wanted = sent = np.zeros((6, PARAMS))
    for round in range(30):
        updates = rng.standard_normal((6, PARAMS)).astype(np.float32)
        found = compressed(codec, updates, rest, PublicDraws(1, CLIENTS, 0, round), None)
        rest, wanted, sent = found.rest, wanted + updates, sent + found.vectors
        np.testing.assert_allclose(sent + rest, wanted, atol=1e-3)


@pytest.mark.parametrize("name", COMPRESSIONS.names())
def test_whatever_is_remembered_no_vector_is_longer_than_the_plan_counts_on(name):
    """Updates that all point one way, at the bound: what was not sent piles up, and presses against the bound in every round."""
    codec, bound = codec_of(name), 0.7
    rest = np.zeros((6, PARAMS), dtype=np.float32)
    update = np.random.default_rng(0).standard_normal((6, PARAMS)).astype(np.float32)
    update *= bound / np.linalg.norm(update, axis=1, keepdims=True)
    longest = 0.0
    for round in range(40):
        draws = PublicDraws(1, CLIENTS, 0, round)
        found = compressed(codec, update, rest, draws, bound)
        rest = found.rest
        # Of the bytes that leave, as the server reads them.
        read = codec.decode(codec.read(found.encoded.rows()), draws)
        assert np.array_equal(read, found.vectors)
        norms = np.linalg.norm(read.astype(np.float64), axis=1)
        assert (norms <= bound).all()
        assert (np.linalg.norm(rest.astype(np.float64), axis=1) <= bound * (1 + 1e-6)).all()
        longest = max(longest, norms.max())
    assert longest > 0.3 * bound


def descended(codec, feedback, rounds=600, rate=0.05):
    """Gradient descent on the mean over devices of |x - target_d|^2 / 2, whose targets differ a lot: distance from the optimum at the end.

    One coordinate pulls each device hard and in another direction; the mean of these pulls is small, and the rest is never among the largest.
    """
    rng = np.random.default_rng(0)
    targets = rng.standard_normal((6, PARAMS)).astype(np.float32)
    targets[:, :3] += np.where(CLIENTS % 2 == 0, 30.0, -30.0)[:, None].astype(np.float32)
    optimum, x = targets.mean(axis=0), np.zeros(PARAMS, dtype=np.float32)
    rest = np.zeros((6, PARAMS), dtype=np.float32) if feedback else None
    for round in range(rounds):
        found = compressed(codec, rate * (targets - x), rest, PublicDraws(1, CLIENTS, 0, round), None)
        rest = found.rest if feedback else None
        x = x + found.vectors.mean(axis=0)
    return float(np.linalg.norm(x - optimum) / np.linalg.norm(optimum))


def test_error_feedback_converges_where_the_largest_entries_alone_do_not():
    codec = codec_of("top-k")
    assert descended(codec, feedback=False) > 0.6
    assert descended(codec, feedback=True, rounds=3000, rate=0.01) < 0.25
    assert descended(codec, feedback=True, rounds=12000, rate=0.0025) < 0.1


@pytest.mark.parametrize("name", ["8-bit", "low-rank", "colr"])
def test_error_feedback_converges(name):
    assert descended(codec_of(name), feedback=True, rounds=3000, rate=0.01) < 0.25


def test_where_the_bound_comes_from(small, study_of):
    def bound(**privacy):
        federation = {"sampler": "poisson"} if privacy.get("mechanism") == "central" else {}
        study = study_of(
            small(privacy={"delta": 1e-4, "epsilon": 8.0, "clip_norm": 0.4, **privacy}, federation=federation)
        )
        return sent_bound(study.plan, None), sent_bound(study.plan, 0.2)

    assert bound(unit="user", mechanism="central") == (0.4, 0.2)
    assert bound(unit="user", mechanism="matrix-factorisation") == (0.4, 0.2)
    assert bound(unit="user", mechanism="local") == (None, None)
    assert bound(unit="example", denominator=10.0) == (None, None)
    assert sent_bound(None, 0.2) is None


def test_a_round_is_a_function_of_its_own_draws():
    codec = codec_of("8-bit")
    updates = np.random.default_rng(0).standard_normal((6, PARAMS)).astype(np.float32)
    draws = PublicDraws(1, CLIENTS, 0, 1)
    one, same = (compressed(codec, updates, None, draws, None).vectors for _ in range(2))
    other = compressed(codec, updates, None, replace(draws, round=2), None).vectors
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
