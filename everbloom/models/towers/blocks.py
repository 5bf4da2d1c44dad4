"""A language model cut below one of its blocks: the part above runs on hidden states that were computed before.

Works for any architecture whose blocks stand in one list: embeddings, masks, rotary angles and the final norm stay the model's own code. Nothing is
patched from outside: the list's entries are replaced.
"""

from copy import deepcopy
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from everbloom.config import FreshModel
from everbloom.errors import DataError
from everbloom.models.towers.loading import load


class Keys(NamedTuple):
    """Where an experiment file names the model, and where it says what is trained of it: for messages."""

    model: str
    tower: str


ITEM_KEYS = Keys("model.items.features.model", "model.items.tower")
USER_KEYS = Keys("model.user.tower.model", "model.user.tower")


class Injection:
    """Hidden states [rows, tokens, hidden] that enter at the cut; set before each pass."""

    def __init__(self) -> None:
        self.states: torch.Tensor | None = None


class Below(nn.Module):
    """Stands for a block under the cut: hands on what it is given."""

    def __init__(self, block: nn.Module, as_tuple: bool) -> None:
        super().__init__()
        self.as_tuple = as_tuple
        for name, value in vars(block).items():  # what the model's loop may ask a block, e.g. its kind of attention
            if not name.startswith("_") and isinstance(value, (str, int, float)):
                setattr(self, name, value)

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """[rows, tokens, hidden] -> the same."""
        return (hidden_states,) if self.as_tuple else hidden_states


class Reached(Below):
    """Also keeps what reached it."""

    found: torch.Tensor

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """[rows, tokens, hidden] -> the same."""
        self.found = hidden_states
        return super().forward(hidden_states)


class Entered(nn.Module):
    """The lowest block above the cut: reads the injected states, whatever came from below."""

    def __init__(self, block: nn.Module, injection: Injection) -> None:
        super().__init__()
        self.block = block
        self.injection = injection

    def forward(self, hidden_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        """See the block's own."""
        assert self.injection.states is not None, "states are set before a pass"
        return self.block(self.injection.states, *args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("block"), name)


def blocks_of(model: Any, where: str) -> nn.ModuleList:
    """The list of the model's blocks. Raises `DataError` if there is none."""
    count = getattr(model.config, "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise DataError(
        f"{where}: {type(model).__name__} has no list of its {count} blocks to put adapters into; use a model that has one (BERT, GPT-2, Llama, ...)"
    )


def adapted_blocks(layers: int | tuple[int, ...], count: int, keys: Keys) -> tuple[int, ...]:
    """The numbers of the adapted blocks, ascending. Raises `DataError` if there are not so many."""
    if isinstance(layers, int):
        if layers > count:
            raise DataError(f"{keys.tower}.layers: the model has {count} blocks, not {layers}; lower it")
        return tuple(range(count - layers, count))
    if max(layers) >= count:
        raise DataError(f"{keys.tower}.layers: there is no block {max(layers)}; the model has blocks 0 to {count - 1}")
    return tuple(sorted(set(layers)))


def activation_bytes(model: Any, first: int) -> int:
    """Of one token's in the blocks from `first` on, for the way back: norms, query, key, value, what was read, out, and three times a hidden layer
    of four times the width."""
    return 4 * 26 * int(model.config.hidden_size) * (int(model.config.num_hidden_layers) - first)


@lru_cache(maxsize=4)
def _whole(model: str, where: str) -> Any:
    """Once per process: all towers on it share its weights."""
    whole: Any = load(FreshModel.model_validate_json(model) if model.startswith("{") else model, where).model
    if hasattr(whole, "pooler"):
        whole.pooler = None
    return whole


def whole_model(model: str | FreshModel, where: str) -> Any:
    """The whole model, frozen. Copies share the frozen weights."""
    return _copy(_whole(_key(model), where))


def _key(model: str | FreshModel) -> str:
    return model if isinstance(model, str) else model.model_dump_json()


def _copy(shared: Any) -> Any:
    return deepcopy(shared, {id(value): value for value in (*shared.parameters(), *shared.buffers())})


@lru_cache(maxsize=4)
def _cut(model: str, first: int, where: str) -> Any:
    """The frozen upper part, once per process: all towers on it share its weights."""
    whole: Any = load(FreshModel.model_validate_json(model) if model.startswith("{") else model, where).model
    blocks = blocks_of(whole, where)
    as_tuple = _gives_tuples(whole, blocks)
    for number in range(first):
        blocks[number] = Below(blocks[number], as_tuple)
    # What looks tokens up is the largest table there is, and is not asked any more.
    width = whole.get_input_embeddings().weight.shape[1]
    whole.set_input_embeddings(nn.Embedding.from_pretrained(torch.zeros((1, width))))
    if hasattr(whole, "pooler"):
        whole.pooler = None
    return whole


def cut_model(model: str | FreshModel, first: int, where: str) -> tuple[Any, Injection]:
    """The model from block `first` on, frozen, and where its states are injected. Copies share the frozen weights."""
    copy = _copy(_cut(_key(model), first, where))
    blocks, injection = blocks_of(copy, where), Injection()
    blocks[first] = Entered(blocks[first], injection)
    return copy, injection


def cut_above(model: Any, first: int, where: str) -> Reached:
    """Leaves the model no block from `first` on; what comes out keeps the hidden states that would have entered that block. Changes the model."""
    blocks = blocks_of(model, where)
    as_tuple = _gives_tuples(model, blocks)
    reached = Reached(blocks[first], as_tuple)
    blocks[first] = reached
    for number in range(first + 1, len(blocks)):
        blocks[number] = Below(blocks[number], as_tuple)
    _check_runs(model, where)
    return reached


def top_blocks(model: Any, count: int, keys: Keys) -> None:
    """Leaves the model its top `count` blocks: those below hand on what they are given. Changes the model."""
    blocks = blocks_of(model, keys.model)
    if count > len(blocks):
        raise DataError(f"{keys.tower}.blocks: the model has {len(blocks)} blocks, not {count}; lower it")
    as_tuple = _gives_tuples(model, blocks)
    for number in range(len(blocks) - count):
        blocks[number] = Below(blocks[number], as_tuple)
    _check_runs(model, keys.model)


def _check_runs(model: Any, where: str) -> None:
    try:
        _run_once(model)
    except (ValueError, TypeError, IndexError, AttributeError):
        raise DataError(
            f"{where}: the blocks of {type(model).__name__} hand on more than one hidden state; use BERT, GPT-2, Llama or the like"
        ) from None


@torch.inference_mode()
def _run_once(model: Any) -> None:
    model(input_ids=torch.zeros((1, 1), dtype=torch.int64))


def _gives_tuples(model: Any, blocks: nn.ModuleList) -> bool:
    """Whether a block answers with a tuple, which differs from one architecture to another."""
    found: list[bool] = []
    handle = blocks[0].register_forward_hook(lambda _, __, out: found.append(isinstance(out, tuple)))
    _run_once(model)
    handle.remove()
    return found[0]
