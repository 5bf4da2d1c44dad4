"""What a run over periods gained and forgot, as numbers.

All of them read one matrix A [periods, periods] of a measure where more is better: `A[p, q]` is the quality on the test of period q of the model that
has learnt periods 0 to p. Period 0 is the warm start and is not tested, so column 0 is NaN; of a later period the model is tested just before it
learns it (row q - 1) and after every period from then on (rows p >= q). What is not known is NaN; a mean is over what is known, and NaN of nothing.

P is the number of periods, warm start included, so P - 1 is the last one.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


def next_period(matrix: Matrix) -> Matrix:
    """[periods] quality on each period just before it is learnt, `A[q - 1, q]`: test-then-train. NaN for the warm start."""
    return np.concatenate(([np.nan], np.diagonal(matrix, offset=1)))


def prequential_mean(matrix: Matrix) -> float:
    """Mean over q = 1 .. P-1 of `A[q-1, q]`: what people get, since a model serves the period that follows its training (Dawid, 1984; Gama et al.,
    2013, "On evaluating stream learning algorithms").
    """
    return _mean(next_period(matrix)[1:])


def plasticity(matrix: Matrix) -> float:
    """Mean over q = 1 .. P-1 of `A[q, q]`: how well a period is known just after it was learnt. Learning accuracy of Riemer et al. (2019,
    "Learning to learn without forgetting by maximizing transfer and minimizing interference").
    """
    return _mean(np.diagonal(matrix)[1:])


def stability(matrix: Matrix) -> float:
    """Mean over p = 2 .. P-1 of the mean over q = 1 .. p-1 of `A[p, q]`: how well the past is known all along. NaN with fewer than three periods."""
    return _mean(np.array([_mean(matrix[p, 1:p]) for p in range(2, len(matrix))]))


def final_mean(matrix: Matrix) -> float:
    """Mean over q = 1 .. P-1 of `A[P-1, q]`: how well all periods are known in the end. ACC of Lopez-Paz and Ranzato (2017)."""
    return _mean(matrix[-1, 1:])


def average_forgetting(matrix: Matrix) -> float:
    """Mean over q = 1 .. P-2 of `max over p < P-1 of A[p, q]`, minus `A[P-1, q]`: how far the last model is below the best that any earlier one
    was on a past period. The F measure of Chaudhry et al. (2018, "Riemannian walk for incremental learning").

    Negative where the last model is the best. NaN with fewer than three periods.
    """
    lost = [_max(matrix[:-1, q]) - matrix[-1, q] for q in range(1, len(matrix) - 1)]
    return _mean(np.array(lost))


def forgetting_throughout(matrix: Matrix) -> float:
    """Mean over k = 2 .. P-1 of the forgetting F_k after period k, `average_forgetting` of the first k + 1 rows and columns: what is forgotten while
    the run goes on. Chaudhry et al. define F_k after every task; the last one alone is a snapshot of one model, which a single round can change.

    NaN with fewer than three periods.
    """
    return _mean(np.array([average_forgetting(matrix[: k + 1, : k + 1]) for k in range(2, len(matrix))]))


def backward_transfer(matrix: Matrix) -> float:
    """Mean over q = 1 .. P-2 of `A[P-1, q] - A[q, q]`: what learning on did to periods that were learnt before; negative is forgetting. BWT of
    Lopez-Paz and Ranzato (2017, "Gradient episodic memory for continual learning"). NaN with fewer than three periods.
    """
    return _mean(matrix[-1, 1:-1] - np.diagonal(matrix)[1:-1])


def forward_transfer(matrix: Matrix, reference: Matrix | None) -> float:
    """Mean over q = 2 .. P-1 of `A[q-1, q] - reference[q]`: what learning on is worth for a period that is not learnt yet. FWT of Lopez-Paz and
    Ranzato (2017), who take an untrained model for reference.

    Here it is the model of the warm start that never learnt on: `reference` [periods] is `A[0, q]` of a frozen run with the same seed, and period 1
    is left out, since neither has learnt on by then. NaN without a reference or with fewer than three periods.
    """
    if reference is None:
        return float("nan")
    return _mean((next_period(matrix) - reference)[2:])


def rounds_to_gain(rounds: Sequence[int], values: Sequence[float], share: float = 0.9) -> float:
    """Rounds until a period's validation curve first reached `share` of its best gain over the curve's start: first round r with
    `v(r) - v(0) >= share (max v - v(0))`. Both [measurements], in the order of rounds. NaN where nothing was gained.
    """
    if len(values) == 0 or max(values) <= values[0]:
        return float("nan")
    wanted = (
        values[0] + share * (max(values) - values[0]) - 1e-9
    )  # records have 6 decimals; sums of them have rounding errors
    return float(next(place for place, value in zip(rounds, values, strict=True) if value >= wanted))


def curve_area(rounds: Sequence[int], values: Sequence[float]) -> float:
    """Area under a period's validation curve `(v(r) - v(0)) / (max v - v(0))`, by trapezia, over its length: near 1 where the gain comes at once,
    1/2 where it comes evenly. Both [measurements], in the order of rounds. NaN where nothing was gained.
    """
    if len(values) == 0 or max(values) <= values[0]:
        return float("nan")
    curve = (np.asarray(values, dtype=np.float64) - values[0]) / (max(values) - values[0])
    return float(np.trapezoid(curve, rounds) / (rounds[-1] - rounds[0]))


def _mean(values: Matrix) -> float:
    known = values[~np.isnan(values)]
    return float(np.mean(known)) if len(known) else float("nan")


def _max(values: Matrix) -> float:
    known = values[~np.isnan(values)]
    return float(np.max(known)) if len(known) else float("nan")
