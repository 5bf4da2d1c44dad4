"""Central evaluation: a model's scores in, metric records out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import EvaluationConfig
from everbloom.data.candidates import StoredCandidates
from everbloom.data.cases import Cases
from everbloom.data.membership import Membership
from everbloom.data.timeline import Split, Timeline
from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.beyond_accuracy import beyond_accuracy
from everbloom.evaluation.metrics import means, metric_keys, per_case
from everbloom.evaluation.ranking import Ranking, Score, hits_of_ranks, rank, sampled_ranks
from everbloom.evaluation.records import Record, metric_record
from everbloom.evaluation.slices import Slice, all_slice, slices
from everbloom.evaluation.stored_candidates import CaseCandidates, candidates_of
from everbloom.evaluation.training_events import item_counts, trained_period
from everbloom.seeding import numpy_generator

Part = Literal["slices", "all", "panel"]
EachCase = Callable[[NDArray[np.int32], dict[str, NDArray[np.float64]]], None]
"""Takes the user of each case, [cases], and its measures, `measure@k` -> [cases]."""


class Scorer(Protocol):
    """Anything that can rank the catalogue for a case: a model with parameters, a baseline."""

    def score(self, cases: Cases, positions: NDArray[np.int64]) -> torch.Tensor:
        """[len(positions), items] float32 scores of all items, from nothing but each case's history rows."""
        ...


@dataclass(frozen=True, eq=False)
class Measured:
    """What a measurement needs besides the model; made once for each (period, split, subset).

    `counts` [items]: training interactions before the measurement.
    """

    cases: Cases
    slices: list[Slice]
    counts: NDArray[np.int64]
    candidates: CaseCandidates | None


class Evaluator:
    """Measures scorers on the cases of a timeline."""

    def __init__(
        self,
        timeline: Timeline,
        config: EvaluationConfig,
        *,
        candidates: StoredCandidates | None = None,
        seed: int = 0,
        membership: Membership | None = None,
    ) -> None:
        """`candidates`: stored negatives, which add the sampled-99 protocol. `membership`: who has left, and who is in the panel.

        Raises `ConfigError` if `config.select` is no measure of this configuration.
        """
        self.timeline = timeline
        self.config = config
        self.seed = seed
        self.membership = membership
        self._candidates = candidates
        self._measured: dict[tuple[int, Split, bool, int | None, Part], Measured] = {}
        keys = metric_keys(config.k)
        if config.select not in keys:
            raise ConfigError(
                f"evaluation.select: {config.select!r} is not measured; expected one of: {', '.join(keys)}"
            )

    def measure(
        self,
        scorer: Scorer,
        *,
        model: str,
        period: int,
        round: int,
        split: Split,
        subset: bool = False,
        now: int | None = None,
        after: int | None = None,
        part: Part = "slices",
        each: EachCase | None = None,
    ) -> list[Record]:
        """The records of one model: full ranking by slice ("all" first), then sampled-99 if candidates are stored. `each` is given the full ranking
        of every case that the first record is the mean of.

        `model`, `round` and `after` only label the records. Who has deleted the data before period `now` ends is left out. `part`: all slices, or
        everybody, or the panel alone. `subset` limits validation to `config.max_users` cases; a test always has
        `config.max_test_users`. Raises
        `DataError` if the timeline has no such cases, `FloatingPointError` if scores are NaN.
        """
        measured = self.measured(period, split, subset, now, part)
        ranking = self._ranking(scorer, measured.cases)
        records = []
        for place, some in enumerate(measured.slices):
            cases = per_case(some.hits(ranking), some.targets, self.config.k)
            values = means(cases)
            if place == 0:
                if each is not None:
                    each(measured.cases.user, cases)
                values |= beyond_accuracy(ranking.items, measured.cases.available, measured.counts, self.config.k)
            records.append(
                metric_record(
                    period=period,
                    round=round,
                    split=split,
                    protocol="full",
                    slice=some.name,
                    model=model,
                    users=len(some.cases),
                    values=values,
                    after=after,
                )
            )
        if measured.candidates is not None:
            records.append(
                metric_record(
                    period=period,
                    round=round,
                    split=split,
                    protocol="sampled-99",
                    slice=measured.slices[0].name,
                    model=model,
                    users=len(measured.cases),
                    values=means(self._sampled(scorer, measured.cases, measured.candidates)),
                    after=after,
                )
            )
        return records

    def ranking(self, scorer: Scorer, period: int, split: Split, subset: bool = False) -> Ranking:
        """The full ranking of each case, as deep as the largest cut-off."""
        return self._ranking(scorer, self.measured(period, split, subset).cases)

    def _ranking(self, scorer: Scorer, cases: Cases) -> Ranking:
        return rank(cases, self.timeline.log, len(self.timeline.catalog), _score(scorer, cases), max(self.config.k))

    def per_case(
        self, scorer: Scorer, period: int, split: Split, subset: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """`measure@k` -> [cases] values of the full ranking, for intervals and paired comparisons, as `measured`."""
        whole = all_slice(self.measured(period, split, subset).cases)
        return per_case(self.ranking(scorer, period, split, subset).hits, whole.targets, self.config.k)

    def measured(
        self, period: int, split: Split, subset: bool = False, now: int | None = None, part: Part = "slices"
    ) -> Measured:
        """The cases of a measurement and what belongs to them.

        Raises `DataError` if there are none, `ValueError` for a subset of the test.
        """
        if subset and split == "test":
            raise ValueError(
                "subset: a test has the same cases whenever it is made; only validation may be on a subset"
            )
        if self.membership is None or not self.membership.loses_users:
            now = None  # it makes no difference
        key = (period, split, subset and self.config.max_users is not None, now, part)
        if key not in self._measured:
            self._measured[key] = self._prepare(*key)
        return self._measured[key]

    def _prepare(self, period: int, split: Split, subset: bool, now: int | None, part: Part) -> Measured:
        cases = self._there(self._cases(period, split, subset), period, now, part)
        counts = item_counts(self.timeline, trained_period(self.timeline, period, split))
        parts = [all_slice(cases, "panel" if part == "panel" else "all")]
        if part == "slices" and self.config.slices:
            parts = slices(cases, self.timeline.catalog.first_seen, counts)
        stored = None if self._candidates is None else candidates_of(self._candidates, cases, split, self.timeline)
        return Measured(cases, parts, counts, stored)

    def _there(self, cases: Cases, period: int, now: int | None, part: Part) -> Cases:
        """Without those who have left, and of the panel alone where that is asked for."""
        if self.membership is None:
            return cases
        keep = np.ones(len(cases), dtype=np.bool_)
        if now is not None:
            keep &= self.membership.leaves[cases.user] > now
        if part == "panel":
            keep &= self.membership.panel[cases.user]
        if not keep.any():
            raise DataError(
                f"continual: nobody {'in the panel ' if part == 'panel' else ''}has a positive to find in period {period}; "
                "raise continual.panel, lower continual.deletion_rate, or cut fewer or longer periods"
            )
        return cases if keep.all() else cases.take(np.flatnonzero(keep))

    def _cases(self, period: int, split: Split, subset: bool) -> Cases:
        """All, or a sample that is the same in every round of a period."""
        limit = self.config.max_users if subset else self.config.max_test_users if split == "test" else None
        if limit is None:
            return self.timeline.cases(period, split)
        return self.timeline.sample(period, split, limit, numpy_generator(self.seed, f"{split}-users", period=period))

    def _sampled(self, scorer: Scorer, cases: Cases, stored: CaseCandidates) -> dict[str, NDArray[np.float64]]:
        items = len(self.timeline.catalog)
        ranks = sampled_ranks(stored.target_item, stored.negatives, _score(scorer, cases), items)
        return per_case(hits_of_ranks(ranks, max(self.config.k)), np.ones(len(cases), dtype=np.int64), self.config.k)


def _score(scorer: Scorer, cases: Cases) -> Score:
    return lambda positions: scorer.score(cases, positions)
