"""How good the global model is for one device: its own case, found and measured as the central evaluator would."""

import numpy as np
from numpy.typing import NDArray

from client.workbench import Workbench
from everbloom.data.events import EventLog, Histories
from everbloom.data.timeline import positive_weights
from everbloom.evaluation.metrics import per_case
from everbloom.evaluation.ranking import rank
from everbloom.evaluation_wire import EvaluationTask


def own_measures(
    bench: Workbench, asked: EvaluationTask, events: Histories, kept: NDArray[np.float32]
) -> NDArray[np.float64]:
    """[1 + measures] 1 and the measures in [0, 1]; all 0 for a device that has nothing to be found."""
    log, weight = EventLog.of_histories(events), positive_weights(events, asked.task.terms.labels)
    found = np.zeros(1 + len(asked.measures))
    measurement = asked.held_out.measurement(log, lambda rows: weight[rows], bench.first_seen)
    cases = measurement.cases(np.array([0]))
    if not len(cases):
        return found
    scorer = bench.scoring.of(asked.task.parameters, log, kept)
    deepest = max(asked.cutoffs)
    ranking = rank(cases, log, len(bench.first_seen), lambda positions: scorer.score(cases, positions), deepest)
    values = per_case(ranking.hits, np.diff(cases.target_offsets), asked.cutoffs)
    found[0] = 1
    found[1:] = [values[name][0] for name in asked.measures]
    return found
