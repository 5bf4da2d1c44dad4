"""How long a recommendation with reasons takes on one core; `python -m benchmarks.recommending [--items N] [--history N] [--repetitions N] [--cpu]`.

What a device does: the history is read, the whole catalogue scored and ranked, and for each of the best items every event of the history and every
part of the item is judged. Catalogue vectors are computed once beforehand, as they are when parameters arrive. Weights and features are random: what
is measured does not depend on them.
"""

import argparse
from collections.abc import Callable
from statistics import quantiles
from time import perf_counter, process_time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch.nn import functional

from everbloom.config import ModelConfig
from everbloom.data.events import EventLog
from everbloom.data.strings import StringColumn
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.parts import parts_of
from everbloom.explanations.recommending import Recommending
from everbloom.models.other_texts import OtherTexts
from everbloom.models.recommender import build_recommender, layout_of

WIDTH = 384
"""Of MiniLM's features."""
WARM_UP = 20
FEATURES = {"features": {"name": "lm"}, "feature_dim": 64}
MODELS = {
    "embedding alone": {"dim": 64},
    "features, 2 layers": {"dim": 64, "items": FEATURES},
    "and a content match": {"dim": 64, "items": FEATURES, "content": {}},
    "MLP score": {"dim": 64, "items": FEATURES, "score": "mlp"},
}


def prepared(tables: dict[str, object], items: int, history: int) -> tuple[Recommending, EventLog]:
    """A model of the default user encoder over `items`, and somebody who has met `history` of them."""
    config = ModelConfig.model_validate(tables)
    rng = np.random.default_rng(1)
    features = None
    without: dict[str, OtherTexts] = {}
    if config.items.features is not None:
        features = rng.normal(size=(items, WIDTH)).astype(np.float32)
    model = build_recommender(items, features, config, seed=1)
    if model.item.features is not None and features is not None:
        texts = OtherTexts(model.item.features.flip(0), functional.normalize(torch.from_numpy(features).flip(0), dim=1))
        without = {"title": texts, "genres": texts}
    log = EventLog.build(
        user=np.zeros(history, dtype=np.int32),
        item=rng.choice(items, history, replace=False).astype(np.int32),
        time=np.arange(history) * 1000,
        behaviour=np.zeros(history, dtype=np.uint8),
        value=np.ones(history, dtype=np.float32),
        user_ids=StringColumn.of(["one"]),
    )
    layout = layout_of(model)
    scorer = ModelScorer(model, layout, layout.flat(model), log)
    return Recommending(scorer, parts_of(model, without)), log


def milliseconds(
    recommending: Recommending, log: EventLog, n: int, why: bool, repetitions: int, clock: Callable[[], float]
) -> list[float]:
    """Of each repetition, after the warm-up."""
    answer = recommending.recommend_with_reasons if why else recommending.recommend
    times = []
    for repetition in range(WARM_UP + repetitions):
        begin = clock()
        answer(log, n, now=10**9)
        if repetition >= WARM_UP:
            times.append(1e3 * (clock() - begin))
    return times


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.recommending", description=__doc__)
    parser.add_argument("--items", type=int, default=10_000)
    parser.add_argument("--history", type=int, default=50, help="events; a model reads the last 49")
    parser.add_argument("--n", type=int, default=10)
    parser.add_argument("--repetitions", type=int, default=300)
    parser.add_argument(
        "--cpu", action="store_true", help="processor time instead of wall time: where others use the cores"
    )
    arguments = parser.parse_args()
    clock = process_time if arguments.cpu else perf_counter
    torch.set_num_threads(1)
    table = Table(title=f"{arguments.n} of {arguments.items:,} items, a history of {arguments.history}: ms on one core")
    for column in ("model", "alone, p50", "p99", "with reasons, p50", "p99"):
        table.add_column(column, justify="left" if column == "model" else "right")
    for name, tables in MODELS.items():
        recommending, log = prepared(tables, arguments.items, arguments.history)
        cells = []
        for why in (False, True):
            cut = quantiles(milliseconds(recommending, log, arguments.n, why, arguments.repetitions, clock), n=100)
            cells += [f"{cut[49]:.1f}", f"{cut[98]:.1f}"]
        table.add_row(name, *cells)
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
