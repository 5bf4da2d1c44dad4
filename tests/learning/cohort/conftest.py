"""Small cohorts that hold what could go wrong in a batch, and what each client's own device makes of them."""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from everbloom.config import ItemModelConfig, LearningConfig, ModelConfig
from everbloom.data.gaps import GAP_CODES
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.engine import CPU, CohortTrainer
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.methods import OBJECTIVES
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import catalogue_features
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import Recommender, build_recommender, layout_of
from everbloom.models.towers.states import TextStates, text_states
from everbloom.models.towers.told import tell
from everbloom.models.user_text import UserText
from everbloom.privacy.noise import SeededNoise
from everbloom.privacy.plan import PrivacyPlan

ITEMS, WIDTH, NEGATIVES = 20, 5, 8
RARE = ITEMS - 1
"""An item of those clients only that are told to hold it."""
FEATURES = {"features": {"name": "tfidf"}}
MODALITIES = {"text": {"encoder": {"name": "tfidf"}}, "price": {"name": "numbers", "fields": ["price"], "weight": 0.7}}
SEARCHES = 4
LANGUAGE_MODEL = {
    "features": {
        "name": "lm",
        "model": {
            "config": "bert",
            "options": {
                "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24
            },
        },
    }
}  # fmt: skip
GPT = {"config": "gpt2", "options": {"n_embd": 16, "n_layer": 2, "n_head": 2}}
TEXTS = [
    " ".join(("red", "lamp", "of", "the", "shop", "for", "tea")[n % 5 :][: 1 + n % 6]) + f" {n}" for n in range(ITEMS)
]
"""Of the items, where a language model reads them: of one token to seven, and their number."""
VARIANTS: dict[str, dict[str, Any]] = {
    "embedding": {},
    "features": {"items": {**FEATURES, "embedding": False, "bias": "features"}},
    "both": {"items": FEATURES},
    "no-bias": {"items": {"bias": "none"}},
    "behaviours": {"user": {"behaviours": True}},
    "gaps": {"user": {"gaps": True}},
    "mlp": {"score": "mlp"},
    "mlp-features": {"score": "mlp", "items": {**FEATURES, "embedding": False, "bias": "features", "bias_scale": 3.0}},
    "deep": {"user": {"layers": 2, "heads": 4}},
    "flat": {"user": {"layers": 0, "feedforward": 0}},
    "scaled": {"items": {"bias_scale": 5.0, "embedding_scale": 1.5}, "user": {"scale": 0.2, "feedforward": 0}},
    "content": {"items": FEATURES, "content": {"lags": 3}},
    "fixed-items": {"items": {**FEATURES, "embedding": False, "bias": "none", "train_adapter": False}},
    "fixed-adapter": {"score": "mlp", "items": {**FEATURES, "train_adapter": False}},
    "prior": {"items": {"bias": "none"}, "prior": {"strength": 2.0}},
    "cooccurrence": {"cooccurrence": {"window": 1, "recent": 2}},
    "hybrid": {"items": FEATURES, "content": {"lags": 2}, "prior": {}, "cooccurrence": {"window": 2, "sharpness": 2.0}},
    "fixed": {
        "items": FEATURES,
        "content": {"learn": False},
        "prior": {"learn": False},
        "cooccurrence": {"learn": False},
    },
    "wide": {"dim": 32, "items": {**FEATURES, "bias": "features"}},
    "searches": {"items": {"features": {"name": "lm"}}, "user": {"searches": True}},
    "linear": {"items": {"modalities": MODALITIES, "fusion": "linear", "bias": "features"}},
    "gated": {"items": {"modalities": MODALITIES}},
    "gated-bias": {"score": "mlp", "items": {"modalities": MODALITIES, "embedding": False, "bias": "features"}},
    "tower": {"items": {**LANGUAGE_MODEL, "tower": {"adapter": {"name": "ffa-lora", "rank": 2}}}},
    "tower-lora": {"items": {**LANGUAGE_MODEL, "tower": {"adapter": {"name": "lora", "rank": 2}}, "embedding": False}},
    "tower-bottleneck": {
        "items": {**LANGUAGE_MODEL, "tower": {"adapter": {"name": "bottleneck", "hidden": 3}, "layers": 1}},
        "content": {"lags": 3},
    },
    "user-text": {"user": {"tower": {"model": GPT, "adapter": {"name": "lora", "rank": 2}}}},
    "user-items": {
        "user": {
            "tower": {"model": GPT, "reads": "items", "blocks": 1, "layers": 1, "adapter": "bottleneck"},
            "behaviours": True,
        },
    },
    "two-towers": {
        "items": {**LANGUAGE_MODEL, "tower": {"layers": 1}, "embedding": False, "bias": "none"},
        "user": {"tower": {"model": GPT}, "text": {"max_tokens": 18}},
    },
    "tower-reduced": {
        "score": "mlp",
        "items": {**LANGUAGE_MODEL, "tower": {"adapter": "ffa-lora"}, "feature_dim": 5, "bias": "features"},
    },
}
CLIP_NORMS = {
    "mlp": 1.8,
    "mlp-features": 7.0,
    "flat": 4.4,
    "scaled": 6.5,
    "both": 16.0,
    "features": 14.0,
    "content": 16.0,
    "hybrid": 16.0,
    "fixed": 16.0,
    "fixed-adapter": 2.8,
    "wide": 120.0,
    "tower": 4.8,
    "tower-lora": 4.8,
    "tower-bottleneck": 4.8,
    "tower-reduced": 1.9,
    "user-items": 6.3,
    "two-towers": 0.85,
    "gated-bias": 1.7,
}
"""Norms that about half of the examples' gradients exceed; of the other variants: 8.5."""
LOSSES: dict[str, dict[str, Any]] = {
    **{name: {"name": name} for name in OBJECTIVES.names()},
    "masked": {"name": "sampled-softmax", "mask_history": True},
}


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> str:
    """Every kind of model."""
    return request.param


@pytest.fixture(params=LOSSES)
def objective(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Every objective."""
    return LOSSES[request.param]


@pytest.fixture(params=["windows", "next-item"])
def kind(request: pytest.FixtureRequest) -> str:
    """Both kinds of examples."""
    return request.param


@dataclass(frozen=True)
class Case:
    """A model, how it is trained, and a cohort. `swell`: what the parameters of the rare item are multiplied with."""

    config: ModelConfig
    learning: LearningConfig
    plan: PrivacyPlan | None
    cohort: Cohort
    swell: float = 1.0

    def model(self) -> Recommender:
        """The same anew each time."""
        features, texts = _inputs(self.config)
        tower = self.config.user.tower
        told = None
        if tower is not None and tower.reads == "text":
            told = tell(UserText(self.config.user.text), TEXTS, tower)
        model = build_recommender(ITEMS, features, self.config, 1, texts, told)
        drawn = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.requires_grad:  # branches that are zero at first would hide a mistake in what feeds them
                    parameter.add_(torch.randn(parameter.shape, generator=drawn) * 0.3)
            if model.item.embedding is not None:
                model.item.embedding.weight[RARE] *= self.swell
        return model

    @property
    def layout(self) -> ParameterLayout:
        """The parameters' layout."""
        return layout_of(self.model())

    @property
    def start(self) -> NDArray[np.float32]:
        """[params] where everybody begins."""
        return self.layout.flat(self.model())

    def engine(self, batch: int | None = None, memory: int | None = None, device: torch.device = CPU) -> CohortTrainer:
        """`batch`: bytes of activations at once, other than measured to be fast."""
        made = CohortTrainer(self.model(), self.config, self.layout, self.learning, self.plan, memory, device)
        if batch is not None:
            made.budget = made.training.budget = replace(made.budget, batch=batch)
        return made

    def examples(self, client: int) -> Examples:
        """One client's."""
        first = self.cohort.first[client]
        return self.cohort.examples.take(torch.arange(first, first + self.cohort.counts[client]))

    def only(self, clients: Sequence[int]) -> "Case":
        """The same with these clients."""
        parts = [self.examples(client) for client in clients]
        fields = ("items", "behaviour", "real", "weight", "place", "gap", "search")
        draws = self.cohort.draws
        some = Cohort(
            Examples(*(torch.cat([getattr(part, field) for part in parts]) for field in fields)),
            self.cohort.counts[list(clients)],
            self.cohort.negatives[list(clients)],
            self.cohort.dropout[list(clients)],
            None if draws is None else lambda: tuple(draws()[client] for client in clients),
        )
        return replace(self, cohort=some)

    def on_devices(self) -> NDArray[np.float32]:
        """[clients, params] each client's delta from its own device, with Opacus where there is a plan."""
        trainer = LocalTrainer(self.model(), self.layout, self.learning, self.plan)
        own = self.cohort.draws or (lambda: [Draws(key, None, None) for key in self.cohort.dropout])
        return np.array(
            [
                trainer.update(self.start, self.examples(client), self.cohort.negatives[client : client + 1], draws)
                for client, draws in enumerate(own())
            ]
        )


def _inputs(config: ModelConfig) -> tuple[NDArray[np.float32] | ItemFeatures | None, TextStates | None]:
    """Features of the items, and the states that a tower goes on from."""
    if not config.items.described:
        return None, None
    if config.items.tower is None:
        draw, width = np.random.default_rng(0), 48 if config.dim > 8 else 6
        text = draw.normal(size=(ITEMS, width)).astype(np.float32)
        if config.user.searches:
            return replace(ItemFeatures.of(text), searches=draw.normal(size=(SEARCHES, width)).astype(np.float32)), None
        if not config.items.modalities:
            return text, None
        price = draw.normal(size=(ITEMS, 2)).astype(np.float32)
        text[::5], price[::3] = np.nan, np.nan  # the first item has nothing
        weights = [modality.weight for modality in config.items.modalities.values()]
        return ItemFeatures.joined({"text": (text, weights[0]), "price": (price, weights[1])}), None
    return _language_inputs(config.items.model_dump_json())


@lru_cache
def _language_inputs(items: str) -> tuple[NDArray[np.float32] | None, TextStates | None]:
    config = ItemModelConfig.model_validate_json(items)
    with tempfile.TemporaryDirectory() as cache:
        features = catalogue_features(TEXTS, config, Path(cache), lambda done, total: None)
        states = text_states(TEXTS, config.features.model, 9, config.tower, Path(cache), lambda done, total: None)
        return features, states


def examples_of(rng: np.random.Generator, count: int, kind: str, rare: NDArray[np.bool_]) -> Examples:
    """Of different lengths; items twice in one example, item 0 (which padding names too), positions that teach nothing."""
    length = rng.integers(1, WIDTH + 1, count)
    place = np.arange(WIDTH)
    real = place < length[:, None]
    items = rng.integers(0, RARE, (count, WIDTH))
    items[:, 2] = np.where(rng.random(count) < 0.5, items[:, 0], items[:, 2])
    items[rare, 0] = RARE
    weight = rng.choice([0.0, 1.0, 2.0], (count, WIDTH))
    weight[:, 0] = 1
    scored = np.broadcast_to(place, (count, WIDTH))
    if kind == "next-item":
        scored = length[:, None] - 1
        weight = np.where(place == scored, rng.choice([1.0, 2.0], (count, 1)), 0)
    return Examples(
        torch.from_numpy(np.where(real, items, 0)),
        torch.from_numpy(np.where(real, rng.integers(0, 7, (count, WIDTH)), 0)),
        torch.from_numpy(real),
        torch.from_numpy(np.where(real, weight, 0).astype(np.float32)),
        torch.from_numpy(np.array(scored)),
        torch.from_numpy(np.where(real, np.random.default_rng(count).integers(0, GAP_CODES, (count, WIDTH)), 0)),
        torch.from_numpy(np.where(real, np.random.default_rng(count).integers(0, SEARCHES + 1, (count, WIDTH)), 0)),
    )


def draws_of(keys: NDArray[np.uint64]) -> tuple[Draws, ...]:
    return tuple(
        Draws(key, torch.Generator().manual_seed(10 + n), SeededNoise(torch.Generator().manual_seed(1000 + n)))
        for n, key in enumerate(keys)
    )


@pytest.fixture(scope="session")
def case_of() -> Callable[..., Case]:
    """(variant, sizes, ...) -> a case whose clients hold so many examples each; other arguments belong to [learning].

    A plan's clip norm is taken in units of one that about half of the examples exceed.
    """

    def build(
        variant: str = "both",
        sizes: Sequence[int] = (4, 0, 1, 9, 2),
        kind: str = "windows",
        plan: PrivacyPlan | None = None,
        rare: Sequence[int] = (),
        dropout: float = 0.0,
        seed: int = 0,
        swell: float = 1.0,
        **learning: Any,
    ) -> Case:
        if plan is not None:
            plan = replace(plan, clip_norm=plan.clip_norm * CLIP_NORMS.get(variant, 8.5))
        table = {"dim": 8, **VARIANTS[variant]}
        table["user"] = {
            "layers": 1, "heads": 2, "history": WIDTH, "feedforward": 1, "dropout": dropout, **table.get("user", {})
        }  # fmt: skip
        rng = np.random.default_rng(seed)
        counts = np.array(sizes, dtype=np.int64)
        owner = np.repeat(np.arange(len(counts)), counts)
        keys = np.arange(len(counts), dtype=np.uint64) * np.uint64(7919)
        negatives = rng.integers(0, RARE, (len(counts), NEGATIVES))
        negatives[:, -1] = negatives[:, 0]
        cohort = Cohort(
            examples_of(rng, len(owner), kind, np.isin(owner, rare)),
            counts,
            torch.from_numpy(negatives),
            keys,
            None if plan is None else lambda: draws_of(keys),
        )
        steps = {} if plan is None else {"local_steps": plan.steps_per_round}
        table_of_learning = {"learning_rate": 0.05, "negatives": NEGATIVES, "examples": kind, **steps, **learning}
        return Case(
            ModelConfig.model_validate(table), LearningConfig.model_validate(table_of_learning), plan, cohort, swell
        )

    return build


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Fails unless the norm of the difference is so small a part of the norm of what is expected (or of what parameters are rounded to)."""

    def check(found: Any, expected: Any, tolerance: float = 1e-5) -> None:
        found, expected = (np.asarray(value, dtype=np.float64) for value in (found, expected))
        assert found.shape == expected.shape
        assert np.isfinite(found).all()
        assert np.linalg.norm(found - expected) <= tolerance * np.linalg.norm(expected) + 1e-8 * expected.size**0.5

    return check
