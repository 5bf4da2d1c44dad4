"""What campaigns over periods share: the measures that their tables need, and when periods begin."""

from collections.abc import Mapping

import numpy as np

from everbloom.errors import ConfigError
from everbloom.experiment import Experiment
from everbloom.study import Study

MEASURES = ("ndcg@10", "hr@10", "recall@20")
"""Quality on the next period."""
MAIN = MEASURES[0]


def check_measures(experiment: Experiment) -> None:
    """Raises `ConfigError` where the tables would have holes."""
    if experiment.protocol.name != "timeline":
        raise ConfigError(
            f'protocol.name: "{experiment.protocol.name}" has no periods one after another; set protocol.name = "timeline"'
        )
    if not {10, 20} <= set(experiment.evaluation.k):
        raise ConfigError(
            f"evaluation.k: the tables show {', '.join(name.upper() for name in MEASURES)}; include 10 and 20"
        )


def period_starts(study: Study) -> list[str | None]:
    """[periods] the day each begins with, YYYY-MM-DD: of the first event for the warm start, of the cut for the others; None without times."""
    if not study.dataset.events.has_time:
        return [None] * study.timeline.periods
    return [str(np.datetime64(int(time), "s").astype("datetime64[D]")) for time in study.timeline.boundaries[:-1]]


def reached(summary: Mapping[str, object]) -> str:
    """A summary's quality in a few words."""
    test = summary["test"]
    assert isinstance(test, dict)
    failed = f", {summary['failed']} updates failed" if summary["failed"] else ""
    return f"next-period {MAIN.upper()} {test['full'][MAIN]:.4f}{failed}"
