"""The mask stream is AES-256 in counter mode, and keys of masks are the same on both sides and for no other pair."""

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st
from secagg_cohort import terms_of

from everbloom.privacy.secure_aggregation.masks import MaskStream, keystream, pair_mask_key, reduce, self_mask_key


def test_the_cipher_on_nists_vector():
    """FIPS 197, appendix C.3: AES-256 of one block; and the stream is this cipher over a counter from 0."""
    key = bytes(range(32))
    block = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()
    assert block.update(bytes.fromhex("00112233445566778899aabbccddeeff")).hex() == "8ea2b7ca516745bfeafc49904b496089"
    assert keystream(key, 40) == b"".join(block.update(i.to_bytes(16, "big")) for i in range(3))[:40]


@given(st.integers(1, 70), st.sampled_from([16, 32]), st.binary(min_size=32, max_size=32))
def test_coordinates_are_the_stream_little_endian(length, bits, key):
    terms = terms_of(length=length, bits=bits)
    size = bits // 8
    data = keystream(key, size * length)
    expected = [int.from_bytes(data[size * i : size * (i + 1)], "little") for i in range(length)]
    stream = MaskStream(terms)
    assert stream.expand(key).tolist() == expected
    total = np.arange(length, dtype=terms.dtype)
    stream.add(total, key)
    assert total.tolist() == [(i + value) % 2**bits for i, value in enumerate(expected)]
    stream.subtract(total, key)
    assert total.tolist() == list(range(length))


@given(st.integers(1, 32), st.lists(st.integers(0, 2**16 - 1), min_size=1))
def test_reduced(bits, values):
    terms = terms_of(bits=bits)
    vector = np.array(values, dtype=terms.dtype)
    assert reduce(vector, terms).tolist() == [value % 2**bits for value in values]


def test_keys_of_masks():
    both = pair_mask_key(b"s" * 32, b"b" * 32, 3, 9)
    assert both == pair_mask_key(b"s" * 32, b"b" * 32, 9, 3)
    others = {
        pair_mask_key(b"t" * 32, b"b" * 32, 3, 9),
        pair_mask_key(b"s" * 32, b"c" * 32, 3, 9),
        pair_mask_key(b"s" * 32, b"b" * 32, 3, 8),
        self_mask_key(b"s" * 32, b"b" * 32, 3),
        self_mask_key(b"s" * 32, b"b" * 32, 9),
        self_mask_key(b"s" * 32, b"c" * 32, 3),
    }
    assert len(others | {both}) == 7


@pytest.mark.parametrize("bits", [16, 32])
def test_a_mask_is_overwritten_by_the_next(bits):
    stream = MaskStream(terms_of(bits=bits))
    first = stream.expand(bytes(32))
    kept = first.copy()
    stream.expand(b"1" * 32)
    assert not np.array_equal(first, kept)
