"""Plans of experiments in a few words."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from everbloom.config import LearningConfig, ModelConfig, PrivacyConfig
from everbloom.privacy.course import Course
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.plan import PrivacyPlan, build_plan

PARAMETERS = 40


@pytest.fixture(scope="session")
def plan_for() -> Callable[..., PrivacyPlan]:
    """(mechanism, course={...}, **privacy) -> the plan of 40 parameters; 60 users unless told, cohorts of 12, 20 rounds."""

    def build(mechanism: str | dict[str, Any], course: dict[str, Any] | None = None, **privacy: Any) -> PrivacyPlan:
        name = mechanism if isinstance(mechanism, str) else mechanism["name"]
        sampler = {"sampler": "poisson"} if name == "central" else {}
        budget = {} if "noise_multiplier" in privacy else {"epsilon": 4.0}
        found = build_plan(
            PrivacyConfig.model_validate({"unit": "user", "mechanism": mechanism, "delta": 1e-4, **budget, **privacy}),
            LearningConfig(),
            ModelConfig(),
            Course.model_validate({"rounds": 20, "population": 60, "cohort": 12, **sampler, **(course or {})}),
            PARAMETERS,
        )
        assert found is not None
        return found

    return build


@pytest.fixture
def noise() -> Callable[[int], SeededNoise]:
    """A seed -> a source."""
    return lambda seed: SeededNoise(torch.Generator().manual_seed(seed))
