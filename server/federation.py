"""A federation's course: test-then-train over periods, rounds within each, central evaluation, checkpoints.

Every decision depends on the experiment, the state and derived randomness alone, so a resumed run equals an uninterrupted one.
"""

import time
from collections.abc import Mapping

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord
from flwr.serverapp import Grid
from numpy.typing import NDArray

from everbloom.errors import InputError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation_wire import EVALUATE
from everbloom.models.compressing import codec_of
from everbloom.models.tables import touched_rows
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.opening import MeanOfReplies, SumOpening
from everbloom.privacy.plan import PrivacyPlan
from everbloom.study import Study
from server.accounting import Accounting
from server.algorithm import algorithm_of
from server.checkpoint import save_checkpoint
from server.collecting import collect
from server.device_measuring import DeviceMeasuring
from server.drawing import Drawing
from server.hooks import Hooks
from server.learning_on import LearningOn
from server.measuring import Measuring
from server.noise import ServerNoise, seeded_noise
from server.observer import Observer
from server.personal import KnownPersonal, SavedBeside, SavedTogether
from server.roster import KnowsTime
from server.run_directory import RunDirectory
from server.sampling import wanted_answers
from server.state import Best, FederationState
from server.strategy import FlatStrategy

_BARREN_ROUNDS = 3
_BARREN_ASKED = 100
"""On a simulated clock failing is part of the experiment: a few devices may all fail three times by chance."""


def initial_state(study: Study, parameters: NDArray[np.float32] | None = None) -> FederationState:
    """Before the first round. `parameters` [params]: those to begin with, in place of a new model's."""
    parameters = study.initial_parameters() if parameters is None else parameters
    optimizer, rule = study.experiment.federation.optimizer, study.experiment.federation.aggregation
    mechanism = opening_of(study.plan).begin(len(parameters))
    algorithm = study.experiment.learning.algorithm
    remembered = {} if algorithm is None else algorithm.begin(parameters)
    participations, before, last_asked = (np.zeros(study.clients, dtype=np.int32) for _ in range(3))
    aggregation = rule.init(len(parameters))
    return FederationState(
        parameters,
        optimizer.init(parameters),
        participations,
        before,
        last_asked,
        mechanism,
        aggregation,
        algorithm=remembered,
    )


def opening_of(plan: PrivacyPlan | None) -> SumOpening:
    """What makes a mean of a round's sum."""
    return MeanOfReplies() if plan is None else plan.server


class Federation:
    """One run on one grid. `roster` maps client numbers to node ids."""

    def __init__(
        self,
        study: Study,
        run: RunDirectory,
        grid: Grid,
        roster: Mapping[int, int],
        observer: Observer,
        state: FederationState,
        noise: ServerNoise | None = None,
        personal: KnownPersonal | None = None,
        residuals: SavedBeside | None = None,
        hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    ) -> None:
        """`noise`: where the server's own comes from, under a plan that asks for it; default: the experiment's seed. `personal`: what the devices
        have learnt for themselves, where they are simulated; None measures the shared model.
        `residuals`: what they could not send yet. `hooks`: what else is to be done.
        """
        self.study = study
        self.run_directory = run
        self.grid = grid
        self.time = grid if isinstance(grid, KnowsTime) else None
        self.observer = observer
        self.state = state
        self.personal = personal
        self.kept = SavedTogether([kind for kind in (personal, residuals) if kind is not None])
        self.hooks = hooks
        self.config = study.experiment.federation
        self.measuring = Measuring(study, run, observer)
        self.learning_on = LearningOn(study)
        self.model = study.new_model()
        self.ledger = Ledger(study.plan, state.participations, state.before, state.last_asked)
        self.ledger.rounds = state.totals.charges
        self.drawing = Drawing(study, self.ledger, self.time)
        self._know(roster)
        self._barren = self._barren_asked = 0
        self.strategy = FlatStrategy(
            study.layout,
            study.terms,
            self.config.optimizer,
            self.config.min_replies,
            state.optimizer,
            opening_of(study.plan),
            state.mechanism,
            noise or seeded_noise(study.experiment.seed),
            self.config.aggregation,
            state.aggregation,
            touched_rows(self.model, study.model_layout, study.copies),
            opened=state.totals.rounds,
            counting=self.learning_on.counting,
            measuring=DeviceMeasuring.of(
                study, noise or seeded_noise(study.experiment.seed, "server-evaluation-noise")
            ),
            algorithm=algorithm_of(study, state.algorithm),
            codec=codec_of(study.layout, self.config.compression),
        )
        self.accounting = Accounting(study, run, observer, self.ledger, self.strategy, self.time, personal)

    def _know(self, roster: Mapping[int, int]) -> None:
        """From now on these are asked."""
        self.roster = roster
        self.clients = np.sort(np.fromiter(roster, dtype=np.int64, count=len(roster)))
        if self.study.membership is not None:
            self.clients = self.clients[~self.study.membership.panel[self.clients]]
        self.wanted = wanted_answers(self.config, len(self.clients))

    def run(self) -> FederationState:
        """All that remains of the run; returns the final state."""
        for period in range(self.state.period, self.study.timeline.periods):
            self._begin(period)
            while self.state.round < self.rounds and not self.state.stopped:
                if not self._round():
                    break
            self._end(period)
        return self.state

    @property
    def rounds(self) -> int:
        """Rounds of the current period."""
        return self.study.experiment.rounds(self.state.period)

    def _begin(self, period: int) -> None:
        """Measures the new period before training on it, and the starting point of its rounds."""
        if self.state.round == 0:
            self.ledger.begin_period()
            if period > 0 and self.study.timeline.has(period, "test"):
                self._test(period, round=0)
            self.learning_on.begin(self.state)
            if not (
                period and self.learning_on.carries_optimizer
            ):  # from where the rounds start, which a method decides
                self.state.optimizer = self.strategy.state = self.config.optimizer.init(self.state.parameters)
            if self.rounds and self.study.timeline.has(period, "validation"):
                self.measuring.validate_baseline(period)
                self._validate()
        self.learning_on.equip(self.strategy, self.state)

    def _round(self) -> bool:
        """One round and its record; false if nobody is left to ask."""
        started = time.monotonic()
        state = self.state
        if (roster := self.hooks.roster(self.roster)) is not self.roster:
            self._know(roster)
        cohort = self._cohort()
        if cohort is None:
            state.stopped = True
            return False
        state.round += 1
        self.ledger.ask(cohort)
        self.hooks.asking(state.period, state.round, cohort.tolist())
        nodes = {client: self.roster[client] for client in cohort.tolist()}
        self.strategy.ask(nodes, state.period, self.study.window(state.period), self.wanted)
        self.strategy.there = self.learning_on.counted_items(state)
        arrays = ArrayRecord({"flat": Array(state.parameters)})
        messages = list(self.strategy.configure_train(state.round, arrays, ConfigRecord(), self.grid))
        replies = collect(self.study, self.grid, messages, nodes, self.wanted, state.period, state.round)
        new, metrics = self.strategy.aggregate_train(state.round, replies)
        counts = dict(metrics or {})
        if new is not None:
            state.parameters = new["flat"].numpy()
            state.optimizer, state.mechanism = self.strategy.state, self.strategy.mechanism
            state.aggregation = self.strategy.aggregation
        if self.strategy.algorithm is not None:
            state.algorithm = self.strategy.algorithm.memory
        self.learning_on.observe(self.strategy, state)
        self.accounting.close_round(state, counts, len(cohort), time.monotonic() - started)
        self._give_up_if_barren(len(cohort), counts)
        due = state.round % self.study.experiment.evaluation.every == 0 or state.round == self.rounds
        if due and self.study.timeline.has(state.period, "validation"):
            self._validate()
        self._ask_devices_how_good()
        if state.round % self.config.checkpoint_every == 0 or state.round == self.rounds or state.stopped:
            save_checkpoint(self.run_directory, state, self.study.layout.schema, self.kept)
        return True

    def _cohort(self) -> NDArray[np.int64] | None:
        """Who is asked in the next round; None if nobody may be asked ever again. Where time is simulated it moves on to when somebody is there."""
        state, clock = self.state, self.time

        if clock is not None:
            population = self.study.experiment.population
            pause = population.pause_seconds if population is not None and state.totals.rounds else 0.0
            clock.now = (state.clock or 0.0) + pause
        cohort = self.drawing.cohort(self.clients, state.period, state.round + 1)
        if not len(cohort):
            left = self.clients[self.drawing.able(self.clients, state.period)]
            if not len(left):
                return None
            # An empty Poisson draw is a cohort like any other; time moves on only where nobody could have been drawn.
            if clock is not None and not clock.available(left).any():
                clock.wait_for(left)
                cohort = self.drawing.cohort(self.clients, state.period, state.round + 1)
        state.clock = None if clock is None else clock.now
        return cohort

    def _ask_devices_how_good(self) -> None:
        """A measurement by a cohort of its own, if the round calls for one and anybody may still be asked."""
        state, asked = self.state, self.study.experiment.evaluation.devices
        if asked is None or not asked.due(state.round, self.rounds) or not self.study.holds_out(state.period):
            return
        if not self.drawing.able(self.clients, state.period).any():
            return
        cohort = self.drawing.cohort(self.clients, state.period, state.round, "evaluation-cohort")
        self.ledger.ask(cohort)
        self.hooks.asking(state.period, state.round, cohort.tolist())
        state.totals.measurements += 1
        nodes = {client: self.roster[client] for client in cohort.tolist()}
        self.strategy.ask(nodes, state.period, self.study.window(state.period))
        self.strategy.held_out = self.study.timeline.held_out(state.period, "validation")
        arrays = ArrayRecord({"flat": Array(self.learning_on.served(state))})
        messages = list(self.strategy.configure_evaluate(state.round, arrays, ConfigRecord(), self.grid))
        replies = collect(self.study, self.grid, messages, nodes, len(messages), state.period, state.round, EVALUATE)
        told = self.strategy.aggregate_evaluate(state.round, replies)
        assert told is not None, "the strategy measures, since the experiment does"
        self.measuring.devices_told(told, self.strategy.reasons, state.period, state.round)

    def _give_up_if_barren(self, asked: int, counts: Mapping[str, object]) -> None:
        """A failed client never costs a round, nor a failed round the run; if everybody fails again and again, raises `InputError`."""
        if counts.get("clients"):
            self._barren = self._barren_asked = 0
        elif asked:
            self._barren += 1
            self._barren_asked += asked
        enough = 1 if self.time is None else _BARREN_ASKED
        if self._barren >= _BARREN_ROUNDS and self._barren_asked >= enough:
            raise InputError(
                f"round {self.state.round}: all {asked} clients failed, {self._barren} rounds in a row; "
                f"the first: {self.strategy.reasons[0]}"
            )

    def _validate(self) -> None:
        """Measures on validation; keeps the best parameters and counts what did not improve them."""
        state = self.state
        served = self.learning_on.served(state)
        value = self.measuring.validate(self._scorer(served), state.period, state.round)
        if self.study.experiment.learning.own is not None:
            # Devices keep their own models, whichever round's shared one is taken: that is chosen by how good it is itself.
            value = self.measuring.consider(self._scorer(served, models=False), state.period)
        if state.best is None or value > state.best.value:
            state.best = Best(value, state.round, served)
            state.stale = 0
        else:
            state.stale += 1
        stop = self.config.early_stop
        state.stopped = stop is not None and state.stale >= stop.patience

    def _end(self, period: int) -> None:
        """Takes the period's best parameters; leave-one-out tests them now, and a continual run looks back."""
        state = self.state
        last = state.round
        if state.best is None:
            state.parameters = self.learning_on.served(state)
        else:
            state.parameters, last = self.learning_on.chosen(state, state.best), state.best.round
        if self.study.experiment.protocol.name == "leave-one-out" and self.study.central:
            self._test(period, round=last)
        self.learning_on.end(
            state, lambda parameters: self.measuring.consider(self._scorer(parameters, models=False), period)
        )
        if self.study.membership is not None:
            self.measuring.remember(self._scorer(state.parameters), after=period, round=last)
        if period + 1 < self.study.timeline.periods:
            state.next_period()
            save_checkpoint(self.run_directory, state, self.study.layout.schema, self.kept)

    def _test(self, period: int, round: int) -> None:
        self.state.test += self.measuring.test(self._scorer(self.state.parameters), period, round)

    def _scorer(self, parameters: NDArray[np.float32], models: bool = True) -> ModelScorer:
        """`models`: everybody by a model of its own, where the devices have such; else `parameters` [params] alone are what is measured."""
        kept = None if self.personal is None else self.personal.values
        return self.study.scorer(parameters, kept, models, self.model)
