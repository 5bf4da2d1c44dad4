"""Is a noise source's stream as random, as normal and as large as it says? The tests on size notice two thirds and one and a half times of it."""

import math
import pickle

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, kstest, norm

from everbloom.errors import PrivacyError
from everbloom.privacy.noise import CryptographicNoise, NoiseSource, SeededNoise

KEY = bytes(range(32))
COUNT = 200_000


def seeded() -> NoiseSource:
    return SeededNoise(torch.Generator().manual_seed(7))


def cryptographic() -> NoiseSource:
    return CryptographicNoise(KEY, b"tests")


@pytest.fixture(params=[seeded, cryptographic])
def source(request) -> NoiseSource:
    return request.param()


def looks_like(noise: torch.Tensor, deviation: float) -> bool:
    """Whether these draws may have that standard deviation: the chi-square statistic within four of its own deviations."""
    count = noise.numel()
    return abs(float((noise.double() / deviation).square().sum()) - count) / math.sqrt(2 * count) < 4


@pytest.mark.parametrize("deviation", [1e-3, 1.0, 250.0])
def test_the_noise_is_as_large_as_asked(source, deviation):
    assert looks_like(source.normal(torch.empty(4096), deviation), deviation)
    for wrong in (2 / 3, 3 / 2):
        assert not looks_like(source.normal(torch.empty(4096), deviation * wrong), deviation)


def test_the_noise_is_normal_with_independent_neighbours(source):
    noise = source.normal(torch.empty(COUNT), 1.0).double().numpy()
    assert kstest(noise, "norm").pvalue > 1e-3
    assert abs(noise.mean()) < 4 / math.sqrt(COUNT)
    assert abs((noise**4).mean() - 3) < 4 * math.sqrt(96 / COUNT)
    # Box and Muller's two numbers of a pair lie half a block apart; neither they nor neighbours may tell of each other, in value or in size.
    for apart in (1, COUNT // 2, 2**15):
        for size in (noise, noise**2):
            assert abs(np.corrcoef(size[apart:], size[:-apart])[0, 1]) < 5 / math.sqrt(COUNT - apart)


def test_tails_are_as_heavy_as_normal():
    noise = CryptographicNoise(KEY, b"tails").normal(torch.empty(2_000_000), 1.0).abs()
    for limit in (3.0, 4.0, 4.75):
        expected = noise.numel() * 2 * norm.sf(limit)
        assert abs(int((noise > limit).sum()) - expected) < 4 * math.sqrt(expected) + 1


def test_the_largest_number_lies_where_53_bits_put_it(monkeypatch):
    stream = CryptographicNoise(KEY)
    monkeypatch.setattr(stream, "words", lambda n: np.zeros(n, dtype=np.uint64))
    assert stream.normal(torch.empty(2), 1.0).max() == pytest.approx(math.sqrt(2 * 53 * math.log(2)))
    monkeypatch.setattr(stream, "words", lambda n: np.full(n, 2**64 - 1, dtype=np.uint64))
    assert torch.isfinite(stream.normal(torch.empty(2), 1.0)).all()


def test_seeded_noise_is_torch_s():
    """What the equivalence with Opacus rests on."""
    expected = torch.empty(33, 7).normal_(0, 2.5, generator=torch.Generator().manual_seed(7))
    assert torch.equal(seeded().normal(torch.empty(33, 7), 2.5), expected)
    assert torch.equal(expected, torch.normal(0, 2.5, (33, 7), generator=torch.Generator().manual_seed(7)))


def test_words_are_uniform(source):
    """The frequency test of NIST SP 800-22 for each bit place, runs of the whole, and a chi-square on bytes."""
    words = source.words(COUNT)
    assert words.dtype == np.uint64
    assert words.shape == (COUNT,)
    bits = np.unpackbits(words.view(np.uint8).reshape(COUNT, 8), axis=1)
    assert np.abs(bits.sum(axis=0) - COUNT / 2).max() < 5 * math.sqrt(COUNT) / 2
    stream = bits.reshape(-1)
    assert abs(int((stream[1:] != stream[:-1]).sum()) - len(stream) / 2) < 4 * math.sqrt(len(stream)) / 2
    assert chisquare(np.bincount(words.view(np.uint8), minlength=256)).pvalue > 1e-4
    assert chisquare(np.bincount((words >> np.uint64(52)).astype(np.int64), minlength=4096)).pvalue > 1e-4
    assert len(np.unique(words)) == COUNT


def test_words_of_a_stream_do_not_depend_on_how_they_are_asked_for():
    one, cut = CryptographicNoise(KEY, b"a"), CryptographicNoise(KEY, b"a")
    assert np.array_equal(one.words(1000), np.concatenate([cut.words(n) for n in (1, 0, 700, 299)]))


def test_streams_of_other_keys_and_labels_are_others():
    def head(stream):
        return stream.words(4).tobytes()

    assert head(CryptographicNoise(KEY, b"a")) == head(CryptographicNoise(KEY, b"a"))
    others = [CryptographicNoise(KEY, b"b"), CryptographicNoise(KEY), CryptographicNoise(bytes(32), b"a")]
    fresh = [CryptographicNoise(), CryptographicNoise(), CryptographicNoise(label=b"a")]
    assert len({head(stream) for stream in [CryptographicNoise(KEY, b"a"), *others, *fresh]}) == 7


def test_any_shape_is_filled_in_place(source):
    for buffer in (torch.full((5, 3), torch.nan).t(), torch.full((), torch.nan), torch.empty(0), torch.zeros(3, 1, 2)):
        assert source.normal(buffer, 1.0) is buffer
        assert torch.isfinite(buffer).all()
    many = torch.zeros(2**16 + 3)
    source.normal(many, 1.0)
    assert (many == 0).sum() < 3
    assert not source.normal(torch.ones(9), 0.0).any()


@pytest.mark.parametrize("deviation", [-1.0, math.nan, math.inf, 1e-40, 1e38])
def test_a_deviation_that_cannot_be_kept_is_refused(source, deviation):
    with pytest.raises(PrivacyError, match="deviation"):
        source.normal(torch.empty(2), deviation)


def test_what_is_not_float32_or_no_key_is_refused(source):
    with pytest.raises(PrivacyError, match="float16"):
        source.normal(torch.empty(2, dtype=torch.float16), 1.0)
    with pytest.raises(PrivacyError, match="16 bytes"):
        CryptographicNoise(bytes(16))


def test_a_stream_does_not_cross_processes(monkeypatch):
    stream = CryptographicNoise()
    with pytest.raises(TypeError):
        pickle.dumps(stream)
    monkeypatch.setattr("os.getpid", lambda: -1)
    with pytest.raises(PrivacyError, match="another process"):
        stream.normal(torch.empty(1), 1.0)


def test_what_a_record_says():
    assert seeded().kind == "seeded (simulation)"
    assert CryptographicNoise().kind == "AES-256-CTR, keyed by the operating system"
    assert CryptographicNoise(KEY).kind == "AES-256-CTR, keyed by the caller"
