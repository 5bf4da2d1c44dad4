"""True tastes: the generator's own, or what the rest of the log tells."""

import numpy as np
import pytest

from everbloom.config import FeedbackConfig
from everbloom.data.sources.truth import truth
from everbloom.errors import DataError
from simulation.feedback.tastes import GeneratedTastes, HeldOutTastes, open_tastes


def test_generated_tastes_order_items_as_the_generator_chooses_them(opened):
    study = opened("data.source.drift=0.5")
    start = int(study.timeline.boundaries[1])
    tastes = open_tastes(study, start, FeedbackConfig())
    assert isinstance(tastes, GeneratedTastes)
    known = truth(study.experiment.data.source)
    step = int(known.step_at(np.array([start]))[0])
    assert step > 0  # tastes have moved by then
    numbers = [int(name) for name in study.dataset.events.user_ids]
    items = [int(name) for name in study.dataset.catalog.item_ids]
    chosen = known.choice(step)[numbers][:, items]
    found = tastes.attraction(np.arange(len(tastes.users)))
    assert tastes.users.tolist() == list(range(study.clients))
    assert ((found >= 0) & (found < 1)).all()
    assert (np.argsort(found[:, tastes.available], axis=1) == np.argsort(chosen[:, tastes.available], axis=1)).all()
    assert (found[:, ~tastes.available] == 0).all()
    assert (tastes.attraction(np.array([3, 7])) == found[[3, 7]]).all()


def test_only_those_who_have_joined_are_shown_anything(opened):
    study = opened("data.source.new_user_rate=0.5", "protocol.warm_start=0.3")
    start = int(study.timeline.boundaries[1])
    tastes = open_tastes(study, start, FeedbackConfig())
    known = truth(study.experiment.data.source)
    step = int(known.step_at(np.array([start]))[0])
    numbers = np.array([int(name) for name in study.dataset.events.user_ids])
    assert 0 < len(tastes.users) < study.clients
    assert (tastes.users == np.flatnonzero(known.joined[numbers] <= step)).all()


def test_held_out_tastes_are_what_people_meet_later(opened):
    study = opened()
    log, start = study.dataset.events, int(study.timeline.boundaries[1])
    available = np.asarray(study.dataset.catalog.first_seen < start)
    tastes = HeldOutTastes.of(study.timeline, start, available, base_rate=0.1)
    found = tastes.attraction(np.arange(len(tastes.users)))
    for user, row in zip(tastes.users.tolist(), found, strict=True):
        own = log.of(user)
        later = set(own.item[own.time >= start].tolist()) & set(np.flatnonzero(available).tolist())
        assert later
        assert set(np.flatnonzero(row == 1).tolist()) == later
        rest = available.copy()
        rest[list(later)] = False
        assert (row[rest] == 0.1).all()
        assert (row[~available] == 0).all()
    assert (tastes.attraction(np.array([2, 0])) == found[[2, 0]]).all()


def test_without_a_later_event_no_taste_is_known(opened):
    study = opened()
    late = int(study.dataset.events.time.max()) + 1
    with pytest.raises(DataError, match="no taste is known"):
        HeldOutTastes.of(study.timeline, late, np.ones(len(study.dataset.catalog), dtype=np.bool_), 0.1)
