"""Central evaluation: a model's scores in, metric records out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import EvaluationConfig
from everbloom.data.candidates import StoredCandidates
from everbloom.data.cases import Cases
from everbloom.data.timeline import Split, Timeline
from everbloom.errors import ConfigError
from everbloom.evaluation.beyond_accuracy import beyond_accuracy
from everbloom.evaluation.metrics import means, metric_keys, per_case
from everbloom.evaluation.ranking import Ranking, Score, hits_of_ranks, rank, sampled_ranks
from everbloom.evaluation.records import Record, metric_record
from everbloom.evaluation.slices import Slice, all_slice, slices
from everbloom.evaluation.stored_candidates import CaseCandidates, candidates_of
from everbloom.evaluation.training_events import item_counts, trained_period
from everbloom.seeding import numpy_generator


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
        self, timeline: Timeline, config: EvaluationConfig, *, candidates: StoredCandidates | None = None, seed: int = 0
    ) -> None:
        """`candidates`: stored negatives, which add the sampled-99 protocol.

        Raises `ConfigError` if `config.select` is no measure of this configuration.
        """
        self.timeline = timeline
        self.config = config
        self.seed = seed
        self._candidates = candidates
        self._measured: dict[tuple[int, Split, bool], Measured] = {}
        keys = metric_keys(config.k)
        if config.select not in keys:
            raise ConfigError(
                f"evaluation.select: {config.select!r} is not measured; expected one of: {', '.join(keys)}"
            )

    def measure(
        self, scorer: Scorer, *, model: str, period: int, round: int, split: Split, subset: bool = False
    ) -> list[Record]:
        """The records of one model: full ranking by slice ("all" first), then sampled-99 if candidates are stored.

        `model` and `round` only label the records. `subset` limits validation to `config.max_users` cases; a test always has
        `config.max_test_users`. Raises
        `DataError` if the timeline has no such cases, `FloatingPointError` if scores are NaN.
        """
        measured = self.measured(period, split, subset)
        ranking = self.ranking(scorer, period, split, subset)
        records = []
        for part in measured.slices:
            values = means(per_case(part.hits(ranking), part.targets, self.config.k))
            if part.name == "all":
                values |= beyond_accuracy(ranking.items, measured.cases.available, measured.counts, self.config.k)
            records.append(
                metric_record(
                    period=period,
                    round=round,
                    split=split,
                    protocol="full",
                    slice=part.name,
                    model=model,
                    users=len(part.cases),
                    values=values,
                )
            )
        if measured.candidates is not None:
            records.append(
                metric_record(
                    period=period,
                    round=round,
                    split=split,
                    protocol="sampled-99",
                    slice="all",
                    model=model,
                    users=len(measured.cases),
                    values=means(self._sampled(scorer, measured.cases, measured.candidates)),
                )
            )
        return records

    def ranking(self, scorer: Scorer, period: int, split: Split, subset: bool = False) -> Ranking:
        """The full ranking of each case, as deep as the largest cut-off."""
        cases = self.measured(period, split, subset).cases
        return rank(cases, self.timeline.log, len(self.timeline.catalog), _score(scorer, cases), max(self.config.k))

    def per_case(
        self, scorer: Scorer, period: int, split: Split, subset: bool = False
    ) -> dict[str, NDArray[np.float64]]:
        """`measure@k` -> [cases] values of the full ranking, for intervals and paired comparisons, as `measured`."""
        whole = all_slice(self.measured(period, split, subset).cases)
        return per_case(self.ranking(scorer, period, split, subset).hits, whole.targets, self.config.k)

    def measured(self, period: int, split: Split, subset: bool = False) -> Measured:
        """The cases of a measurement and what belongs to them.

        Raises `DataError` if there are none, `ValueError` for a subset of the test.
        """
        if subset and split == "test":
            raise ValueError(
                "subset: a test has the same cases whenever it is made; only validation may be on a subset"
            )
        key = (period, split, subset and self.config.max_users is not None)
        if key not in self._measured:
            self._measured[key] = self._prepare(*key)
        return self._measured[key]

    def _prepare(self, period: int, split: Split, subset: bool) -> Measured:
        cases = self._cases(period, split, subset)
        counts = item_counts(self.timeline, trained_period(self.timeline, period, split))
        parts = slices(cases, self.timeline.catalog.first_seen, counts) if self.config.slices else [all_slice(cases)]
        stored = None if self._candidates is None else candidates_of(self._candidates, cases, split, self.timeline)
        return Measured(cases, parts, counts, stored)

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
