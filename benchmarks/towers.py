"""LM fine-tuning of a cohort, against client by client with PEFT and Opacus: `python -m benchmarks.towers [--clients N]`.

50 customers of Online Retail with 20 bought products each (4 examples of 5), MiniLM (6 blocks of 384), FFA-LoRA of rank 8 at query and value of the
top two blocks, one DP-SGD step, clipped and noised; our frozen part in float32 and in bfloat16, which pays where the processor has it. Both sides do
the same mathematics, and their updates are compared. PEFT's side computes in float32, keeps one wrapped model for all clients and pads to each
client's longest text, as a careful loop over clients would. Seconds are the process's own.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from peft import LoraConfig, get_peft_model
from rich.console import Console
from torch import nn

from everbloom.config import ItemModelConfig
from everbloom.experiment import parse_experiment
from everbloom.learning.cohort.batches import Cohort
from everbloom.learning.cohort.engine import CohortTrainer
from everbloom.learning.examples import Examples
from everbloom.learning.local import Draws, LocalTrainer
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.recommender import Recommender, layout_of
from everbloom.models.towers.adapted import branches
from everbloom.models.towers.item import ItemTower
from everbloom.models.towers.loading import load
from everbloom.models.towers.tokens import pool, token_ids
from everbloom.privacy.noise import SeededNoise
from everbloom.study import Study, open_study

ITEMS, LENGTH, NEGATIVES = 20, 5, 1
EXPERIMENT: dict[str, Any] = {
    "name": "towers",
    "data": {"text": "{title}", "source": {"name": "online-retail"}},
    "model": {
        "dim": 32,
        "items": {
            "features": {"name": "lm"},
            "tower": {"adapter": {"name": "ffa-lora", "rank": 8}, "layers": 2},
            "embedding": False,
            "bias": "none",
        },
        "user": {"layers": 1, "history": LENGTH, "dropout": 0.0, "feedforward": 1},
    },
    "learning": {"negatives": NEGATIVES, "learning_rate": 0.1},
    "privacy": {"unit": "example", "noise_multiplier": 1e-3, "delta": 1e-4, "denominator": 4.0, "clip_norm": 0.5},
}


class PerExample(nn.Module):
    """PEFT's trained matrix, shown [examples, rows, width] so that Opacus takes gradients by example and not by text."""

    def __init__(self, inner: nn.Linear, tower: "PeftTower") -> None:
        super().__init__()
        self.inner = inner
        self.examples = tower.examples

    @property
    def weight(self) -> nn.Parameter:
        """PEFT asks for its type."""
        return self.inner.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[texts, tokens, rank] -> [texts, tokens, out]."""
        return self.inner(x.reshape(self.examples[0], -1, x.shape[-1])).view(*x.shape[:-1], -1)


class PeftTower(nn.Module):
    """The whole language model with PEFT's LoRA, from token ids: what a device without our towers would run."""

    def __init__(self, config: ItemModelConfig, texts: list[str], like: ItemTower) -> None:
        super().__init__()
        features = config.features
        assert isinstance(features, LanguageModelFeatures)
        tokenizer, model = load(features.model, "benchmark")
        self.ids = token_ids(tokenizer, texts, features.max_tokens)
        self.pad = int(tokenizer.pad_token_id)
        self.examples = [1]
        lora = LoraConfig(r=8, lora_alpha=16, target_modules=["query", "value"], layers_to_transform=[4, 5])
        self.model = get_peft_model(model, lora)
        for path, own in branches(like.model):
            layer = self.model.base_model.model.get_submodule(path.replace(".block.", "."))
            layer.lora_A["default"].weight.data.copy_(own.branch.a.weight)
            layer.lora_A["default"].requires_grad_(False)
            layer.lora_B["default"].weight.data.copy_(own.branch.b.weight)
            layer.lora_B["default"] = PerExample(layer.lora_B["default"], self)

    def train(self, mode: bool = True) -> "PeftTower":
        """Dropout off, hooks on."""
        super().train(mode)
        self.model.eval()
        for module in self.model.modules():
            if isinstance(module, PerExample):
                module.train(mode)
        return self

    def forward(self, item: torch.Tensor) -> torch.Tensor:
        """[examples, items] -> [examples, items, width]."""
        self.examples[0] = len(item)
        own = [self.ids[number] for number in item.reshape(-1).tolist()]
        ids = torch.full((len(own), max(map(len, own))), self.pad)
        for row, tokens in enumerate(own):
            ids[row, : len(tokens)] = torch.tensor(tokens)
        mask = torch.arange(ids.shape[1]) < torch.tensor([len(tokens) for tokens in own]).unsqueeze(1)
        hidden = self.model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
        return pool(hidden, mask, "mean").view(*item.shape, -1)


def cohort_of(study: Study, clients: int) -> Cohort:
    """The first customers with enough purchases, and their first ones."""
    log = study.dataset.events
    chosen = np.flatnonzero(np.diff(log.offsets) >= ITEMS)[:clients]
    rows = log.offsets[chosen][:, None] + np.arange(ITEMS)
    items = torch.from_numpy(log.item[rows].astype(np.int64)).view(-1, LENGTH)
    nothing = torch.zeros_like(items)
    place = torch.arange(LENGTH).expand(items.shape)
    examples = Examples(items, nothing, torch.ones_like(items).bool(), torch.ones(items.shape), place, nothing)
    negatives = np.random.default_rng(0).integers(0, len(study.dataset.catalog), (len(chosen), NEGATIVES))
    keys = chosen.astype(np.uint64)
    return Cohort(
        examples, np.full(len(chosen), ITEMS // LENGTH), torch.from_numpy(negatives), keys, lambda: draws_of(keys)
    )


def draws_of(keys: NDArray[np.uint64]) -> tuple[Draws, ...]:
    """The same on both sides."""
    return tuple(
        Draws(key, torch.Generator().manual_seed(0), SeededNoise(torch.Generator().manual_seed(int(key))))
        for key in keys
    )


def moved(study: Study) -> Recommender:
    """A model whose adapters have learnt something."""
    model, drawn = study.new_model(), torch.Generator().manual_seed(1)
    assert model.item.tower is not None
    with torch.no_grad():
        for _, layer in branches(model.item.tower):
            layer.branch.b.weight.normal_(std=0.02, generator=drawn)
    return model


DTYPES = ("float32", "bfloat16")


def engine_of(study: Study, dtype: str) -> CohortTrainer:
    """Ours, its frozen part computing in `dtype`."""
    model = moved(study)
    assert model.item.tower is not None
    model.item.tower.dtype = dtype
    return CohortTrainer(model, study.experiment.model, layout_of(model), study.experiment.learning, study.plan)


def device_of(study: Study, start: NDArray[np.float32]) -> LocalTrainer:
    """PEFT's model, trained through Opacus; its parameters begin as ours."""
    model, items = moved(study), study.experiment.model.items
    assert model.item.tower is not None
    model.item.tower = PeftTower(items, study.dataset.catalog.texts("{title}"), model.item.tower)  # type: ignore[assignment]
    assert np.array_equal(layout_of(model).flat(model), start)
    return LocalTrainer(model, layout_of(model), study.experiment.learning, study.plan)


def one_by_one(device: LocalTrainer, start: NDArray[np.float32], cohort: Cohort) -> NDArray[np.float32]:
    """The summed updates of all clients."""
    total = np.zeros_like(start)
    for client, draws in enumerate(cohort.fresh_draws()):
        rows = torch.arange(cohort.first[client], cohort.first[client] + cohort.counts[client])
        total += device.update(start, cohort.examples.take(rows), cohort.negatives[client : client + 1], draws)
    return total


def main() -> None:
    """Measures in turns and compares."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.towers", description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--dtype", nargs="+", default=DTYPES, choices=DTYPES, help="of our frozen part; default: each in turn"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    study = open_study(parse_experiment(EXPERIMENT), lambda done, total: None, lambda done, total: None)
    cohort, start = cohort_of(study, arguments.clients), layout_of(moved(study)).flat(moved(study))
    engines, device = {dtype: engine_of(study, dtype) for dtype in arguments.dtype}, device_of(study, start)
    runs: dict[str, Callable[[], NDArray[np.float32]]] = {
        "PEFT + Opacus, float32": lambda: one_by_one(device, start, cohort),
        **{f"cohort, {dtype}": partial(_total, engine, start, cohort) for dtype, engine in engines.items()},
    }
    updates = {name: run() for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(arguments.repetitions):
        for name, run in runs.items():
            began = time.process_time()
            run()
            times[name].append(time.process_time() - began)
    _tell(times, updates)


def _total(engine: CohortTrainer, start: NDArray[np.float32], cohort: Cohort) -> NDArray[np.float32]:
    return engine.total(start, cohort).deltas[0]


def _tell(times: dict[str, list[float]], updates: dict[str, NDArray[np.float32]]) -> None:
    console = Console()
    (reference, slow), *_ = times.items()
    for name, seconds in times.items():
        ratios = [theirs / ours for theirs, ours in zip(slow, seconds, strict=True)]
        difference = np.linalg.norm(updates[name] - updates[reference]) / np.linalg.norm(updates[reference])
        console.print(
            f"{name}: median {statistics.median(seconds):.2f} s, best {min(seconds):.2f} s of {len(seconds)}; "
            f"{statistics.median(ratios):.1f} times as fast, in turns from {min(ratios):.1f} to {max(ratios):.1f}; "
            f"summed updates differ by {difference:.1e}",
            soft_wrap=True,
        )


if __name__ == "__main__":
    main()
