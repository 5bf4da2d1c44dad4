"""Epsilon of configurations that others published, against two independent accountants: Opacus's PRV and Microsoft's prv_accountant.

Neither shares code with the accountant that we call (dp-accounting's privacy loss distributions). The figures that were published themselves come
from moments or Renyi accountants, which are looser: they bound ours from above.
"""

import math
import warnings

import pytest
from opacus.accountants import PRVAccountant as OpacusPRV
from prv_accountant import PoissonSubsampledGaussianMechanism
from prv_accountant import PRVAccountant as MicrosoftPRV

from everbloom.privacy.accounting.gaussian import gaussian_epsilon
from everbloom.privacy.accounting.sampled import poisson_epsilon, poisson_noise

PUBLISHED = {
    # Opacus, examples/mnist_README.md: sample rate .004, 45, 60 and 15 epochs of 250 steps.
    "opacus-mnist-7.10": (0.7, 0.004, 11_250, 1e-5, 7.10),
    "opacus-mnist-3.01": (1.1, 0.004, 15_000, 1e-5, 3.01),
    "opacus-mnist-1.19": (1.3, 0.004, 3_750, 1e-5, 1.19),
    # TensorFlow Privacy, tutorials/README.md: 60,000 images in batches of 256, 30 epochs.
    "tf-privacy-mnist-9.74": (0.6, 256 / 60_000, 7_031, 1e-5, 9.75),
    # Abadi et al. (2016), section 3.2: lots of 1% of the data, 100 and 400 epochs, by the moments accountant.
    "abadi-100-epochs": (4.0, 0.01, 10_000, 1e-5, 1.26),
    "abadi-400-epochs": (4.0, 0.01, 40_000, 1e-5, 2.55),
    # De et al. (2022), CIFAR-10, WRN-16-4: jax_privacy's cifar10_wrn_16_4_eps1.
    "de-cifar10": (10.0, 4_096 / 50_000, 725, 1e-5, 1.0),
    # De et al. (2022), ImageNet, NF-ResNet-50: jax_privacy's imagenet_nf_resnet_50_eps8.
    "de-imagenet": (2.5, 16_384 / 1_281_167, 71_589, 8e-7, 8.0),
    # McMahan et al. (2018), table 1, a keyboard's language model by the unit of a user: 5,000 of 763,430 users a round.
    "mcmahan-keyboard": (1.0, 5_000 / 763_430, 4_120, 1e-9, 4.634),
    # prv_accountant, README (Gopi, Lee and Wutschitz, 2021); no figure is given there.
    "prv-readme": (0.8, 5e-3, 1_000, 1e-6, math.inf),
    # Central user-level training, 10,000 users, 200 rounds, cohorts of 100 and of 500: noise for epsilon 2 by Renyi accounting.
    "central-cohort-100": (0.845, 0.01, 200, 1e-6, 2.0),
    "central-cohort-500": (1.885, 0.05, 200, 1e-6, 2.0),
    # Few steps at a high rate, which is what a device does; Renyi says 12.53.
    "device": (1.0, 0.25, 40, 1e-5, 12.54),
}
"""Noise multiplier, sample rate, steps, delta, epsilon as published."""


@pytest.fixture(autouse=True)
def _oracles_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the oracles' own making
        yield


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configurations_within_one_percent_of_two_oracles(name):
    noise, rate, steps, delta, published = PUBLISHED[name]
    found = poisson_epsilon(noise, rate, steps, delta)
    opacus = OpacusPRV()
    opacus.history = [(noise, rate, steps)]
    assert found == pytest.approx(opacus.get_epsilon(delta, eps_error=0.002 * found), rel=0.01)
    mechanism = PoissonSubsampledGaussianMechanism(sampling_probability=rate, noise_multiplier=noise)
    microsoft = MicrosoftPRV(mechanism, max_self_compositions=steps, eps_error=0.01 * found, delta_error=delta / 1000)
    low, estimate, high = microsoft.compute_epsilon(delta, [steps])
    assert low <= found <= high
    assert found == pytest.approx(estimate, rel=0.002)
    assert found <= published


def test_calibration_for_stackoverflow_as_pfl_research_sets_it_up():
    """Cohorts of 5,000 of a million users, 2,000 rounds, epsilon 2 at delta 1e-6 (pfl-research, benchmarks/lm, central privacy)."""
    noise = poisson_noise(2.0, 0.005, 2_000, 1e-6)
    opacus = OpacusPRV()
    opacus.history = [(noise, 0.005, 2_000)]
    assert opacus.get_epsilon(1e-6, eps_error=0.004) == pytest.approx(2.0, rel=0.01)


@pytest.mark.parametrize(
    ("noise", "steps", "delta"),
    [(1.0, 1, 1e-5), (3.33, 48, 1e-3), (0.5, 10, 1e-6), (20.0, 1_000, 1e-8), (100.0, 10_000, 1e-8), (200.0, 100, 1e-5)],
)
def test_rate_one_is_the_full_batch_which_is_known_exactly(noise, steps, delta):
    """From epsilon .004 to 90; (100, 10,000) is prv_accountant's own test of the analytic solution."""
    exact = gaussian_epsilon(math.sqrt(steps) / noise, delta)
    found = poisson_epsilon(noise, 1.0, steps, delta)
    assert exact <= found * (1 + 1e-6)
    assert found == pytest.approx(exact, rel=0.002, abs=2e-5)


def test_many_small_steps_are_not_overcharged():
    """A grid of 1e-3 for all would say 1.278 here: losses of one step spread by .0007 only."""
    assert poisson_epsilon(30.0, 0.02, 100_000, 1e-8) == pytest.approx(1.080, rel=0.002)


@pytest.mark.parametrize(
    ("epsilon", "rate", "steps", "delta"),
    [(0.05, 0.9, 5, 1e-2), (0.1, 0.01, 10_000, 1e-6), (2.0, 0.05, 200, 1e-6), (8.0, 0.2, 5, 1e-3), (20.0, 0.5, 100, 1e-5)],
)  # fmt: skip
def test_calibration_is_tight_and_takes_few_distributions(epsilon, rate, steps, delta):
    before = poisson_epsilon.cache_info().misses
    noise = poisson_noise(epsilon, rate, steps, delta)
    assert poisson_epsilon.cache_info().misses - before <= 9
    assert poisson_epsilon(noise, rate, steps, delta) <= epsilon
    assert poisson_epsilon(noise / 1.003, rate, steps, delta) > epsilon
    hits = poisson_noise.cache_info().hits
    assert poisson_noise(epsilon, rate, steps, delta) == noise
    assert poisson_noise.cache_info().hits == hits + 1
