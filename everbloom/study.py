"""An experiment made concrete on its data: what server, simulated devices and central training all start from."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from everbloom.data.home import feature_cache
from everbloom.data.membership import Membership
from everbloom.data.prepare import Dataset, prepare
from everbloom.data.timeline import Timeline, TrainingWindow
from everbloom.errors import ConfigError, DataError
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.evaluation.own_models import ClusterModels, ServedModels, UsersOwn
from everbloom.experiment import Experiment
from everbloom.learning.clustered import chosen
from everbloom.learning.places import check_places
from everbloom.learning.steering import kept_size
from everbloom.methods import ContinualMethod, Progress
from everbloom.models.copies import Copies
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import features_of, with_searches
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender, layout_of
from everbloom.models.towers.states import TextStates, item_states
from everbloom.models.towers.told import ToldItems, told_items
from everbloom.privacy.course import Course
from everbloom.privacy.plan import PrivacyPlan, build_plan
from everbloom.privacy.soundness import check_aggregation, check_algorithm, check_compression, check_model
from everbloom.seeding import derive
from everbloom.wire import Terms


@dataclass(frozen=True)
class Study:
    """Everything here is a function of the experiment and the data set."""

    experiment: Experiment
    dataset: Dataset
    timeline: Timeline
    features: ItemFeatures | None
    texts: TextStates | None = None
    """Of the items, where the language model is fine-tuned."""
    told: ToldItems | None = None
    """How histories are told, where a language model reads them in words."""

    @cached_property
    def plan(self) -> PrivacyPlan | None:
        """None without privacy. Raises `PrivacyError` if the claim could not be kept."""
        experiment = self.experiment
        return build_plan(
            experiment.privacy, experiment.learning, experiment.model, self.course, self.layout.size(), self.method
        )

    @property
    def method(self) -> ContinualMethod | None:
        """How the federation goes on from period to period; None: an experiment without [continual], which is fine-tuned."""
        return None if self.experiment.continual is None else self.experiment.continual.method

    @property
    def clients(self) -> int:
        """The population: one client per user."""
        return self.dataset.events.users

    @cached_property
    def membership(self) -> Membership | None:
        """Who joins and leaves when, and who only measures; None without [continual]: everybody is always there."""
        continual = self.experiment.continual
        if continual is None:
            return None
        log, boundaries = self.dataset.events, self.timeline.boundaries
        return Membership.of(log, boundaries, continual.panel, continual.deletion_rate, self.experiment.seed)

    @property
    def trainers(self) -> int:
        """Users whose devices can be asked to train."""
        return self.clients if self.membership is None else len(self.membership.trainers)

    @cached_property
    def model_layout(self) -> ParameterLayout:
        """Of one model's parameters."""
        return layout_of(self.new_model())

    @cached_property
    def copies(self) -> Copies | None:
        """The models that are learnt side by side; None: there is one for all."""
        return Copies.of(self.model_layout, self.experiment.learning.algorithm)

    @property
    def layout(self) -> ParameterLayout:
        """Of the parameters that travel: one model's, or those of all that are learnt side by side."""
        return self.model_layout if self.copies is None else self.copies.layout

    @property
    def kept(self) -> int:
        """Numbers that each device keeps from round to round: its personal parameters and what its algorithm remembers."""
        return kept_size(self.layout, self.experiment.learning)

    @property
    def personalised(self) -> bool:
        """Whether people are served by what their devices keep."""
        own = self.experiment.learning.own is not None or self.copies is not None
        return own or self.layout.size("personal") > 0

    @cached_property
    def terms(self) -> Terms:
        """What devices are told."""
        experiment = self.experiment
        return Terms(
            seed=experiment.seed,
            labels={"positives": experiment.data.positives, "min_value": experiment.data.min_value},
            text=experiment.data.text,
            model=experiment.model,
            learning=experiment.learning,
            privacy=experiment.privacy,
            course=self.course,
            continual=self.method,
            compression=experiment.federation.compression,
        )

    @property
    def course(self) -> Course:
        """What a plan knows of the federation."""
        rounds = self.rounds + self.measurements
        return Course.of(self.experiment.federation, rounds, self.timeline.periods, self.trainers)

    @property
    def rounds(self) -> int:
        """Rounds of the whole run, all periods together."""
        return sum(self.experiment.rounds(period) for period in range(self.timeline.periods))

    @property
    def measurements(self) -> int:
        """How often devices are asked to measure, all periods together; a plan counts each as a round."""
        devices, periods = self.experiment.evaluation.devices, range(self.timeline.periods)
        if devices is None:
            return 0
        measured = [period for period in periods if self.holds_out(period)]
        return sum(devices.times(self.experiment.rounds(period)) for period in measured)

    @property
    def central(self) -> bool:
        """Whether there are events here to measure on; else devices alone have any."""
        return len(self.dataset.events) > 0

    def holds_out(self, period: int) -> bool:
        """Whether devices keep something of the period out of training, to be measured on."""
        return self.timeline.has(period, "validation") or not self.central

    def check_central(self, what: str) -> None:
        """Raises `DataError` if there are no events here, which `what` needs."""
        if not self.central:
            raise DataError(
                f"{what} needs events, and data.source {self.experiment.data.source.name!r} has none: devices alone hold them; "
                "run it on these with: everbloom deploy run"
            )

    def window(self, period: int) -> TrainingWindow:
        """What devices learn from in a period."""
        window = self.timeline.window(period)
        if self.method is not None and self.method.whole_history:
            return replace(window, start=self.timeline.window(0).start)
        return window

    def new_model(self, seed: int | None = None) -> Recommender:
        """A model with the experiment's initial parameters, or those of another seed."""
        used = self.experiment.seed if seed is None else seed
        return build_recommender(
            len(self.dataset.catalog), self.features, self.experiment.model, used, self.texts, self.told
        )

    def initial_parameters(self) -> NDArray[np.float32]:
        """[params] that training begins with; of several models, each that has a copy of its own begins with one of its own seed."""
        first = self.model_layout.flat(self.new_model())
        if self.copies is None:
            return first
        found = np.zeros(self.layout.size(), dtype=np.float32)
        for copy in reversed(range(self.copies.number)):
            own = self.new_model(derive(self.experiment.seed, "cluster", client=copy)) if copy else None
            self.copies.put(found, copy, first if own is None else self.model_layout.flat(own))
        return found

    def scorer(
        self,
        parameters: NDArray[np.float32],
        kept: NDArray[np.float32] | None = None,
        models: bool = True,
        model: Recommender | None = None,
    ) -> ModelScorer:
        """Scores everybody as its device would recommend. `parameters` [params]; `kept` [users, numbers]: what devices keep, where it is known. None
        measures the shared model, as does `models` false where devices have whole models of their own. `model`: one to be loaded; default: a new one.

        Raises `DataError` if devices choose among models and it is not known which.
        """
        model, log = self.new_model() if model is None else model, self.dataset.events
        if self.copies is not None and kept is None:
            raise DataError(
                "learning.algorithm: which of the models its device has chosen is known of simulated users alone, so nobody can be measured here"
            )
        size = self.layout.size("personal")
        own = None if kept is None or not size else kept[:, :size]
        served = self.served(parameters, kept) if models or self.copies is not None else None
        return ModelScorer(model, self.model_layout, self.first_model(parameters), log, own, served)

    def served(self, parameters: NDArray[np.float32], kept: NDArray[np.float32] | None) -> ServedModels | None:
        """Whom another model serves than `first_model`, of `parameters` [params] and what devices have `kept` [users, numbers]; None: nobody."""
        if kept is None:
            return None
        if self.copies is not None:
            return ClusterModels(self.copies, parameters, chosen(kept))
        return None if self.experiment.learning.own is None else UsersOwn(kept, self.layout)

    def first_model(self, parameters: NDArray[np.float32]) -> NDArray[np.float32]:
        """[one model's params] of `parameters` [params]: the shared ones, or the first of several models."""
        return parameters if self.copies is None else self.copies.taken(parameters, 0)


def open_study(experiment: Experiment, preparing: Progress, encoding: Progress) -> Study:
    """Prepares the data and the features (both cached). Raises `InputError` if experiment and data do not fit."""
    if experiment.baseline is not None:
        raise ConfigError(
            f"[baseline]: {experiment.baseline.name} has a model of its own, which only `everbloom run` trains and `report`, `compare` and `watch` "
            "show; remove [baseline]"
        )
    dataset = prepare(experiment.data, preparing)
    if not len(dataset.events):
        _check_without_events(experiment)
    if experiment.model.user.gaps:
        dataset.events.check_time("model.user.gaps")
    timeline = Timeline(dataset.events, dataset.catalog, experiment.data, experiment.protocol)
    if experiment.model.user.searches and not dataset.events.searches.texts:
        raise DataError("model.user.searches: this log holds no search; use data with searches, or searches = false")
    features = features_of(dataset.catalog, experiment.data.text, experiment.model.items, feature_cache(), encoding)
    if experiment.model.user.searches:
        searched = dataset.events.searches.texts
        features = with_searches(features, searched, experiment.model, feature_cache(), encoding)
    texts = item_states(dataset.catalog, experiment.data.text, experiment.model.items, feature_cache(), encoding)
    told = told_items(dataset.catalog, experiment.data.text, experiment.model)
    study = Study(experiment, dataset, timeline, features, texts, told)
    if experiment.model.user.tower is not None:
        check_places(study.new_model(), experiment.learning)
    algorithm = experiment.learning.algorithm
    if algorithm is not None:
        algorithm.check(experiment.learning, study.model_layout.size("personal"))
        if algorithm.copies > 1 and experiment.continual is not None:
            raise ConfigError(
                f'[continual] with learning.algorithm = "{algorithm.name}": what is forgotten is measured on devices that never train, and so never '
                "choose a model; remove one of the two"
            )
    check_compression(experiment.federation.compression, study.plan, experiment.model, experiment.learning)
    if study.plan is not None:
        check_algorithm(study.plan, algorithm)
        check_model(study.plan, study.new_model(), study.layout.names("personal"))
        check_aggregation(study.plan, experiment.federation.aggregation)
    _check_cohort(study)
    return study


def _check_without_events(experiment: Experiment) -> None:
    """Raises `DataError` at the first key that asks for events where there is a catalogue alone."""
    wanting = {
        'protocol.name = "timeline"': experiment.protocol.name == "timeline",
        "federation.early_stop": experiment.federation.early_stop is not None,
        "evaluation.candidates": experiment.evaluation.candidates is not None,
        "[feedback]": experiment.feedback is not None,
        "[population]": experiment.population is not None,
        "model.user.searches": experiment.model.user.searches,
    }
    for key, asked in wanting.items():
        if asked:
            instead = 'use "leave-one-out"' if key.startswith("protocol") else "remove it"
            raise DataError(
                f"{key}: needs events, and data.source {experiment.data.source.name!r} has none: devices alone hold them; {instead}"
            )


def _check_cohort(study: Study) -> None:
    """Raises `ConfigError` if a round has too few updates for the aggregation rule."""
    federation = study.experiment.federation
    cohort, rule = federation.cohort_size(study.trainers), federation.aggregation
    if cohort < rule.least:
        raise ConfigError(
            f'federation.cohort: a round has {cohort} devices, and federation.aggregation = "{rule.name}" as it is set needs {rule.least}; '
            "ask more devices, or lower federation.aggregation.byzantine"
        )
