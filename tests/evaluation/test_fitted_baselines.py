"""EASE, item-kNN and recent popularity against their formulas by hand."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.sparse import csr_array

from everbloom.data.timeline import Timeline
from everbloom.evaluation.baselines import item_knn
from everbloom.evaluation.baselines.ease import EaseBaseline, closed_form
from everbloom.evaluation.baselines.item_knn import ItemKnnBaseline, nearest
from everbloom.evaluation.baselines.recent_popularity import RecentPopularityBaseline
from everbloom.evaluation.past import Past

MakeTimeline = Callable[..., Timeline]


def dense(timeline: Timeline, past: Past) -> np.ndarray:
    found = np.zeros((timeline.log.users, len(timeline.catalog)))
    found[timeline.log.user[past.rows], timeline.log.item[past.rows]] = 1
    return found


def known_rows(timeline: Timeline, cases) -> np.ndarray:
    found = np.zeros((len(cases), len(timeline.catalog)))
    for case in range(len(cases)):
        item = timeline.log.item[cases.history_start[case] : cases.history_end[case]]
        found[case, item[item >= 0]] = 1
    return found


def test_ease_is_the_paper_s_closed_form(random_timeline: MakeTimeline) -> None:
    """Steck's listing: B = P / (-diag(P)), the diagonal 0."""
    timeline = random_timeline()
    past = Past(timeline, 1)
    matrix = dense(timeline, past)
    inverse = np.linalg.inv(matrix.T @ matrix + 3.0 * np.eye(40))
    expected = inverse / (-np.diag(inverse))
    expected[np.diag_indices(40)] = 0
    np.testing.assert_allclose(closed_form(past.interactions(), 3.0), expected, atol=1e-5)
    cases = timeline.cases(2, "test")
    scores = EaseBaseline(l2=3.0).fit(past).score(cases, np.arange(len(cases))).numpy()
    np.testing.assert_allclose(scores, known_rows(timeline, cases) @ expected, atol=1e-4)


def test_ease_minimises_its_objective() -> None:
    rng = np.random.default_rng(3)
    matrix = (rng.random((12, 5)) < 0.4).astype(np.float64)

    def loss(flat: np.ndarray) -> float:
        weight = flat.reshape(5, 5) * (1 - np.eye(5))
        return float(((matrix - matrix @ weight) ** 2).sum() + 2.0 * (weight**2).sum())

    best = minimize(loss, np.zeros(25), tol=1e-10).x.reshape(5, 5) * (1 - np.eye(5))
    np.testing.assert_allclose(closed_form(csr_array(matrix), 2.0), best, atol=1e-3)


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(3, 0.0), (5, 10.0), (100, 2.0)])
@pytest.mark.parametrize("cells", [1 << 22, 100])
def test_item_knn_by_brute_force(
    random_timeline: MakeTimeline, monkeypatch: pytest.MonkeyPatch, neighbours: int, shrinkage: float, cells: int
) -> None:
    monkeypatch.setattr(item_knn, "_BLOCK_CELLS", cells)
    timeline = random_timeline()
    past = Past(timeline, 1)
    matrix = dense(timeline, past).astype(np.float32)
    expected = np.zeros((40, 40))
    for item in range(40):
        similar = np.zeros(40, dtype=np.float32)
        for other in range(40):
            lengths = np.sqrt(matrix[:, item].sum()) * np.sqrt(matrix[:, other].sum())
            if other != item and lengths + shrinkage > 0:
                similar[other] = matrix[:, item] @ matrix[:, other] / np.float32(lengths + shrinkage)
        for other in np.argsort(-similar, kind="stable")[:neighbours]:
            expected[other, item] = similar[other]
    np.testing.assert_allclose(
        nearest(past.interactions(), neighbours, shrinkage).toarray(), expected, rtol=1e-5, atol=1e-7
    )
    cases = timeline.cases(2, "test")
    scorer = ItemKnnBaseline(neighbours=neighbours, shrinkage=shrinkage).fit(past)
    scores = scorer.score(cases, np.arange(len(cases))).numpy()
    np.testing.assert_allclose(scores, known_rows(timeline, cases) @ expected, atol=1e-4)


@pytest.mark.parametrize("protocol", [{}, {"name": "leave-one-out"}])
def test_recent_popularity_fades_by_halves(random_timeline: MakeTimeline, protocol: dict[str, str]) -> None:
    timeline = random_timeline(**protocol)
    period = 0 if protocol else 2
    cases = timeline.cases(period, "test")
    past = Past(timeline, 0 if protocol else 1)
    half_life = 50.0
    scorer = RecentPopularityBaseline(half_life_days=half_life / 86_400).fit(past)
    scores = scorer.score(cases, np.arange(len(cases))).numpy()
    log = timeline.log
    for case in range(len(cases)):
        asked = log.time[cases.history_end[case] - 1] if protocol else cases.period_start
        expected = np.zeros(len(timeline.catalog))
        for row in past.rows:
            if log.time[row] <= asked:
                expected[log.item[row]] += 0.5 ** ((asked - log.time[row]) / half_life)
        np.testing.assert_allclose(scores[case], expected, rtol=1e-4, atol=1e-6)
