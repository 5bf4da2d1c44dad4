"""The federated recommender's own attack: which items did this user touch, from the update alone?

The attacker knows the parameters that were sent, the catalogue with its public features, and the negatives, which come from a public seed; of the
update it sees what the mechanism shows (`Seen`). It ranks the whole catalogue, and the area under the ROC curve says how well the user's items stand
out: .5 is chance, 1 is all of them on top.

Attacks, each on the sum of the messages that it has seen:

- `rows`: how far an item's own parameters moved (L2 norm of its rows of the item tables, over messages in which it was no negative). Models with item
  tables only: untouched rows do not move at all without noise.
- `rise`: by how much the update raises an item's score, for a reader of whom nothing is known. What learning from an item does is raise its score, so
  this follows every parameter that an item's vector and bias depend on; through an adapter over text features it is gradient inversion.
- `rise, user known`: the same for the mean user vector of this user's real history: for an attacker who knows something of the user already.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from everbloom.config import PrivacyConfig
from everbloom.data.events import NO_ITEM
from everbloom.data.gaps import gaps_before
from everbloom.data.timeline import positive_weights
from everbloom.learning.candidates import draw_negatives, known_items
from everbloom.models.layout import Slot
from everbloom.models.users import Circumstances
from everbloom.privacy.audit import roc
from everbloom.privacy.audit.thresholds import Floats
from everbloom.seeding import PublicDraws, numpy_generator
from everbloom.study import Study
from everbloom.wire import Task
from simulation.audit.seen import Seen
from simulation.cohort import CohortWorker

_HELD = 2**27
"""Bytes of updates at once."""
_TABLES = ("item.embedding.weight", "item.item_bias.weight")
"""Parameters with a row for each item."""
_GRID = np.linspace(0.0, 1.0, 201)


@dataclass(frozen=True, eq=False)
class ItemInference:
    """One attack on some clients: the mean area with its interval, and the mean curve: true positive rate [points] at `false_positive` [points]."""

    attack: str
    private: bool
    messages: int
    clients: int
    area: roc.Area
    false_positive: Floats
    true_positive: Floats


def without_privacy(study: Study) -> Study:
    """The same, but that devices send exact updates."""
    experiment = study.experiment.model_copy(update={"privacy": PrivacyConfig()})
    return replace(study, experiment=experiment)


def infer_items(
    study: Study, parameters: NDArray[np.float32], clients: NDArray[np.int64], messages: int, alpha: float
) -> list[ItemInference]:
    """Every attack on one update and on `messages` updates of each of the clients from `parameters` [params].

    Clients that train on no item, or on all, are left out.
    """
    areas: dict[tuple[int, str], list[float]] = {}
    curves: dict[tuple[int, str], list[Floats]] = {}
    attacker = _Attacker(study, parameters)
    for client, touched, seen in _seen(study, parameters, clients, messages):
        for count, sums in seen.items():
            for attack, scores in attacker.scores(client, sums):
                areas.setdefault((count, attack), []).append(roc.area_of_marked(scores, touched))
                curve = np.interp(_GRID, *roc.curve(scores[~touched], scores[touched]))
                curves.setdefault((count, attack), []).append(curve)
    return [
        ItemInference(
            attack,
            study.plan is not None,
            count,
            len(found),
            roc.mean_area(np.array(found), alpha),
            _GRID,
            np.mean(curves[count, attack], axis=0),
        )
        for (count, attack), found in areas.items()
        if len(found) > 1
    ]


def clients_to_attack(study: Study, count: int, seed: int) -> NDArray[np.int64]:
    """A seeded draw of clients, ascending."""
    rng = numpy_generator(seed, "audit-clients")
    return np.sort(rng.choice(study.clients, min(count, study.clients), replace=False))


class _Sums(NamedTuple):
    """Of a client's updates [params]: all of it; and without what stands in the rows of negatives."""

    whole: NDArray[np.float32]
    own: NDArray[np.float32]


def _seen(
    study: Study, parameters: NDArray[np.float32], clients: NDArray[np.int64], messages: int
) -> Iterator[tuple[int, NDArray[np.bool_], dict[int, _Sums]]]:
    """(client, its training items [items] bool, number of messages -> their sums)."""
    window = study.timeline.window(0)
    worker = CohortWorker(study, np.zeros(study.clients, dtype=np.int32), folded=False, memory=None)
    for some in np.array_split(clients, -(-len(clients) * 6 * parameters.nbytes // _HELD)):
        touched = _touched(study, some)
        able = touched.any(axis=1) & ~touched.all(axis=1)
        some, touched = some[able], touched[able]
        whole, own = np.zeros((2, len(some), len(parameters)), dtype=np.float32)
        first, sight = None, Seen(study.plan, len(parameters), study.experiment.seed)
        for round in range(1, messages + 1):
            task = Task(parameters, study.layout.schema, study.terms, 0, round, window)
            result = worker.train(task.pack(), some)
            deltas = sight.of(some[result.trained], result.deltas, round)
            whole[result.trained] += deltas
            own[result.trained] += _without_negatives(study, deltas, some[result.trained], round)
            first = (whole.copy(), own.copy()) if first is None else first
        for place, client in enumerate(some.tolist()):
            sums = {1: first, messages: (whole, own)} if first is not None else {}
            yield (
                client,
                touched[place],
                {count: _Sums(all_of[place], part[place]) for count, (all_of, part) in sums.items()},
            )


def _without_negatives(
    study: Study, deltas: NDArray[np.float32], clients: NDArray[np.int64], round: int
) -> NDArray[np.float32]:
    """A copy of the updates [clients, params] with nothing in those rows of the item tables that a round's negatives name."""
    learning = study.experiment.learning
    known = known_items(study.dataset.catalog.first_seen, study.window(0))
    draws = PublicDraws(study.experiment.seed, clients, 0, round)
    negatives = draw_negatives(known, learning.negatives, draws).numpy()
    kept = deltas.copy()
    for slot in _tables(study):
        rows = kept[:, slot.start : slot.end].reshape(len(kept), *slot.shape)
        rows[np.arange(len(kept))[:, None], negatives] = 0.0
        kept[:, slot.start : slot.end] = rows.reshape(len(kept), slot.end - slot.start)
    return kept


def _tables(study: Study) -> list[Slot]:
    return [slot for slot in study.layout.slots if slot.name in _TABLES]


def _touched(study: Study, clients: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[clients, items] what each one's training examples are about: positives in the first period's training window."""
    events = study.dataset.events.histories(clients)
    weight = positive_weights(events, study.terms.labels)
    _, first, end = study.timeline.window(0).rows(events, weight)
    found = np.zeros((len(clients), len(study.dataset.catalog)), dtype=np.bool_)
    for place, (start, stop) in enumerate(zip(first.tolist(), end.tolist(), strict=True)):
        found[place, events.item[start:stop][weight[start:stop] > 0]] = True
    return found


class _Attacker:
    """What the server knows: the parameters it sent, the model and the public features."""

    def __init__(self, study: Study, parameters: NDArray[np.float32]) -> None:
        self.study = study
        self.parameters = torch.from_numpy(parameters)
        self.model = study.new_model().eval()
        self.vector = study.layout.bind(self.model)
        self.tables = _tables(study)

    def scores(self, client: int, sums: _Sums) -> Iterator[tuple[str, Floats]]:
        """(attack, scores [items])."""
        if self.tables:
            rows = [sums.own[slot.start : slot.end].reshape(slot.shape[0], -1) for slot in self.tables]
            yield "rows", np.linalg.norm(np.concatenate(rows, axis=1).astype(np.float64), axis=1)
        with torch.inference_mode():
            self.vector.copy_(self.parameters)
            users = torch.cat([self._reader(None), self._reader(client)])
            before = self._scores(users)
            self.vector.add_(torch.from_numpy(sums.whole))
            rise = (self._scores(users) - before).double().numpy()
        yield "rise", rise[0]
        yield "rise, user known", rise[1]

    def _scores(self, users: torch.Tensor) -> torch.Tensor:
        """[users, items] of user vectors [users, 1, dim], without the content match, which no item's own examples teach."""
        catalogue = self.model.catalogue()
        scores: torch.Tensor = self.model.score(users, catalogue.vectors[None], catalogue.bias[None])
        return scores.squeeze(1)

    def _reader(self, client: int | None) -> torch.Tensor:
        """[1, 1, dim] the mean user vector over a client's last training events, which its examples were scored with; or that after none."""
        events = self.study.dataset.events.histories(np.array([] if client is None else [client], dtype=np.int64))
        known = np.zeros(0, dtype=np.int64)
        if client is not None:
            weight = positive_weights(events, self.study.terms.labels)
            begin, _, end = self.study.timeline.window(0).rows(events, weight)
            known = np.arange(begin[0], end[0])
        known = known[events.item[known] != NO_ITEM]
        width = self.model.history - 1
        read = known[len(known) - min(width, len(known)) :]
        items, behaviour = torch.zeros((2, 1, width), dtype=torch.int64)
        gap = torch.zeros((1, width + 1), dtype=torch.int64)
        before = gaps_before(events.time[known], np.array([0, len(known)]))[len(known) - len(read) :]
        gap[0, : len(read)] = torch.from_numpy(before)
        items[0, : len(read)] = torch.from_numpy(events.item[read].astype(np.int64))
        behaviour[0, : len(read)] = torch.from_numpy(events.behaviour[read].astype(np.int64))
        vectors = self.model.item(items)[0]
        told = Circumstances(behaviour, gap, item=items, length=torch.tensor([len(read)]))
        place = torch.tensor([[len(read)]]) if self.model.user.two_way else None
        found: torch.Tensor = self.model.user(vectors, told, None, place)[:, : max(1, len(read))]
        return found.mean(dim=1, keepdim=True)
