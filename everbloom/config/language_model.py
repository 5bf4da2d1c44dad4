"""Which language model, and what of it is fine-tuned."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, PositiveInt, SerializeAsAny

from everbloom.methods import ADAPTERS, Adapter
from everbloom.registry import Table

PACKAGED = "minilm"
"""Name of the model that comes as a package (all-MiniLM-L6-v2, Apache-2.0): no hub needed."""


class FreshModel(Table):
    """A language model of some architecture with **random weights**, which knows nothing yet: for tests, and to try an architecture whose weights
    cannot be had."""

    config: str
    """Architecture, as `transformers` calls it: `gpt2`, `bert`, `llama`, ..."""
    tokenizer: str = PACKAGED
    """Whose tokenizer: `minilm` (packaged), a hub id, or a local folder."""
    seed: int = 0
    """Of the random weights; the same on every device."""
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)
    """Of the architecture, e.g. `{ n_layer = 4, n_embd = 64, n_head = 4 }`."""


class AdaptersConfig(Table):
    """Which of a language model's layers have adapters; everything else of it stays frozen."""

    adapter: Annotated[SerializeAsAny[Adapter], BeforeValidator(ADAPTERS.parse)] = Field(
        default_factory=lambda: ADAPTERS.parse("ffa-lora")
    )
    layers: PositiveInt | Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1)] = 2
    """So many of the top blocks have adapters, or the blocks with these numbers (from 0). What lies below the lowest of them is computed once per
    text and cached."""
    modules: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Names of the linear layers in a block that have a branch, as PEFT's `target_modules`; default: what is usual for the adapter and the
    architecture (LoRA: query and value)."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What the frozen part computes in. `auto`: bfloat16 on a GPU that has it, else float32. Adapters are float32 always."""


class TowerConfig(AdaptersConfig):
    """The language model of the items' texts is fine-tuned on the devices, through adapters in some of its blocks."""

    states: Literal["float32", "float16"] = "float32"
    """How the cached hidden states are kept; float16 takes half the space."""


class UserTowerConfig(AdaptersConfig):
    """A language model reads the history, in place of the transformer; it is fine-tuned on the devices, through adapters."""

    model: str | FreshModel = PACKAGED
    """`minilm` (packaged), a hub id, or a local folder; or a table: an architecture with random weights."""
    reads: Literal["text", "items"] = "text"
    """`text`: the behaviour told in words, as [model.user.text] says. `items`: the item vectors, in place of the embeddings of tokens; the language
    model's blocks are then the sequence encoder, and must be causal."""
    blocks: PositiveInt | None = None
    """`reads = "items"`: only so many of the top blocks are run; default: all."""
    item_tokens: PositiveInt = 16
    """`reads = "text"`: at most so many tokens of an item's words."""
