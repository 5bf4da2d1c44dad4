"""Plans as experiments have them, of a few rounds; and ledgers that forget."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from everbloom.config import LearningConfig, ModelConfig, PrivacyConfig
from everbloom.privacy.course import Course, Setting
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.plan import PrivacyPlan
from simulation.audit.devices import Ledgers

PlanOf = Callable[..., PrivacyPlan]


@pytest.fixture(scope="session")
def plan_of() -> PlanOf:
    """(privacy table, parameters=, learning=, **course) -> the plan that an experiment of it has."""

    def build(
        table: dict[str, Any], parameters: int = 64, learning: dict[str, Any] | None = None, **course: Any
    ) -> PrivacyPlan:
        privacy = PrivacyConfig.model_validate({"delta": 1e-5, **table})
        facts = Course(**{"rounds": 3, "population": 100, "cohort": 20, **course})
        examples = LearningConfig.model_validate({"examples": "next-item", **(learning or {})})
        assert privacy.mechanism is not None
        return privacy.mechanism.plan(Setting(privacy, examples, ModelConfig(), facts, parameters))

    return build


class _Forgetful(Ledger):
    """Its count is lost once, as if a device had been reinstalled."""

    lost = False

    def reserve_all(self, clients: np.ndarray) -> dict[int, str]:
        refused = super().reserve_all(clients)
        if not refused or self.lost:
            return refused
        self.lost = True
        self.participations[:] = 0
        return super().reserve_all(clients)


@pytest.fixture(scope="session")
def forgetful() -> Ledgers:
    """Ledgers under which every device takes part twice as often as its plan allows."""
    return lambda plan, devices: _Forgetful(plan, np.zeros(devices, dtype=np.int32))
