"""What an attack did to honest people: the quality of their lists, and how far up the promoted item came in them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everbloom.data.cases import Cases
from everbloom.evaluation.histories import case_targets
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation.ranking import chunk_size, rank
from everbloom.evaluation.user_records import of_test, read_user_records
from everbloom.study import Study
from server.measuring import MODEL, evaluator_of
from server.released import released
from server.run_directory import RunDirectory
from server.state import FederationState
from simulation.poisoning.scene import Scene

FILE = "poisoning.json"
QUALITY = ("ndcg@10", "hr@10")
TOP = 10


def measured(folder: Path, study: Study, scene: Scene) -> dict[str, Any]:
    """The measures of a finished run, which lie in its directory from then on."""
    path = folder / FILE
    if not path.is_file():
        found = measure(folder, study, scene)
        RunDirectory(folder).write(FILE, json.dumps(found, indent=2) + "\n")
    told: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return told


def measure(folder: Path, study: Study, scene: Scene) -> dict[str, Any]:
    """Over honest test users: the mean of each of `QUALITY`; `promoted`, the share of those who have never met the promoted item (nor are about to)
    in whose top 10 it is; `rank`, its mean rank with them, from 1; and their number."""
    records = read_user_records(folder, of_test(0, MODEL))
    honest = ~np.isin(records.user, scene.attackers)
    ranks = target_ranks(folder, study, scene)
    return {
        "attackers": len(scene.attackers),
        "honest": int(honest.sum()),
        **{name: float(records.values[name][honest].mean()) for name in QUALITY},
        "target": scene.target,
        "asked": len(ranks),
        "promoted": float((ranks <= TOP).mean()),
        "rank": float(ranks.mean()),
    }


def target_ranks(folder: Path, study: Study, scene: Scene) -> NDArray[np.int64]:
    """[people] the promoted item's rank, from 1, among all items with each honest test user to whom it is new."""
    _, parameters = released(study, RunDirectory.open(folder), _nothing)
    scorer = study.scorer(parameters)
    whole = evaluator_of(study).measured(0, "test").cases
    owner, item = case_targets(whole, np.arange(len(whole)))
    asked = ~np.isin(whole.user, scene.attackers)
    asked[owner[item == scene.target]] = False
    places, items, found = np.flatnonzero(asked), len(study.dataset.catalog), []
    for start in range(0, len(places), chunk_size(items)):
        cases = whole.take(places[start : start + chunk_size(items)])
        found.append(_ranks(cases, study, scorer, scene.target))
    return np.concatenate(found)


def _nothing(state: FederationState) -> None:
    """Attackers are simulated where nobody is served by what a device keeps."""


def _ranks(cases: Cases, study: Study, scorer: ModelScorer, target: int) -> NDArray[np.int64]:
    items = len(study.dataset.catalog)
    lists = rank(cases, study.dataset.events, items, lambda positions: scorer.score(cases, positions), items).items
    return np.nonzero(lists == target)[1].astype(np.int64) + 1  # whoever has met it is asked for others
