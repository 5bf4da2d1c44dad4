"""An experiment made concrete on its data: what server, simulated devices and central training all start from."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from everbloom.data.home import feature_cache
from everbloom.data.prepare import Dataset, prepare
from everbloom.data.timeline import Timeline
from everbloom.experiment import Experiment
from everbloom.methods import Progress
from everbloom.models.features.catalogue import features_of
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender, layout_of
from everbloom.privacy.course import Course
from everbloom.privacy.plan import PrivacyPlan, build_plan
from everbloom.privacy.soundness import check_model
from everbloom.wire import Terms


@dataclass(frozen=True)
class Study:
    """`features` [items, width] or None. Everything here is a function of the experiment and the data set."""

    experiment: Experiment
    dataset: Dataset
    timeline: Timeline
    features: NDArray[np.float32] | None

    @cached_property
    def plan(self) -> PrivacyPlan | None:
        """None without privacy. Raises `PrivacyError` if the claim could not be kept."""
        experiment = self.experiment
        return build_plan(experiment.privacy, experiment.learning, experiment.model, self.course, self.layout.size())

    @property
    def clients(self) -> int:
        """The population: one client per user."""
        return self.dataset.events.users

    @cached_property
    def layout(self) -> ParameterLayout:
        """The parameters' layout."""
        return layout_of(self.new_model())

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
        )

    @property
    def course(self) -> Course:
        """What a plan knows of the federation."""
        return Course.of(self.experiment.federation, self.timeline.periods, self.clients)

    @property
    def rounds(self) -> int:
        """Rounds of the whole run, all periods together."""
        return self.experiment.federation.rounds * self.timeline.periods

    def new_model(self) -> Recommender:
        """A model with the experiment's initial parameters."""
        return build_recommender(len(self.dataset.catalog), self.features, self.experiment.model, self.experiment.seed)


def open_study(experiment: Experiment, preparing: Progress, encoding: Progress) -> Study:
    """Prepares the data and the features (both cached). Raises `InputError` if experiment and data do not fit."""
    dataset = prepare(experiment.data, preparing)
    if experiment.model.user.gaps:
        dataset.events.check_time("model.user.gaps")
    timeline = Timeline(dataset.events, dataset.catalog, experiment.data, experiment.protocol)
    features = features_of(dataset.catalog, experiment.data.text, experiment.model.items, feature_cache(), encoding)
    study = Study(experiment, dataset, timeline, features)
    if study.plan is not None:
        check_model(study.plan, study.new_model(), study.layout.names("personal"))
    return study
