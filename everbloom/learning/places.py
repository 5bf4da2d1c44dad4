"""Which positions of an example a model can be asked for."""

from everbloom.config import LearningConfig
from everbloom.errors import ConfigError
from everbloom.models.recommender import Recommender


def check_places(model: Recommender, learning: LearningConfig) -> None:
    """Raises `ConfigError` if the user encoder reads in both directions and every position of an example would be asked for: each would have read the
    events that it is to predict."""
    if model.user.two_way and learning.examples != "next-item":
        raise ConfigError(
            "model.user.tower.model: this model reads in both directions, so a position within a history would have read what comes after it; "
            'set learning.examples = "next-item", or name a causal model (GPT-2, Llama, ...)'
        )
