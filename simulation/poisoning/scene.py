"""Who attacks, and for which item: functions of the experiment's seed and of public counts, so that runs of one seed have one scene."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import ConfigError
from everbloom.evaluation.training_events import item_counts
from everbloom.seeding import numpy_generator
from everbloom.study import Study

_UNPOPULAR = 0.25
"""The target is drawn from this least popular part of the items that anybody has met."""


@dataclass(frozen=True, eq=False)
class Scene:
    """`attackers` [attackers] int64 client numbers, ascending; `target` the index of the item that promotions want up."""

    attackers: NDArray[np.int64]
    target: int

    @classmethod
    def of(cls, study: Study, fraction: float) -> "Scene":
        """Of a study's people, of whom this share is in one hand. Raises `ConfigError` if that is nobody."""
        seed, count = study.experiment.seed, round(fraction * study.clients)
        if count < 1:
            raise ConfigError(f"--fraction {fraction:g}: of {study.clients} people that is nobody; give a larger one")
        drawn = numpy_generator(seed, "attackers").permutation(study.clients)[:count]
        counts = item_counts(study.timeline, 0)
        met = np.flatnonzero(counts)
        order = met[np.argsort(counts[met], kind="stable")]
        few = order[: max(1, int(_UNPOPULAR * len(order)))]
        return cls(np.sort(drawn).astype(np.int64), int(numpy_generator(seed, "promoted-item").choice(few)))
