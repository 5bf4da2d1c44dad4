"""The families of methods that an experiment chooses from: each one's contract, and the list of its implementations.

To add a method: one file with a frozen class that implements the contract, one line in its family's list, one experiment file that uses it.
"""

from everbloom.methods.aggregation import AGGREGATION_RULES, SERVER_OPTIMIZERS, AggregationRule, ServerOptimizer
from everbloom.methods.algorithms import ALGORITHMS, FederatedAlgorithm
from everbloom.methods.availabilities import AVAILABILITIES, Availability
from everbloom.methods.baselines import BASELINES, Baseline
from everbloom.methods.compressions import COMPRESSIONS, Compression
from everbloom.methods.content import ADAPTERS, FEATURE_ENCODERS, MODALITIES, Adapter, FeatureEncoder, Modality
from everbloom.methods.continual import CONTINUAL_METHODS, ContinualMethod
from everbloom.methods.federated_baselines import FEDERATED_BASELINES, FederatedBaseline
from everbloom.methods.feedback import EXPLORATIONS, USER_MODELS, Exploration, UserModel
from everbloom.methods.mechanisms import MECHANISMS, Mechanism
from everbloom.methods.objectives import OBJECTIVES, Objective
from everbloom.methods.progress import Progress
from everbloom.methods.sources import SOURCES, Source
from everbloom.methods.trackers import TRACKERS, Tracker

__all__ = [
    "ADAPTERS",
    "AGGREGATION_RULES",
    "ALGORITHMS",
    "AVAILABILITIES",
    "BASELINES",
    "COMPRESSIONS",
    "CONTINUAL_METHODS",
    "EXPLORATIONS",
    "FEATURE_ENCODERS",
    "FEDERATED_BASELINES",
    "MECHANISMS",
    "MODALITIES",
    "OBJECTIVES",
    "SERVER_OPTIMIZERS",
    "SOURCES",
    "TRACKERS",
    "USER_MODELS",
    "Adapter",
    "AggregationRule",
    "Availability",
    "Baseline",
    "Compression",
    "ContinualMethod",
    "Exploration",
    "FeatureEncoder",
    "FederatedAlgorithm",
    "FederatedBaseline",
    "Mechanism",
    "Modality",
    "Objective",
    "Progress",
    "ServerOptimizer",
    "Source",
    "Tracker",
    "UserModel",
]
