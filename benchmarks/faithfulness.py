"""Whether a run's reasons are true; `python -m benchmarks.faithfulness RUN [--users N] [--most N] [--seed N]`.

Takes the events that explain each user's best item out of the history, and as many random ones, and compares how much the item's score falls.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.faithfulness import Faithfulness, faithfulness
from everbloom.explanations.recommending import Recommending
from everbloom.models.recommender import layout_of
from everbloom.models.settled import settled
from simulation.export import one_user
from simulation.trained import Trained, open_trained


def of_run(trained: Trained, users: int, most: int, seed: int) -> Faithfulness:
    """Over a seeded sample of the run's users."""
    log = trained.study.dataset.events
    model = settled(trained.model)
    layout = layout_of(model)
    scorer = ModelScorer(model, layout, layout.flat(model), log)
    sample = np.random.default_rng(seed).choice(log.users, min(users, log.users), replace=False)
    histories = ((one_user(log, int(user)), trained.personal(int(user))) for user in sample)
    return faithfulness(Recommending(scorer), histories, now=trained.now, seed=seed, most=most)


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faithfulness", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--most", type=int, nargs="+", default=[1, 3, 5], help="events that are named")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    console = Console(width=120)
    trained = open_trained(arguments.run, console, "to explain")
    table = Table(title=f"how much the best item's score falls (logits); mean over users of {arguments.run}")
    for column in (
        "named",
        "users",
        "without these",
        "gradient x input",
        "random",
        "+-",
        "more than random",
        "same",
        "by chance",
        "rank",
    ):
        table.add_column(column, justify="right")
    for most in arguments.most:
        found = of_run(trained, arguments.users, most, arguments.seed)
        error = (found.named - found.random).std() / max(1, len(found.named)) ** 0.5
        means = [float(part.mean()) for part in (found.named, found.estimated, found.random)]
        agreement = [f"{found.overlap.mean():.0%}", f"{found.chance.mean():.0%}", f"{found.correlation.mean():.2f}"]
        table.add_row(
            str(most),
            str(len(found.named)),
            *(f"{mean:.3f}" for mean in means),
            f"{error:.3f}",
            f"{found.better:.1%}",
            *agreement,
        )
    console.print(table)


if __name__ == "__main__":
    main()
