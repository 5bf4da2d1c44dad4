"""How much a run trains on: what decides whether starting workers is worth it."""

import pytest

from simulation.campaign.running import trained_events as events


def test_every_round_reads_its_period_s_window(small, study_of):
    study = study_of(small(protocol={"periods": 3, "validation": 0.0}, learning={"local_steps": 2}))
    # Two rounds in each of three periods, a cohort of 6 of 20 users, two steps; the windows make up the whole log.
    assert events(study) == pytest.approx(2 * 6 / 20 * 2 * len(study.dataset.events))


def test_without_periods_every_round_reads_everything(small, study_of):
    study = study_of(small(protocol={"name": "leave-one-out"}))
    assert events(study) == pytest.approx(2 * 6 / 20 * len(study.dataset.events))


def test_a_frozen_model_reads_the_warm_start_alone_and_retraining_all_again(small, study_of):
    def of(method):
        tables = {"continual": {"method": method, "panel": 0.0}, "protocol": {"periods": 3, "validation": 0.0}}
        return events(study_of(small(**tables)))

    assert of("frozen") < of("finetune") < of("retrain")
