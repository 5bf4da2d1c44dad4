"""`federation.average`: the running average is measured, chosen and served; devices train on the rounds' own models."""

import numpy as np
import pytest

from everbloom.continual.running_average import average_of, averaged
from everbloom.errors import ConfigError
from server.checkpoint import load_checkpoint
from server.federation import Federation

AVERAGED = {"federation": {"rounds": 6, "average": 0.8, "checkpoint_every": 1}, "evaluation": {"every": 6}}


def served_by_hand(models: list[np.ndarray], decay: float) -> np.ndarray:
    """The mean of the first models, then exponential."""
    mean = models[0].astype(np.float64)
    for count, model in enumerate(models[1:], start=2):
        share = max(1 - decay, 1 / count)
        mean = (1 - share) * mean + share * model
    return mean


def models_of(federation: Federation) -> list[np.ndarray]:
    """The parameters that each round ends with."""
    found = []
    observe = federation.learning_on.observe

    def watched(strategy, state):
        observe(strategy, state)
        found.append(state.parameters.copy())

    federation.learning_on.observe = watched
    federation.run()
    return found


def test_few_models_are_averaged_evenly_and_more_exponentially():
    models = [np.full(2, value, dtype=np.float32) for value in (1.0, 3.0, 8.0, 2.0)]
    memory = {}
    for model in models:
        memory = averaged(memory, model, 0.75)
    np.testing.assert_allclose(average_of(memory, models[0]), [3.5, 3.5])
    memory = averaged(memory, np.full(2, 11.5, dtype=np.float32), 0.75)
    np.testing.assert_allclose(average_of(memory, models[0]), [5.5, 5.5])


def test_the_average_is_served_and_rounds_go_on_from_their_own_models(run, small):
    averaging = run.federation(small(protocol={"name": "leave-one-out"}, **AVERAGED), name="averaging")
    plain_tables = {**AVERAGED, "federation": {"rounds": 6}}
    plain = run.federation(small(protocol={"name": "leave-one-out"}, **plain_tables), name="plain")
    rounds = models_of(averaging)
    for one, other in zip(rounds, models_of(plain), strict=True):
        np.testing.assert_array_equal(one, other)
    served = averaging.state.parameters
    np.testing.assert_allclose(served, served_by_hand(rounds, 0.8), atol=1e-6)
    assert not np.allclose(served, rounds[-1], atol=1e-4)


def test_the_next_period_begins_from_what_was_served(run, small):
    federation = run.federation(small(**AVERAGED))
    sent = []
    configure = federation.strategy.configure_train

    def watched(server_round, arrays, config, grid):
        sent.append((federation.state.period, server_round, arrays["flat"].numpy().copy()))
        return configure(server_round, arrays, config, grid)

    federation.strategy.configure_train = watched
    ended = []
    end = federation.learning_on.end

    def settled(state, value):
        end(state, value)
        ended.append(state.parameters.copy())

    federation.learning_on.end = settled
    federation.run()
    begins = {period: parameters for period, server_round, parameters in sent if server_round == 1}
    assert len(ended) > 1
    for period in range(1, len(ended)):
        np.testing.assert_array_equal(begins[period], ended[period - 1])


def test_resumed_equals_uninterrupted(run, small):
    experiment = small(**AVERAGED)
    whole = run(experiment, name="whole")
    begun = run.federation(experiment, name="begun")
    account, done = begun.accounting.close_round, []

    def interrupted(*given):
        account(*given)
        done.append(1)
        if len(done) == 4:
            raise KeyboardInterrupt

    begun.accounting.close_round = interrupted
    with pytest.raises(KeyboardInterrupt):
        begun.run()
    state = load_checkpoint(begun.run_directory, begun.study.layout.schema, begun.study.clients)
    assert state is not None
    assert state.round == 3
    resumed = run.federation(experiment, state=state, name="resumed")
    resumed.run()
    np.testing.assert_array_equal(resumed.state.parameters, whole.state.parameters)
    assert resumed.state.test == whole.state.test


def test_a_continual_method_decides_what_is_served(small):
    with pytest.raises(ConfigError, match=r"federation.average: a \[continual\] method decides what is served"):
        small(federation={"average": 0.9}, continual={"method": "finetune"})
