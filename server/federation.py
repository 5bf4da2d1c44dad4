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
from everbloom.models.compressing import codec_of
from everbloom.privacy.ledger import Ledger
from everbloom.privacy.opening import MeanOfReplies, SumOpening
from everbloom.privacy.plan import PrivacyPlan
from everbloom.study import Study
from server.checkpoint import save_checkpoint
from server.collecting import collect
from server.hooks import Hooks
from server.learning_on import LearningOn
from server.measuring import Measuring
from server.noise import ServerNoise, seeded_noise
from server.observer import Observer
from server.personal import KnownPersonal, SavedBeside, SavedTogether
from server.roster import KnowsTime
from server.run_directory import RunDirectory
from server.sampling import sample_cohort, wanted_answers
from server.state import Best, FederationState
from server.strategy import FlatStrategy

_BARREN_ROUNDS = 3
_BARREN_ASKED = 100
"""On a simulated clock failing is part of the experiment: a few devices may all fail three times by chance."""


def initial_state(study: Study) -> FederationState:
    """Before the first round."""
    parameters = study.layout.flat(study.new_model())
    optimizer = study.experiment.federation.optimizer
    mechanism = opening_of(study.plan).begin(len(parameters))
    participations, before, last_asked = (np.zeros(study.clients, dtype=np.int32) for _ in range(3))
    return FederationState(parameters, optimizer.init(parameters), participations, before, last_asked, mechanism)


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
        self.ledger.rounds = state.totals.rounds
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
            opened=state.totals.rounds,
            counting=self.learning_on.counting,
            codec=codec_of(study.layout, self.config.compression),
        )

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
        self.learning_on.observe(self.strategy, state)
        self._account(counts, len(cohort), time.monotonic() - started)
        self._give_up_if_barren(len(cohort), counts)
        due = state.round % self.study.experiment.evaluation.every == 0 or state.round == self.rounds
        if due and self.study.timeline.has(state.period, "validation"):
            self._validate()
        if state.round % self.config.checkpoint_every == 0 or state.round == self.rounds or state.stopped:
            save_checkpoint(self.run_directory, state, self.study.layout.schema, self.kept)
        return True

    def _cohort(self) -> NDArray[np.int64] | None:
        """Who is asked in the next round; None if nobody may be asked ever again. Where time is simulated it moves on to when somebody is there."""
        state, clock = self.state, self.time

        def able(clients: NDArray[np.int64]) -> NDArray[np.bool_]:
            there, members = self.ledger.eligible_among(clients), self.study.membership
            return there if members is None else there & members.there(clients, state.period)

        def eligible(clients: NDArray[np.int64]) -> NDArray[np.bool_]:
            return able(clients) if clock is None else able(clients) & clock.available(clients)

        def draw() -> NDArray[np.int64]:
            seed = self.study.experiment.seed
            return sample_cohort(self.clients, eligible, self.config, seed, state.period, state.round + 1)

        if clock is not None:
            population = self.study.experiment.population
            pause = population.pause_seconds if population is not None and state.totals.rounds else 0.0
            clock.now = (state.clock or 0.0) + pause
        cohort = draw()
        if not len(cohort):
            left = self.clients[able(self.clients)]
            if not len(left):
                return None
            # An empty Poisson draw is a cohort like any other; time moves on only where nobody could have been drawn.
            if clock is not None and not clock.available(left).any():
                clock.wait_for(left)
                cohort = draw()
        state.clock = None if clock is None else clock.now
        return cohort

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

    def _account(self, metrics: Mapping[str, object], asked: int, seconds: float) -> None:
        keys = ("clients", "failed", "unneeded", "bytes-up")
        clients, failed, unneeded, bytes_up = (int(metrics.get(key, 0)) for key in keys)  # type: ignore[call-overload]
        vectors = 1 if self.strategy.teacher is None else 2
        bytes_down = asked * vectors * self.state.parameters.nbytes
        record: dict[str, int | float | None] = {
            "period": self.state.period,
            "round": self.state.round,
            "clients": clients,
            "failed": failed,
            **({"unneeded": unneeded} if self.config.over_selection else {}),
            "seconds": round(seconds, 4),
            **self._simulated(),
            "bytes_up": bytes_up,
            "bytes_down": bytes_down,
            **self._spent(),
        }
        totals = self.state.totals
        totals.rounds += 1
        totals.clients += clients
        totals.failed += failed
        totals.unneeded += unneeded
        totals.seconds += seconds
        totals.bytes_up += bytes_up
        totals.bytes_down += bytes_down
        self.run_directory.append("rounds", record)
        self.observer.round_done(record, self.strategy.reasons)

    def _spent(self) -> dict[str, float | int | None]:
        """What the devices have spent, and how many of them have anything left."""
        plan = self.study.plan
        if plan is None:
            return {"epsilon": None}
        return {
            **({} if plan.noise_cohort is None else {"noise_cohort": plan.noise_cohort}),
            **self.strategy.record,
            "devices_left": self.ledger.left(),
            "epsilon": round(self.ledger.epsilon(), 6),
        }

    def _simulated(self) -> dict[str, float]:
        """The round's length and its close on the simulated clock, if there is one."""
        if self.time is None or self.state.clock is None:
            return {}
        began, self.state.clock = self.state.clock, self.time.now
        return {"simulated_seconds": round(self.state.clock - began, 3), "clock": round(self.state.clock, 3)}

    def _validate(self) -> None:
        """Measures on validation; keeps the best parameters and counts what did not improve them."""
        state = self.state
        value = self.measuring.validate(self._scorer(state.parameters), state.period, state.round)
        if state.best is None or value > state.best.value:
            state.best = Best(value, state.round, state.parameters)
            state.stale = 0
        else:
            state.stale += 1
        stop = self.config.early_stop
        state.stopped = stop is not None and state.stale >= stop.patience

    def _end(self, period: int) -> None:
        """Takes the period's best parameters; leave-one-out tests them now, and a continual run looks back."""
        state = self.state
        last = state.round
        if state.best is not None:
            state.parameters, last = self.learning_on.chosen(state, state.best), state.best.round
        if self.study.experiment.protocol.name == "leave-one-out":
            self._test(period, round=last)
        self.learning_on.end(state, lambda parameters: self.measuring.consider(self._scorer(parameters), period))
        if self.study.membership is not None:
            self.measuring.remember(self._scorer(state.parameters), after=period, round=last)
        if period + 1 < self.study.timeline.periods:
            state.next_period()
            save_checkpoint(self.run_directory, state, self.study.layout.schema, self.kept)

    def _test(self, period: int, round: int) -> None:
        self.state.test += self.measuring.test(self._scorer(self.state.parameters), period, round)

    def _scorer(self, parameters: NDArray[np.float32]) -> ModelScorer:
        own = None if self.personal is None else self.personal.values
        return ModelScorer(self.model, self.study.layout, parameters, self.study.dataset.events, own)
