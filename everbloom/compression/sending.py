"""What devices send of their finished updates, and what they remember of the rest (error feedback: Seide et al., Interspeech 2014; Karimireddy et
al., ICML 2019)."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.compression.codec import Codec, Encoded
from everbloom.privacy.plan import PrivacyPlan
from everbloom.privacy.release import clip_factors, norms_of
from everbloom.seeding import PublicDraws


@dataclass(frozen=True, eq=False)
class Sent:
    """`encoded`: what leaves the devices; `vectors` [clients, params]: what the server reads in it; `rest` [clients, params]: what was not sent."""

    encoded: Encoded
    vectors: NDArray[np.float32]
    rest: NDArray[np.float32]


def compressed(
    codec: Codec,
    updates: NDArray[np.float32],
    rest: NDArray[np.float32] | None,
    draws: PublicDraws,
    bound: float | None,
) -> Sent:
    """`updates` [clients, params] as the plan released them, `rest` [clients, params] of earlier rounds (None: no error feedback).

    `bound`: the norm that the plan counts on, where it is the server that adds the noise. Rounding and what is added from earlier rounds can make a
    vector longer, so what is sent is clipped once more, last. What is remembered is clipped too, lest a device whose updates are always too long
    goes on sending old ones for ever (as in DiceSGD: Zhang et al., ICLR 2024).
    """
    wanted = updates if rest is None else updates + rest
    if not len(wanted):
        nothing = Encoded(np.zeros((0, codec.numbers), np.float32), np.zeros((0, codec.codes), np.uint8))
        return Sent(nothing, wanted, wanted)
    encoded = codec.encode(wanted, draws)
    vectors = codec.decode(encoded, draws)
    if bound is not None:
        encoded = encoded.scaled(_factors(vectors, bound))
        vectors = codec.decode(encoded, draws)
    left = wanted - vectors
    return Sent(encoded, vectors, left if bound is None else _clipped(left, bound))


def sent_bound(plan: PrivacyPlan | None, bound: float | None) -> float | None:
    """The norm that a plan counts on in what devices send; None if it counts on none. `bound`: of this round (default: the plan's)."""
    if plan is None or plan.release is None or not plan.release.only_clips:
        return None
    return plan.clip_norm if bound is None else bound


def _factors(vectors: NDArray[np.float32], bound: float) -> NDArray[np.float64]:
    factors: NDArray[np.float64] = clip_factors(norms_of(torch.from_numpy(vectors)), bound).numpy()
    return factors


def _clipped(vectors: NDArray[np.float32], bound: float) -> NDArray[np.float32]:
    return (vectors * _factors(vectors, bound)[:, None]).astype(np.float32)
