"""The course of a federation: what is measured when, what is learnt from whom, and what ends it."""

import json

import numpy as np
import pytest
import torch

from everbloom.data.timeline import positive_weights
from everbloom.errors import ConfigError, DataError, InputError
from everbloom.learning.candidates import draw_negatives
from everbloom.learning.examples import build_examples
from everbloom.models.users import Circumstances
from everbloom.seeding import PublicDraws
from everbloom.study import Study
from server.federation import Federation
from server.measuring import check_measurements
from server.summary import write_summary


def records(federation: Federation, name: str = "metrics") -> list[dict]:
    return federation.run_directory.records(name)


def courses(federation: Federation) -> list[tuple]:
    return [(r["period"], r["round"], r["split"], r["model"]) for r in records(federation) if r["slice"] == "all"]


def sgd_of_one_client(study: Study, client: int, period: int, round: int) -> np.ndarray:
    """The parameters after one client's one gradient step, with torch's SGD, on the examples and negatives it is to use."""
    experiment = study.experiment
    events = study.dataset.events.of(client)
    draws = PublicDraws(experiment.seed, np.array([client]), period, round)
    examples, _ = build_examples(
        events,
        positive_weights(events, experiment.data),
        study.timeline.window(period),
        experiment.learning,
        experiment.model.user.history,
        disjoint=False,
        draws=draws,
    )
    items = len(study.dataset.catalog)
    (negatives,) = draw_negatives(np.arange(items), experiment.learning.negatives, draws)
    model = study.new_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=experiment.learning.learning_rate)
    losses = []
    for row in range(len(examples)):
        length = int(examples.real[row].sum())
        own = examples.items[row, :length]
        before, read = own[None, :-1], Circumstances(examples.behaviour[row, None, : length - 1])
        scores = model.rank_catalogue(before, read, torch.tensor([length - 1]), model.catalogue())[0]
        others = negatives[~torch.isin(negatives, own)]
        candidates = torch.cat([own.unique(), others])
        correction = torch.zeros(len(candidates))
        correction[len(own.unique()) :] = np.log((items - len(own.unique())) / len(others))
        logits = scores[candidates] + correction
        target = int(torch.nonzero(candidates == own[-1])[0])
        losses.append(torch.nn.functional.cross_entropy(logits[None], torch.tensor([target])))
    torch.stack(losses).mean().backward()
    optimizer.step()
    return study.layout.flat(model)


def test_one_client_without_noise_and_one_step_is_plain_sgd(run, small):
    """From the log through messages, client, strategy and FedAvg at 1: the parameters that torch's SGD gives."""
    experiment = small(
        federation={"rounds": 1, "cohort": 1}, learning={"learning_rate": 0.3}, protocol={"name": "leave-one-out"}
    )
    federation = run.federation(experiment)
    start = federation.state.parameters.copy()
    federation._round()
    ((node,),) = run.asked
    expected = sgd_of_one_client(federation.study, node - 2, 0, 1)
    np.testing.assert_allclose(federation.state.parameters, expected, atol=2e-6)
    assert np.abs(expected - start).max() > 1e-3


def test_a_cohort_is_the_mean_of_its_clients(run, small):
    experiment = small(federation={"rounds": 1, "cohort": 4}, protocol={"name": "leave-one-out"})
    federation = run.federation(experiment)
    federation._round()
    (nodes,) = run.asked
    each = [sgd_of_one_client(federation.study, node - 2, 0, 1) for node in nodes]
    np.testing.assert_allclose(federation.state.parameters, np.mean(each, axis=0), atol=5e-6)


def test_fedprox_at_zero_is_fedavg(run, small):
    ends = {}
    for name, options in {"fedavg": {}, "zero": {"proximal_mu": 0.0}, "half": {"proximal_mu": 0.5}}.items():
        ends[name] = run(small(learning={"local_steps": 3, **options}), name=name).state.parameters
    assert np.array_equal(ends["zero"], ends["fedavg"])
    assert not np.allclose(ends["half"], ends["fedavg"])


def test_a_timeline_is_tested_before_it_is_trained_on(run, small):
    federation = run(small(federation={"rounds": 2}, protocol={"periods": 3}))
    assert courses(federation) == [
        (0, 0, "validation", "popularity"),
        (0, 0, "validation", "federated"),
        (0, 1, "validation", "federated"),
        (0, 2, "validation", "federated"),
        (1, 0, "test", "federated"),
        (1, 0, "test", "popularity"),
        (1, 0, "validation", "popularity"),
        (1, 0, "validation", "federated"),
        (1, 1, "validation", "federated"),
        (1, 2, "validation", "federated"),
        (2, 0, "test", "federated"),
        (2, 0, "test", "popularity"),
        (2, 0, "validation", "popularity"),
        (2, 0, "validation", "federated"),
        (2, 1, "validation", "federated"),
        (2, 2, "validation", "federated"),
    ]


def test_leave_one_out_is_tested_at_the_end_with_the_best_parameters(run, small):
    federation = run(small(federation={"rounds": 3}, protocol={"name": "leave-one-out"}))
    by_round = {
        r["round"]: r["ndcg@10"]
        for r in records(federation)
        if r["split"] == "validation" and r["model"] == "federated"
    }
    tests = [r for r in records(federation) if r["split"] == "test" and r["model"] == "federated"]
    assert len(tests) == 1
    assert by_round[tests[0]["round"]] == max(by_round.values())
    assert np.array_equal(federation.state.parameters, federation.state.best.parameters)


def test_validation_comes_every_few_rounds_and_after_the_last(run, small):
    federation = run(small(federation={"rounds": 5}, evaluation={"every": 2}, protocol={"name": "leave-one-out"}))
    rounds = [r["round"] for r in records(federation) if r["split"] == "validation" and r["model"] == "federated"]
    assert rounds == [0, 2, 4, 5]


def test_rounds_are_recorded_and_added_up(run, small):
    federation = run(small(privacy=True))
    rows = records(federation, "rounds")
    assert [(row["period"], row["round"]) for row in rows] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    size = federation.study.layout.size() * 4
    for row in rows:
        assert list(row) == [
            "period", "round", "clients", "failed", "seconds", "bytes_up", "bytes_down", "devices_left", "epsilon"
        ]  # fmt: skip
        assert (row["clients"], row["failed"], row["bytes_up"], row["bytes_down"]) == (6, 0, 6 * size, 6 * size)
    epsilons = [row["epsilon"] for row in rows]
    assert epsilons == sorted(epsilons)
    assert 0 < epsilons[0] <= epsilons[-1] <= federation.study.plan.epsilon + 1e-6
    totals = federation.state.totals
    assert (totals.rounds, totals.clients, totals.failed) == (4, 24, 0)
    assert totals.bytes_up == 24 * size


def test_without_privacy_no_epsilon_is_claimed(run, small):
    assert {row["epsilon"] for row in records(run(small()), "rounds")} == {None}


def test_a_failed_client_is_counted_and_the_round_goes_on(run, small, fail):
    unlucky: set[int] = set()

    def reply(task, answer):
        if not unlucky:
            unlucky.add(task.metadata.dst_node_id)
        return fail(task) if task.metadata.dst_node_id in unlucky else answer

    federation = run(small(federation={"cohort": 20}), reply)
    assert {(row["clients"], row["failed"]) for row in records(federation, "rounds")} == {(19, 1)}
    assert federation.state.totals.failed == 4


def test_min_replies(run, small, fail):
    """A round with too few replies changes nothing, and is recorded."""

    def reply(task, answer):
        return fail(task) if task.metadata.dst_node_id % 2 else answer

    federation = run.federation(small(federation={"cohort": 20, "min_replies": 11}), reply)
    start = federation.state.parameters.copy()
    federation.run()
    assert np.array_equal(federation.state.parameters, start)
    assert {row["failed"] for row in records(federation, "rounds")} == {10}


def test_when_everybody_fails_three_times_the_run_stops_with_the_reason(run, small, fail):
    told = r"round 3: all 6 clients failed, 3 rounds in a row; the first: error .*no battery"
    with pytest.raises(InputError, match=told):
        run(small(federation={"rounds": 4}), lambda task, answer: fail(task))


def test_a_round_in_which_everybody_fails_does_not_end_the_run(run, small, fail):
    """Not even several, if somebody answered in between."""

    def reply(task, answer):
        return answer if task.content.config_records["task"]["round"] % 3 == 0 else fail(task)

    federation = run(small(federation={"rounds": 6}), reply)
    clients = [row["clients"] for row in records(federation, "rounds") if row["period"] == 0]
    assert clients == [0, 0, 6, 0, 0, 6]


def test_an_empty_poisson_cohort_is_a_round_without_change(run, small):
    federation = run(small(federation={"cohort": 1, "sampler": "poisson", "rounds": 8}))
    assert 0 in {row["clients"] for row in records(federation, "rounds")}
    assert all(row["failed"] == 0 for row in records(federation, "rounds"))


def test_the_budget_of_the_population_ends_training(run, small, private_tables):
    """Three participations a device: after them no client is asked any more, and the remaining periods are still measured."""
    experiment = small(
        privacy={**private_tables, "max_participations": 3},
        federation={"rounds": 9, "cohort": 10},
        protocol={"periods": 3},
    )
    federation = run(experiment)
    counts = np.bincount([node - 2 for round in run.asked for node in round], minlength=20)
    assert (counts == 3).all()
    assert (federation.state.participations == 3).all()
    rows = records(federation, "rounds")
    assert sum(row["clients"] for row in rows) == 60
    assert len(rows) < 27
    assert rows[-1]["epsilon"] == pytest.approx(federation.study.plan.epsilon, abs=1e-5)
    assert {r["period"] for r in records(federation) if r["split"] == "test"} == {1, 2}


def test_early_stop_ends_a_period_and_keeps_its_best(run, small):
    """A learning rate that ruins the model from the first round on."""
    experiment = small(
        federation={"rounds": 9, "early_stop": {"patience": 2}, "optimizer": {"name": "fedavg", "learning_rate": 60.0}},
        protocol={"name": "leave-one-out"},
    )
    federation = run(experiment)
    by_round = {
        r["round"]: r["ndcg@10"]
        for r in records(federation)
        if r["split"] == "validation" and r["model"] == "federated"
    }
    best = max(by_round, key=lambda round: (by_round[round], -round))
    assert max(by_round) == best + 2 < 9
    assert len(records(federation, "rounds")) == best + 2
    (test,) = (r for r in records(federation) if r["split"] == "test" and r["model"] == "federated")
    assert test["round"] == best


def test_the_next_period_starts_from_the_best_with_a_fresh_optimizer(run, small):
    experiment = small(federation={"rounds": 2, "optimizer": {"name": "fedadam", "learning_rate": 0.01}})
    federation = run.federation(experiment)
    federation._begin(0)
    federation._round()
    federation._round()
    best = federation.state.best.parameters
    assert federation.state.optimizer["step"][0] == 2
    federation._end(0)
    assert np.array_equal(federation.state.parameters, best)
    assert (federation.state.period, federation.state.round, federation.state.best) == (1, 0, None)
    federation._begin(1)
    assert federation.state.optimizer["step"][0] == federation.strategy.state["step"][0] == 0


def test_devices_are_asked_for_the_periods_own_events(run, small):
    windows: dict[int, set] = {}

    def reply(task, answer):
        record = task.content.config_records["task"]
        windows.setdefault(int(record["period"]), set()).add(tuple(record["window"]))
        return answer

    timeline = run(small(), reply).study.timeline
    expected = {p: {(timeline.window(p).start, timeline.window(p).end, timeline.window(p).held_out)} for p in (0, 1)}
    assert windows == expected
    assert timeline.window(1).start == timeline.window(0).end


def test_one_seed_one_run(run, small):
    files = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        federation = run(small(seed=seed, privacy=True), name=name)
        files.append((federation.run_directory.path / "metrics.jsonl").read_bytes())
    assert files[0] == files[1]
    assert files[0] != files[2]


def test_what_could_not_be_measured_is_refused_before_training(study_of, small):
    check_measurements(study_of(small()))
    with pytest.raises(ConfigError, match=r"evaluation\.select: 'ndcg@7' is not measured; expected one of: hr@5"):
        check_measurements(study_of(small(evaluation={"select": "ndcg@7"})))
    everything_known = {"users": 1, "items": 2, "latent_dim": 2, "repeats": True}
    with pytest.raises(DataError, match=r"no .* cases in period .*: no user has a positive to find there"):
        check_measurements(study_of(small(data={"source": everything_known})))


def test_summary(run, small):
    federation = run(small(privacy=True))
    summary = write_summary(federation.run_directory, federation.study, federation.state)
    assert json.loads((federation.run_directory.path / "summary.json").read_text()) == summary
    study, plan = federation.study, federation.study.plan
    assert (summary["users"], summary["items"]) == (study.clients, len(study.dataset.catalog))
    assert summary["events"] == len(study.dataset.events)
    assert summary["parameters"] == study.layout.size()
    assert (summary["rounds"], summary["clients"], summary["failed"]) == (4, 24, 0)
    assert summary["bytes_up"] == sum(row["bytes_up"] for row in records(federation, "rounds"))
    assert summary["peak_memory_mb"] > 50
    privacy = summary["privacy"]
    assert privacy["unit"] == "example"
    assert privacy["epsilon"] == records(federation, "rounds")[-1]["epsilon"]
    assert privacy["epsilon"] <= privacy["budget"]
    assert (privacy["delta"], privacy["statement"]) == (1e-4, plan.describe())
    (test,) = (r for r in records(federation) if r["split"] == "test" and r["model"] == "federated")
    assert summary["test"]["full"]["ndcg@10"] == test["ndcg@10"]
    assert set(summary["baselines"]) == {"popularity"}
    assert set(summary["baselines"]["popularity"]["full"]) == set(summary["test"]["full"])


def test_summary_averages_the_tested_periods(run, small):
    federation = run(small(protocol={"periods": 3}))
    summary = write_summary(federation.run_directory, federation.study, federation.state)
    values = [r["hr@10"] for r in records(federation) if r["split"] == "test" and r["model"] == "federated"]
    assert len(values) == 2
    assert summary["test"]["full"]["hr@10"] == pytest.approx(sum(values) / 2, abs=1e-6)
    assert summary["privacy"] == {
        "unit": "none",
        "epsilon": None,
        "delta": None,
        "mechanism": "none",
        "statement": summary["privacy"]["statement"],
    }
    assert summary["privacy"]["statement"].startswith("No differential privacy")
