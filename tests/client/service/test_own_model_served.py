"""A device with a model of its own recommends by it once it has trained one, and by the shared model before."""

import numpy as np
import pytest

from client.personal import StoredPersonal
from client.service.model_file import GlobalModel
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.explanations.recommending import Recommending
from simulation.export import one_user


@pytest.fixture
def device_study(small, study_of):
    """In the place of the other tests' study: Ditto, and updates with enough noise for the device's budget."""
    privacy = {"unit": "user", "delta": 1e-3, "clip_norm": 0.3, "noise_multiplier": 4.0, "mechanism": {"name": "local"}}
    learning = {"algorithm": {"name": "ditto", "pull": 0.01}, "local_steps": 3}
    return study_of(small(privacy=privacy, learning=learning))


def test_it_recommends_by_its_own_model(serving, folder, task, device_study, own_events):
    service, study = serving(), device_study
    service.call("POST", "/events", body={"events": own_events})

    def shown() -> list[float]:
        return [one["score"] for one in service.call("GET", "/recommendations", query={"n": 5})["items"]]

    service.ask("o1", task, "query.model")
    before = shown()
    service.ask("m1", task)
    own = StoredPersonal(folder.personal).load(task, study.layout.size())
    assert np.abs(own - task.parameters).max() > 1e-3
    assert GlobalModel.load(folder.model).own_model
    after = shown()
    assert after != pytest.approx(before, abs=1e-4)
    alone = one_user(study.dataset.events, 2)
    found = {}
    for name, parameters in (("shared", task.parameters), ("own", own)):
        scorer = ModelScorer(study.new_model(), study.layout, parameters, alone)
        listed = Recommending(scorer).recommend(alone, 5, now=int(alone.time[-1]) + 1)
        found[name] = [one.score for one in listed]
    assert before == pytest.approx(found["shared"], abs=1e-3)
    assert after == pytest.approx(found["own"], abs=1e-3)
