"""Small language models with random weights, and towers on them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from tower_texts import TEXTS
from transformers import BertConfig, BertModel, GPT2Config, GPT2Model, PreTrainedTokenizerFast

from everbloom.config import ModelConfig
from everbloom.models.features.catalogue import catalogue_features
from everbloom.models.recommender import Recommender, build_recommender
from everbloom.models.towers.states import TextStates, text_states

WORDS = ["<pad>", "<eos>", "<unk>", "red", "blue", "lamp", "a", "of", "the", "shop", "for", "tea"]

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bert": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 24},
    "gpt2": {"n_embd": 16, "n_layer": 3, "n_head": 2},
    "llama": {
        "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "num_key_value_heads": 1,
        "intermediate_size": 24,
    },
}  # fmt: skip


@pytest.fixture(params=ARCHITECTURES)
def architecture(request: pytest.FixtureRequest) -> dict[str, Any]:
    """The `model` of an experiment file: bidirectional, causal with positions, causal with rotary ones."""
    return {"config": request.param, "options": ARCHITECTURES[request.param]}


@pytest.fixture(scope="session")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """(kind, pad) -> a folder as `save_pretrained` leaves it, with a tokenizer of a few words; `pad`: whether that has a padding token."""

    def build(kind: str, pad: bool = True) -> Path:
        folder = tmp_path_factory.mktemp(f"{kind}-{pad}")
        tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        special = {"eos_token": "<eos>", "unk_token": "<unk>", **({"pad_token": "<pad>"} if pad else {})}
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
        options = ARCHITECTURES[kind] | {"vocab_size": len(WORDS)}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            if kind == "gpt2":
                GPT2Model(GPT2Config(**options, bos_token_id=1, eos_token_id=1)).save_pretrained(folder)
            else:
                BertModel(BertConfig(**options)).save_pretrained(folder)
        assert json.loads((folder / "config.json").read_text())["model_type"] == kind
        return folder

    return build


@pytest.fixture
def inputs(tmp_path: Path) -> Callable[[ModelConfig], tuple[Any, TextStates]]:
    """(configuration) -> features of `TEXTS` and their states."""

    def build(config: ModelConfig) -> tuple[Any, TextStates]:
        lm, tower = config.items.features, config.items.tower
        features = catalogue_features(TEXTS, config.items, tmp_path, lambda done, total: None)
        states = text_states(TEXTS, lm.model, lm.max_tokens, tower, tmp_path, lambda done, total: None)
        return features, states

    return build


@pytest.fixture
def tower_of(inputs: Callable[[ModelConfig], tuple[Any, TextStates]]) -> Callable[..., Recommender]:
    """(model, items tables, lm options) -> a recommender with a tower over `TEXTS`."""

    def build(
        model: Any, tower: dict[str, Any] | None = None, lm: dict[str, Any] | None = None, **items: Any
    ) -> Recommender:
        features = {"name": "lm", "model": model, "max_tokens": 9, **(lm or {})}
        table = {"dim": 8, "items": {"features": features, "tower": tower or {}, **items}}
        config = ModelConfig.model_validate(table)
        found, states = inputs(config)
        return build_recommender(len(TEXTS), found, config, 1, states)

    return build


@pytest.fixture(scope="session")
def perturb() -> Callable[[torch.nn.Module], None]:
    """Moves everything that is trained away from where it adds nothing."""

    def move(module: torch.nn.Module) -> None:
        drawn = torch.Generator().manual_seed(2)
        with torch.no_grad():
            for parameter in module.parameters():
                if parameter.requires_grad:
                    parameter.add_(torch.randn(parameter.shape, generator=drawn) * 0.3)

    return move
