"""A federation that learns on: what is measured after what, who trains, what a resumed run and a scrambled future change (nothing)."""

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from dp_accounting.pld.privacy_loss_distribution import from_gaussian_mechanism

from everbloom.data.events import EventLog
from everbloom.data.timeline import Timeline
from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.user_records import looked_back, of_test, read_user_records
from everbloom.methods import CONTINUAL_METHODS
from everbloom.privacy.mechanisms.local import SENSITIVITY
from everbloom.study import Study
from server.checkpoint import load_checkpoint
from server.federation import Federation, initial_state
from server.run_directory import RunDirectory
from simulation.grid import client_of

PERIODS = 4
USER_DP = {
    "unit": "user",
    "mechanism": {"name": "local"},
    "noise_multiplier": 2.0,
    "delta": 1e-3,
    "max_participations": 5,
}


@pytest.fixture
def lasting(small):
    """The small experiment over four periods; (**tables) -> experiment."""

    def build(**tables):
        continual = {"method": "finetune", "panel": 0.2, **tables.pop("continual", {})}
        source = {"name": "synthetic", "users": 40, "items": 30, "events_per_user": 20, "seed": 2}
        protocol = {"name": "timeline", "cut": "counts", "periods": PERIODS, "warm_start": 0.4, "validation": 0.2}
        return small(
            **{"data": {"source": source}, "protocol": protocol, "federation": {"cohort": 8}, **tables},
            continual=continual,
        )

    return build


def metrics(federation, **wanted):
    records = federation.run_directory.records("metrics")
    return [record for record in records if all(record.get(key) == value for key, value in wanted.items())]


def matrix(federation, part="panel"):
    """(after, period) -> NDCG@10."""
    rows = metrics(federation, split="test", model="federated", protocol="full", slice=part)
    found = {(row["after"], row["period"]): row["ndcg@10"] for row in rows}
    assert len(found) == len(rows)  # each entry is measured once
    return found


def test_every_period_is_tested_before_it_is_learnt_and_looked_back_at_after_every_one(run, lasting):
    federation = run(lasting())
    expected = {(after, period) for after in range(PERIODS) for period in range(1, PERIODS) if period <= after + 1}
    assert set(matrix(federation)) == expected
    ahead = metrics(federation, split="test", model="federated", slice="all")
    assert [(record["after"], record["period"], record["round"]) for record in ahead] == [
        (0, 1, 0),
        (1, 2, 0),
        (2, 3, 0),
    ]
    assert all("after" not in record for record in metrics(federation, split="validation"))


def per_user(directory):
    """Every value of every user, by the file's name."""
    names = sorted(path.name for path in (directory.path / "per-user").iterdir())
    found = {name: read_user_records(directory.path, name) for name in names}
    return {
        name: list(zip(row.user.tolist(), row.values["ndcg@10"].tolist(), strict=True)) for name, row in found.items()
    }


@pytest.mark.parametrize("panel", [0.3, 0.0])
def test_what_each_user_got_has_the_means_of_the_records(run, lasting, panel):
    federation = run(lasting(continual={"panel": panel, "deletion_rate": 0.1}))
    found = per_user(federation.run_directory)
    entries = matrix(federation, "panel" if panel else "all")
    for (after, period), value in entries.items():
        ahead = period == after + 1 and not panel
        rows = found[of_test(period, "federated") if ahead else looked_back(after, period)]
        assert np.mean([value for _, value in rows]) == pytest.approx(value, abs=1e-6)
    for period in range(1, PERIODS):
        (record,) = metrics(federation, period=period, split="test", slice="all", after=period - 1)
        rows = found[of_test(period, "federated")]
        assert len(rows) == record["users"]
        assert np.mean([value for _, value in rows]) == pytest.approx(record["ndcg@10"], abs=1e-6)


def test_damaged_records_per_user_are_told(run, lasting):
    federation = run(lasting())
    path = federation.run_directory.path / "per-user" / looked_back(2, 1)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"after-0002-test-0001\.npz: damaged"):
        read_user_records(federation.run_directory.path, path.name)


def test_the_panel_never_trains_and_is_never_learnt_from(run, lasting):
    federation = run(lasting())
    panel = federation.study.membership.panel
    assert panel.sum() == 8
    asked = {client_of(node) for nodes in run.asked for node in nodes}
    assert asked
    assert not asked & set(np.flatnonzero(panel))
    users = {record["period"]: record["users"] for record in metrics(federation, slice="panel", after=PERIODS - 1)}
    for period, count in users.items():
        cases = federation.study.timeline.cases(period, "test")
        assert count == panel[cases.user].sum()


def test_without_a_panel_everybody_trains_and_is_measured(run, lasting):
    federation = run(lasting(continual={"panel": 0.0}))
    assert not metrics(federation, slice="panel")
    assert set(matrix(federation, "all")) == set(matrix(run(lasting(), name="other")))


def test_nobody_is_asked_before_the_first_event_or_after_deleting_the_data(run, lasting):
    federation = run(lasting(continual={"deletion_rate": 0.3}))
    members = federation.study.membership
    assert 0 < (members.leaves < PERIODS).sum() < federation.study.clients
    rounds = federation.config.rounds
    for place, nodes in enumerate(run.asked):
        clients = np.array([client_of(node) for node in nodes])
        assert members.there(clients, place // rounds).all()
    for record in metrics(federation, split="test", model="federated", slice="all"):
        cases = federation.study.timeline.cases(record["period"], "test")
        assert record["users"] == (members.leaves[cases.user] > record["period"]).sum()
    for record in metrics(federation, slice="panel"):
        cases, now = federation.study.timeline.cases(record["period"], "test"), max(record["after"], record["period"])
        assert record["users"] == (members.panel[cases.user] & (members.leaves[cases.user] > now)).sum()


@pytest.mark.parametrize("method", CONTINUAL_METHODS.names())
@pytest.mark.parametrize("privacy", ["none", "example", "user"])
def test_every_method_runs_under_every_unit(run, lasting, private_tables, method, privacy):
    tables = {"none": {}, "example": {"privacy": private_tables}, "user": {"privacy": USER_DP}}[privacy]
    federation = run(lasting(continual={"method": method}, **tables))
    assert len(matrix(federation)) == 9
    assert all(not reason for reason in federation.strategy.reasons)
    totals = federation.state.totals
    assert totals.rounds == {"frozen": 2}.get(method, 2 * PERIODS)
    assert totals.failed == 0


@pytest.mark.parametrize("method", CONTINUAL_METHODS.names())
def test_what_a_prior_has_counted_is_not_averaged_pulled_or_begun_anew(run, lasting, method):
    """Every method counts what plain fine-tuning counts; who stops learning stops counting, who learns all anew counts all anew."""

    def counts(method, **prior):
        everybody = {"cohort": 1.0, "rounds": 2}
        experiment = lasting(continual={"method": method}, model={"prior": prior}, federation=everybody)
        federation = run(experiment, name=f"run-{len(list(run.folder.iterdir()))}")
        assert federation.state.totals.rounds == (3 if method == "frozen" else 3 * PERIODS)
        return federation.state.parameters[federation.study.layout.counted]

    found, plain = counts(method), counts("finetune")
    assert plain.max() > 3
    if method == "frozen":
        assert 0 < found.sum() < counts("finetune", decay=1.0).sum()
    elif method == "retrain":  # everybody's distinct items of all periods
        assert found.sum() > counts("finetune", decay=0.0).sum()
        np.testing.assert_allclose(found, np.round(found), atol=1e-4)
    else:
        np.testing.assert_allclose(found, plain, rtol=1e-6)


def test_frozen_never_changes_and_retrain_begins_anew(run, lasting):
    frozen = run(lasting(continual={"method": "frozen"}))
    by_period = {}
    for (_, period), value in matrix(frozen).items():
        by_period.setdefault(period, set()).add(value)
    assert all(len(values) == 1 for values in by_period.values())
    retrain = run(lasting(continual={"method": "retrain"}), name="retrain")
    start = retrain.study.layout.flat(retrain.study.new_model())
    begun, _ = retrain.study.method.begin(2, {}, start + 1, start)
    assert np.array_equal(begun, start)
    assert retrain.study.window(3).start == retrain.study.timeline.window(0).start
    assert retrain.study.window(3).end == retrain.study.timeline.window(3).end


@pytest.mark.parametrize("method", sorted({*CONTINUAL_METHODS.names()} - {"frozen"}))
def test_a_run_killed_in_a_period_resumes_to_the_identical_matrix(run, lasting, method):
    experiment = lasting(continual={"method": method, "deletion_rate": 0.1}, federation={"cohort": 8, "rounds": 3})
    whole = run(experiment, name="whole")
    stopped = run.federation(experiment, name="stopped")
    kill_at(stopped, rounds=3 * 3 + 2)
    study = run.opened(experiment)
    directory = RunDirectory.open(stopped.run_directory.path)
    state = load_checkpoint(directory, study.layout.schema, study.clients)
    assert (state.period, state.round) == (3, 2)
    again = run.federation(experiment, state=state, name="again")
    resumed = Federation(study, directory, again.grid, again.roster, again.observer, state)
    resumed.run()
    assert np.array_equal(resumed.state.parameters, whole.state.parameters)
    assert directory.records("metrics") == whole.run_directory.records("metrics")
    assert matrix(resumed) == matrix(whole)
    assert per_user(directory) == per_user(whole.run_directory)


class Killed(Exception):
    pass


def kill_at(federation, rounds):
    """Runs until so many rounds have been recorded, and then no line further."""
    inner = federation._round

    def one():
        if federation.state.totals.rounds == rounds:
            raise Killed
        return inner()

    federation._round = one
    with pytest.raises(Killed):
        federation.run()


@pytest.mark.parametrize("model", [{}, {"prior": {}, "cooccurrence": {}}], ids=["plain", "hybrid"])
def test_what_comes_after_a_cut_changes_no_number_before_it(run, lasting, model):
    """Items, order and behaviour of everything from period 2 on are scrambled: all that was measured until then is as it was."""
    experiment = lasting(continual={"method": "replay"}, model=model)
    study = run.opened(experiment)
    cut = study.timeline.boundaries[2]
    federations = []
    for place, log in enumerate((study.dataset.events, scrambled(study.dataset.events, cut))):
        dataset = replace(study.dataset, events=log)
        timeline = Timeline(log, dataset.catalog, experiment.data, experiment.protocol)
        assert np.array_equal(timeline.boundaries, study.timeline.boundaries)
        other = Study(experiment, dataset, timeline, study.features)
        run.opened = partial(given, other)
        federations.append(run(experiment, name=f"run-{place}"))
    before = [
        [record for record in metrics(one) if record["period"] < 2 and record.get("after", 0) < 2]
        for one in federations
    ]
    after = [[record for record in metrics(one) if record.get("after", 0) >= 2] for one in federations]
    assert len(before[0]) > 10
    assert before[0] == before[1]
    assert after[0] != after[1]  # it was scrambled


def given(study, experiment):
    """The study, whatever is asked for."""
    return study


def scrambled(log: EventLog, cut: int) -> EventLog:
    """The same times and users; which items are met from `cut` on is drawn anew."""
    late = np.flatnonzero(log.time >= cut)
    item = np.array(log.item)
    item[late] = np.random.default_rng(5).permutation(item[late])
    return replace(log, item=item)


def test_the_ledger_over_all_periods_is_the_accountants_and_who_has_spent_it_stays_out(run, lasting):
    experiment = lasting(privacy=USER_DP, federation={"cohort": 1.0, "rounds": 2}, continual={"panel": 0.0})
    federation = run(experiment)
    plan, ledger = federation.study.plan, federation.ledger
    spent = federation.state.participations
    assert spent.max() == plan.max_participations == 5
    assert ledger.epsilon() == pytest.approx(plan.spent(5)) == pytest.approx(plan.epsilon)
    message = from_gaussian_mechanism(plan.noise_multiplier / SENSITIVITY)
    assert ledger.epsilon() == pytest.approx(message.self_compose(5).get_epsilon_for_delta(plan.delta), rel=0.005)
    asked = [{client_of(node) for node in nodes} for nodes in run.asked]
    members = federation.study.membership
    early = set(np.flatnonzero(members.joins == 0).tolist())
    for place, clients in enumerate(asked):
        if place < 5:
            assert early <= clients  # everybody who is there is asked in every round, until the budget ends:
        else:
            assert not early & clients
    rounds = federation.run_directory.records("rounds")
    epsilons = [record["epsilon"] for record in rounds]
    assert epsilons[:5] == [pytest.approx(plan.spent(place + 1), abs=1e-5) for place in range(5)]
    assert epsilons[5:] == [epsilons[4]] * (len(epsilons) - 5)


def test_continual_needs_periods(small):
    with pytest.raises(ConfigError, match=r"\[continual\] needs periods"):
        small(protocol={"name": "leave-one-out"}, continual={})
    with pytest.raises(ConfigError, match="unknown continual method 'magic'; expected one of: finetune, frozen"):
        small(continual={"method": "magic"})


def test_a_carried_optimizer_goes_on_where_it_was(run, lasting):
    adam = {"name": "fedadam", "learning_rate": 0.01}
    steps = {}
    for kind in ("fresh", "carried"):
        experiment = lasting(continual={"optimizer": kind}, federation={"cohort": 8, "optimizer": adam})
        federation = run(experiment, name=kind)
        steps[kind] = float(federation.state.optimizer["step"][0])
        json.dumps(federation.run_directory.records("rounds"))
    assert steps == {"fresh": 2.0, "carried": 2.0 * PERIODS}


def test_what_begins_anew_takes_no_optimizer_along(run, lasting):
    """Its moments are a memory too, of people who may have deleted their data since."""
    adam = {"name": "fedadam", "learning_rate": 0.01}
    continual = {"method": "retrain", "optimizer": "carried"}
    federation = run(lasting(continual=continual, federation={"cohort": 8, "optimizer": adam}))
    assert float(federation.state.optimizer["step"][0]) == 2.0


@pytest.mark.parametrize("method", ["retrain", "merging"])
def test_the_optimizer_starts_where_the_rounds_do(run, lasting, method):
    """FedAdam's anchor is where a period's rounds began, not what was served before it."""
    adam = {"name": "fedadam", "learning_rate": 0.01, "anchor": 0.1}
    federation = run.federation(lasting(continual={"method": method}, federation={"cohort": 8, "optimizer": adam}))
    begun = {}
    begin = federation._begin

    def noted(period):
        begin(period)
        begun[period] = (federation.state.optimizer["anchor"], federation.state.parameters, federation.strategy.state)

    federation._begin = noted
    federation.run()
    assert len(begun) == PERIODS
    for anchor, start, held in begun.values():
        assert np.array_equal(anchor, start)
        assert np.array_equal(held["anchor"], start)


def test_a_teacher_is_counted_among_the_bytes(run, lasting):
    federation = run(lasting(continual={"method": "distillation"}))
    size = federation.study.layout.size() * 4
    down = [
        (record["period"], record["bytes_down"] / record["clients"])
        for record in federation.run_directory.records("rounds")
    ]
    assert all(each == size * (2 if period else 1) for period, each in down)


def test_the_initial_state_remembers_nothing(lasting, study_of):
    assert initial_state(study_of(lasting())).memory == {}
