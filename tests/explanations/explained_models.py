"""Small models with parameters of every kind."""

from typing import Any

import numpy as np
import torch

from everbloom.config import ModelConfig
from everbloom.data.events import EventLog
from everbloom.evaluation.model_scorer import ModelScorer
from everbloom.models.recommender import Recommender, build_recommender, layout_of

ITEMS = 40
WIDTH = 12
FEATURES = np.random.default_rng(5).normal(size=(ITEMS, WIDTH)).astype(np.float32)

MODELS: dict[str, dict[str, Any]] = {
    "ids": {"items": {"bias": "item"}},
    "features": {"items": {"features": {"name": "tfidf"}, "feature_dim": 6, "bias": "features"}},
    "content": {"items": {"features": {"name": "tfidf"}, "embedding": False}, "content": {"lags": 3}},
    "mlp": {"items": {"features": {"name": "tfidf"}}, "score": "mlp"},
    "hybrid": {
        "items": {"features": {"name": "tfidf"}},
        "content": {"lags": 2},
        "prior": {"strength": 0.4},
        "cooccurrence": {"strength": 0.7},
    },
    "bare co-occurrence": {"items": {"features": {"name": "tfidf"}, "embedding": False}, "cooccurrence": {}},
    "circumstances": {"user": {"behaviours": True, "gaps": True, "personal": True}},
}


def model_of(kind: str, history: int = 7, seed: int = 1, moved: float = 0.3) -> Recommender:
    """Moved away from where it starts, so that every part of it counts."""
    tables = MODELS[kind]
    user = {"layers": 2, "heads": 2, "history": history, "feedforward": 1, "dropout": 0.0, **tables.get("user", {})}
    config = ModelConfig.model_validate({"dim": 8, **tables, "user": user})
    features = FEATURES if config.items.features is not None else None
    model = build_recommender(ITEMS, features, config, seed)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * moved)
        if model.prior is not None:
            model.prior.counts.copy_(torch.arange(ITEMS) % 7)
    return model.eval()


def scorer_of(model: Recommender, log: EventLog, personal: np.ndarray | None = None) -> ModelScorer:
    layout = layout_of(model)
    return ModelScorer(model, layout, layout.flat(model), log, personal)
