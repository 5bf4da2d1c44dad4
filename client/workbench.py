"""What a process needs to train under given terms: model, layout, plan. Built once and used for every round (in a simulation: for every client)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.learning.local import LocalTrainer
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import build_recommender
from everbloom.privacy.plan import PrivacyPlan, build_plan
from everbloom.wire import Terms


@dataclass(frozen=True)
class Workbench:
    """`plan` is the device's own, computed from the terms: the server's word for the noise counts for nothing."""

    terms: Terms
    items: int
    layout: ParameterLayout
    plan: PrivacyPlan | None
    trainer: LocalTrainer


def build_workbench(terms: Terms, items: int, features: NDArray[np.float32] | None) -> Workbench:
    """`features` [items, width] or None. Raises `PrivacyError` if the terms' claim cannot be kept."""
    plan = build_plan(terms.privacy, terms.learning, terms.model, terms.rounds)
    model = build_recommender(items, features, terms.model, terms.seed)
    layout = ParameterLayout.of(model)
    return Workbench(terms, items, layout, plan, LocalTrainer(model, layout, terms.learning, plan))
