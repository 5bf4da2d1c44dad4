"""What `clustered_update` does for one client after another, for a cohort: everybody chooses, then each model's cluster trains together."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.learning.clustered import best_copies, remembered
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.engine import CohortTrainer, CohortUpdate, finished_updates
from everbloom.models.copies import Copies
from everbloom.privacy.plan import PrivacyPlan


def plans_of(plan: PrivacyPlan | None, copies: Copies | None) -> tuple[PrivacyPlan | None, PrivacyPlan | None]:
    """(what `CohortTrainer` follows, what `ClusteredTraining` does in its place). Noise of a device's own lies on all copies: the one that it changed
    must not show."""
    if copies is None or plan is None or plan.release is None or plan.release.summable:
        return plan, None
    return None, plan


class ClusteredTraining:
    """Of a cohort whose clients keep one number each; `parameters` and deltas [params] are those of all copies."""

    def __init__(self, trainer: CohortTrainer, copies: Copies, plan: PrivacyPlan | None = None) -> None:
        """`trainer` is of one copy's model; it clips, where nothing more is done to one update. `plan`: what makes of each whole update what leaves
        its device, in the trainer's place; see `plans_of`.
        """
        self.trainer = trainer
        self.copies = copies
        self.plan = plan

    def total(
        self,
        parameters: NDArray[np.float32],
        cohort: Cohort,
        bound: float | None = None,
        sent: NDArray[np.float32] | None = None,
    ) -> CohortUpdate:
        """See `CohortTrainer.total`; `sent` is None."""
        if self.plan is not None:
            update = self.each(parameters, cohort, bound)
            return replace(update, deltas=update.deltas.sum(axis=0, dtype=update.deltas.dtype, keepdims=True))
        choice, trained = self._choice(parameters, cohort), np.ones(len(cohort), dtype=np.bool_)
        total = self._zeros(1)
        for copy, members, part in self._clusters(choice, cohort):
            update = self.trainer.total(self.copies.taken(parameters, copy), part, bound)
            self._add(total, copy, update.deltas)
            trained[members] = update.trained
        return CohortUpdate(total, trained, self._kept(choice, cohort, trained))

    def each(
        self,
        parameters: NDArray[np.float32],
        cohort: Cohort,
        bound: float | None = None,
        sent: NDArray[np.float32] | None = None,
    ) -> CohortUpdate:
        """See `CohortTrainer.each`; `sent` is None."""
        choice, trained = self._choice(parameters, cohort), np.ones(len(cohort), dtype=np.bool_)
        found = self._zeros(len(cohort))
        for copy, members, part in self._clusters(choice, cohort):
            update = self.trainer.each(self.copies.taken(parameters, copy), part, bound)
            whole = self._zeros(len(update.deltas))
            self._add(whole, copy, update.deltas)
            trained[members] = update.trained
            found[members[update.trained]] = whole
        deltas = found[trained]
        if self.plan is not None and self.plan.release is not None:
            limit = self.plan.clip_norm if bound is None else bound
            deltas = finished_updates(self.plan.release, torch.from_numpy(deltas), limit, cohort, trained)
        return CohortUpdate(deltas, trained, self._kept(choice, cohort, trained))

    def _zeros(self, rows: int) -> NDArray[np.float32]:
        """[rows, params], and a column of what a plan has devices tell beside their update."""
        release = None if self.trainer.plan is None else self.trainer.plan.release
        beside = release is not None and release.tells_clipping
        return np.zeros((rows, self.copies.layout.size() + beside), dtype=np.float32)

    def _add(self, whole: NDArray[np.float32], copy: int, deltas: NDArray[np.float32]) -> None:
        """Adds deltas of one copy, and what is told beside them, to those of all copies."""
        self.copies.add(whole, copy, deltas[:, : self.copies.model.size()])
        whole[:, self.copies.layout.size() :] += deltas[:, self.copies.model.size() :]

    def _choice(self, parameters: NDArray[np.float32], cohort: Cohort) -> NDArray[np.int64]:
        """[clients] which copy each trains."""
        copies = range(self.copies.number)
        alone = replace(cohort, kept=None)
        losses = np.stack([self.trainer.losses(self.copies.taken(parameters, copy), alone) for copy in copies])
        return best_copies(losses, cohort.counts, None if cohort.kept is None else cohort.kept.numpy())

    def _clusters(self, choice: NDArray[np.int64], cohort: Cohort) -> Iterator[tuple[int, NDArray[np.int64], Cohort]]:
        """(copy, positions of the clients that chose it, they alone) of each that was chosen."""
        for copy in np.unique(choice).tolist():
            members = np.flatnonzero(choice == copy)
            yield copy, members, replace(cohort.part(members), kept=None)

    def _kept(self, choice: NDArray[np.int64], cohort: Cohort, trained: NDArray[np.bool_]) -> NDArray[np.float32]:
        before = np.zeros((len(cohort), 1), dtype=np.float32) if cohort.kept is None else cohort.kept.numpy()
        return np.where(trained[:, None], remembered(choice, cohort.counts, before), before)
