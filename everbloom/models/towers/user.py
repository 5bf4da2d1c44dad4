"""User vectors by a language model: over the history in words, or over its item vectors."""

from typing import Any

import torch
from torch import nn

from everbloom.config import ModelConfig, UserTowerConfig
from everbloom.data.events import BEHAVIOURS
from everbloom.errors import DataError
from everbloom.models.towers.adapted import Grouping, adapt
from everbloom.models.towers.blocks import (
    USER_KEYS,
    activation_bytes,
    adapted_blocks,
    blocks_of,
    top_blocks,
    whole_model,
)
from everbloom.models.towers.half import halved
from everbloom.models.towers.tokens import pool
from everbloom.models.towers.told import Telling, ToldItems
from everbloom.models.users import Circumstances, at


class _UserTower(nn.Module):
    """What both kinds share: a frozen model with adapters, and a head from its hidden states to user vectors."""

    mask_sites = 0
    """Nothing is dropped out."""

    def __init__(self, config: ModelConfig, tower: UserTowerConfig) -> None:
        super().__init__()
        self.gap = self.search = None
        """It reads neither."""
        self.dtype = tower.dtype
        self.grouping = Grouping()
        self.model = whole_model(tower.model, USER_KEYS.model)
        if tower.blocks is not None:
            top_blocks(self.model, tower.blocks, USER_KEYS)
        self.two_way = reads_ahead(self.model)
        """Whether a token's state depends on what comes after it: then one position is read per pass."""
        self.count = count = len(blocks_of(self.model, USER_KEYS.model))
        if tower.blocks is not None and min(adapted_blocks(tower.layers, count, USER_KEYS)) < count - tower.blocks:
            raise DataError(
                "model.user.tower.layers: there are adapters in blocks that model.user.tower.blocks leaves out"
            )
        adapt(self.model, tower, self.grouping, USER_KEYS)
        self.token_bytes = activation_bytes(self.model, min(adapted_blocks(tower.layers, count, USER_KEYS)))
        self.head = nn.Linear(int(self.model.config.hidden_size), config.dim)
        self.norm = nn.LayerNorm(config.dim)
        nn.init.constant_(self.norm.weight, config.user.scale)

    def train(self, mode: bool = True) -> "_UserTower":
        """The language model never drops anything out; what is trained follows."""
        super().train(mode)
        self.model.eval()
        for module in self.model.modules():
            if any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
                module.train(mode)
        return self

    def run(self, examples: int, **inputs: torch.Tensor) -> torch.Tensor:
        """Last hidden states [rows, tokens, hidden] float32."""
        self.grouping.examples = examples
        with halved(self.dtype, next(iter(inputs.values())).device):
            return self.model(**inputs).last_hidden_state.float()  # type: ignore[no-any-return]

    def vectors(self, hidden: torch.Tensor) -> torch.Tensor:
        """[..., hidden] -> [..., dim]."""
        return self.norm(self.head(hidden))  # type: ignore[no-any-return]


class TextUserEncoder(_UserTower):
    """The behaviour in words; the vector of a position is made of the state after the last word of the events before it (of the mean state, if the
    model reads in both directions).

    A causal model reads a whole history once for all its positions; of one that is too long for `max_tokens` the newest events are read, and
    positions before them have read nothing. A model that reads in both directions reads what is before the one position that is asked for.
    """

    def __init__(self, config: ModelConfig, told: ToldItems) -> None:
        """Raises `DataError` if the model cannot read so many tokens."""
        tower, text = config.user.tower, config.user.text
        assert tower is not None
        super().__init__(config, tower)
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and text.max_tokens + 2 > most:
            raise DataError(
                f"model.user.text.max_tokens: {text.max_tokens} tokens and a start and an end are more than the {most} that the model of "
                "model.user.tower can read; lower it"
            )
        self.event_bytes = int(self.token_bytes * (float(told.bodies.offsets[-1]) / len(told.bodies.offsets) + 4))
        """Of activations that an event of about the average length takes."""
        self.telling = Telling(told, text.max_events, text.max_tokens, self.two_way)
        self.train(self.training)

    def forward(
        self,
        vectors: torch.Tensor,
        circumstances: Circumstances,
        masks: torch.Tensor | None = None,
        place: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As `UserEncoder`; the item vectors [examples, events, dim] tell only how many events there are, `circumstances.item` which."""
        examples, events, _ = vectors.shape
        assert circumstances.item is not None, "a history is told by its items"
        assert circumstances.length is not None, "a history is told by its items"
        length = circumstances.length.clamp(max=events)
        if place is None:
            place = torch.arange(events + 1, device=vectors.device).expand(examples, events + 1)
        assert not self.two_way or place.shape[1] == 1, "`check_places` refused it"
        # What comes after all positions that are asked for need not be read; a model that reads ahead must not.
        length = torch.minimum(length, place.amax(dim=1))
        told = self.telling(circumstances.item[:, :events], circumstances.behaviour[:, :events], length)
        hidden = self.run(examples, input_ids=told.ids, attention_mask=told.mask.to(torch.int64))
        if self.two_way:
            return self.vectors(pool(hidden, told.mask, "mean").unsqueeze(1))
        ends = torch.gather(told.ends, 1, torch.minimum(place, length.unsqueeze(1)))
        return self.vectors(at(hidden, ends))


class SequenceUserEncoder(_UserTower):
    """A causal language model's own blocks over item vectors in place of the embeddings of tokens."""

    def __init__(self, config: ModelConfig) -> None:
        """Raises `DataError` if the model reads in both directions, or too short histories."""
        tower = config.user.tower
        assert tower is not None
        super().__init__(config, tower)
        if self.two_way:
            raise DataError(
                'model.user.tower.model: with reads = "items" every position is read at once, and this model reads in both directions; '
                'name a causal one (GPT-2, Llama, ...), or use reads = "text"'
            )
        most = getattr(self.model.config, "max_position_embeddings", None)
        if most is not None and config.user.history + 1 > most:
            raise DataError(
                f"model.user.history: the model of model.user.tower reads at most {most - 1} events; lower it"
            )
        # The frozen blocks are run forwards and backwards, adapted or not: what is learnt stands before them.
        self.event_bytes = activation_bytes(self.model, 0 if tower.blocks is None else self.count - tower.blocks)
        self.start = nn.Embedding(1, config.dim)
        self.behaviour = nn.Embedding(len(BEHAVIOURS), config.dim) if config.user.behaviours else None
        width = int(self.model.get_input_embeddings().weight.shape[1])
        self.into = nn.Linear(config.dim, width)
        self.model.set_input_embeddings(nn.Embedding.from_pretrained(torch.zeros((1, width))))
        for table in (self.start, self.behaviour):
            if table is not None:
                nn.init.normal_(table.weight, std=0.02)
        self.train(self.training)

    def forward(
        self,
        vectors: torch.Tensor,
        circumstances: Circumstances,
        masks: torch.Tensor | None = None,
        place: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """As `UserEncoder`."""
        examples, events, _ = vectors.shape
        if self.behaviour is not None:
            vectors = vectors + self.behaviour(circumstances.behaviour[:, :events])
        start = self.start(torch.zeros((examples, 1), dtype=torch.int64, device=vectors.device))
        read = self.into(torch.cat([start, vectors], dim=1))
        hidden = self.run(examples, inputs_embeds=read)
        return self.vectors(hidden if place is None else at(hidden, place))


@torch.inference_mode()
def reads_ahead(model: Any) -> bool:
    """Whether a token's state depends on the token after it; asked of the model itself, since configurations do not say."""
    width = int(model.get_input_embeddings().weight.shape[1])
    drawn = torch.randn((1, 3, width), generator=torch.Generator().manual_seed(0))
    both = torch.cat([drawn, torch.cat([drawn[:, :2], -drawn[:, 2:]], dim=1)])
    states = model(inputs_embeds=both).last_hidden_state
    return not torch.allclose(states[0, :2], states[1, :2], atol=1e-5)
