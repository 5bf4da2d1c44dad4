"""Item inference: without privacy the items stand out, under much noise they do not; whatever the model and the mechanism."""

import numpy as np
import pytest

from simulation.audit.items import _touched, clients_to_attack, infer_items, without_privacy
from simulation.audit.seen import Seen

TABLES = {
    "embedding": {},
    "no bias": {"items": {"bias": "none"}},
    "features": {"items": {"features": {"name": "tfidf", "dims": 8}, "embedding": False, "bias": "features"}},
    "mlp": {"score": "mlp"},
}
NOISY = {"unit": "example", "noise_multiplier": 200.0, "delta": 1e-5, "denominator": 10}
USER = {"unit": "user", "delta": 1e-5}
SAMPLED = {"sampler": "poisson", "cohort": 5}


def attacked(study, messages: int = 3) -> dict[tuple[int, str], float]:
    """(messages, attack) -> mean area, from the initial model."""
    parameters = study.layout.flat(study.new_model())
    found = infer_items(study, parameters, np.arange(study.clients), messages, 0.05)
    assert all(result.private == (study.plan is not None) for result in found)
    for result in found:
        assert result.area.low <= result.area.value <= result.area.high
        assert result.true_positive[0] >= 0
        assert result.true_positive[-1] == 1
        trapezoids = np.trapezoid(result.true_positive, result.false_positive)
        assert trapezoids == pytest.approx(result.area.value, abs=0.05)
    return {(result.messages, result.attack): result.area.value for result in found}


@pytest.mark.parametrize("name", TABLES)
def test_exact_updates_tell_all(small, study_of, name):
    areas = attacked(study_of(small(model=TABLES[name])))
    for messages in (1, 3):
        # Thirty items of which a user has some ten, many of whose texts share their words.
        assert areas[messages, "rise"] > (0.7 if name == "features" else 0.85)
        assert areas[messages, "rise, user known"] > (0.7 if name == "features" else 0.85)
        assert ((messages, "rows") in areas) == (name != "features")
    if name != "features":
        # What moves in a message in which it was no negative was touched.
        assert areas[3, "rows"] > 0.98


def test_much_noise_hides_them(small, study_of):
    areas = attacked(study_of(small(privacy=NOISY)))
    assert all(abs(area - 0.5) < 0.1 for area in areas.values())


def test_more_messages_tell_more(small, study_of):
    some = attacked(study_of(small(privacy={**NOISY, "noise_multiplier": 1.0}, federation={"rounds": 20})), messages=12)
    assert some[12, "rise"] > some[1, "rise"] + 0.05


@pytest.mark.parametrize(
    ("mechanism", "federation"),
    [("central", SAMPLED), ("matrix-factorisation", {"cohort": 5}), ("distributed", {"cohort": 5}), ("local", {})],
)
def test_what_a_mechanism_for_users_shows(small, study_of, mechanism, federation):
    """With little of its noise as much as without privacy, with much of it nothing."""
    little, much = (
        study_of(small(privacy={**USER, "mechanism": mechanism, "noise_multiplier": multiplier}, federation=federation))
        for multiplier in (0.01, 30.0)
    )
    assert attacked(little, 1)[1, "rise"] > 0.8
    assert abs(attacked(much, 1)[1, "rise"] - 0.5) < 0.12


def test_what_is_seen_without_a_mechanism_for_users_is_what_is_sent(small, study_of):
    sent = np.ones((2, 5), dtype=np.float32)
    assert Seen(None, 5, 0).of(np.arange(2), sent, 1) is sent
    assert Seen(study_of(small(privacy=True)).plan, 5, 0).of(np.arange(2), sent, 1) is sent


def test_items_to_be_found_are_those_that_devices_train_on(small, study_of):
    """What is held out for tests is not among them."""
    study = study_of(small(protocol={"name": "leave-one-out"}))
    touched = _touched(study, np.arange(study.clients))
    for client in range(study.clients):
        items = study.dataset.events.of(client).item.tolist()
        assert set(np.flatnonzero(touched[client])) == set(items[:-2] if len(items) > 2 else items)


def test_clients_are_drawn_by_the_seed(small, study_of):
    study = study_of(small())
    first, again, other = (clients_to_attack(study, 5, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(clients_to_attack(study, 1000, 1), np.arange(study.clients))


def test_without_privacy_nothing_else_changes(small, study_of):
    study = study_of(small(privacy=True))
    plain = without_privacy(study)
    assert plain.plan is None
    assert plain.experiment == study.experiment.model_copy(update={"privacy": plain.experiment.privacy})
