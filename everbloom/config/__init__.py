"""The tables of an experiment file, one frozen model each; an unknown key is an error. Defaults are what most experiments want.

Only what stands here can be set. What a device may spend, its clip and its noise live in `PrivacyConfig` and nowhere else;
the plan also reads what an example is and how many steps a round takes.
"""

from everbloom.config.baseline import BaselineConfig
from everbloom.config.data import BehaviourName, CleaningConfig, DataConfig, LabelConfig, ProtocolConfig
from everbloom.config.evaluation import CentralConfig, DeviceEvaluationConfig, EvaluationConfig
from everbloom.config.federation import EarlyStopConfig, FederationConfig
from everbloom.config.feedback import FeedbackConfig
from everbloom.config.items import ItemModelConfig, ModalityKey
from everbloom.config.language_model import PACKAGED, AdaptersConfig, FreshModel, TowerConfig, UserTowerConfig
from everbloom.config.learning import ContinualConfig, LearningConfig
from everbloom.config.model import ModelConfig
from everbloom.config.numbers import Fraction
from everbloom.config.population import BandwidthConfig, PopulationConfig, SpeedConfig
from everbloom.config.privacy import PrivacyConfig
from everbloom.config.runtime import RuntimeConfig, TrackingConfig
from everbloom.config.scores import ContentConfig, CooccurrenceConfig, PriorConfig
from everbloom.config.users import UserModelConfig, UserTextConfig

__all__ = [
    "PACKAGED",
    "AdaptersConfig",
    "BandwidthConfig",
    "BaselineConfig",
    "BehaviourName",
    "CentralConfig",
    "CleaningConfig",
    "ContentConfig",
    "ContinualConfig",
    "CooccurrenceConfig",
    "DataConfig",
    "DeviceEvaluationConfig",
    "EarlyStopConfig",
    "EvaluationConfig",
    "FederationConfig",
    "FeedbackConfig",
    "Fraction",
    "FreshModel",
    "ItemModelConfig",
    "LabelConfig",
    "LearningConfig",
    "ModalityKey",
    "ModelConfig",
    "PopulationConfig",
    "PriorConfig",
    "PrivacyConfig",
    "ProtocolConfig",
    "RuntimeConfig",
    "SpeedConfig",
    "TowerConfig",
    "TrackingConfig",
    "UserModelConfig",
    "UserTextConfig",
    "UserTowerConfig",
]
