"""Histories as token ids: an event is a lead and a body, whose ids are worked out once; a history's are those of its events, one after the other."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from everbloom.config import ModelConfig, UserTowerConfig
from everbloom.data.catalog import Catalog
from everbloom.data.events import BEHAVIOURS
from everbloom.models.features.catalogue import DEFAULT_TEXT
from everbloom.models.towers.blocks import USER_KEYS
from everbloom.models.towers.loading import load
from everbloom.models.towers.tokens import token_ids
from everbloom.models.user_text import UserText

_MOST_LEAD = 64
"""Tokens of the longest lead that is sensible."""


@dataclass(frozen=True, eq=False)
class Pieces:
    """Token ids of many pieces, one after the other; piece n's begin at `offsets[n]`."""

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, ids: list[list[int]]) -> "Pieces":
        """Of lists of ids."""
        offsets = np.concatenate(([0], np.cumsum([len(own) for own in ids]))).astype(np.int64)
        return cls(np.concatenate([np.asarray(own, dtype=np.int64) for own in ids]), offsets)


@dataclass(frozen=True, eq=False)
class ToldItems:
    """What histories are told with: `leads` by `lead_codes`, `bodies` [items]; `start`: the token before everything, `end`: that after everything, if
    the model has such a token."""

    leads: Pieces
    bodies: Pieces
    start: int
    end: int | None
    pad: int


def told_items(catalog: Catalog, template: str | None, config: ModelConfig) -> ToldItems | None:
    """Of a catalogue; None if no language model reads histories in words. `template`: that of the items' texts.

    Raises `DataError` if a template names a field that the catalogue does not have, or the tokenizer cannot be loaded.
    """
    tower = config.user.tower
    if tower is None or tower.reads != "text":
        return None
    words = UserText(config.user.text)
    texts = catalog.texts(config.user.text.item or template or DEFAULT_TEXT)
    return tell(words, texts, tower)


def tell(words: UserText, texts: list[str], tower: UserTowerConfig) -> ToldItems:
    """The items' words as bodies, cut to `item_tokens`; leads are never cut."""
    tokenizer = load(tower.model, USER_KEYS.model).tokenizer
    # Where leads end with a space it goes to the words after it, as tokenizers that tell words from beginnings of texts have learnt it.
    space = " " if all(lead.endswith(" ") for lead in words.leads) else ""
    leads = token_ids(tokenizer, [lead.removesuffix(space) for lead in words.leads], _MOST_LEAD, special=False)
    bodies = token_ids(tokenizer, [space + words.body(text) for text in texts], tower.item_tokens, special=False)
    first = next(
        int(token)
        for token in (tokenizer.cls_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
        if token is not None
    )
    last = tokenizer.sep_token_id
    return ToldItems(
        Pieces.of(leads), Pieces.of(bodies), first, None if last is None else int(last), int(tokenizer.pad_token_id)
    )


class Told(NamedTuple):
    """`ids`, `mask` [examples, tokens]; `ends` [examples, events + 1] the token after which so many events have been read."""

    ids: torch.Tensor
    mask: torch.Tensor
    ends: torch.Tensor


class Telling(nn.Module):
    """Histories of item indices -> token ids, oldest event first; of one that is too long the newest events are kept, one at least."""

    lead: torch.Tensor
    lead_start: torch.Tensor
    lead_length: torch.Tensor
    body: torch.Tensor
    body_start: torch.Tensor
    body_length: torch.Tensor

    def __init__(self, items: ToldItems, max_events: int, max_tokens: int, two_way: bool) -> None:
        """`two_way`: the model reads in both directions, and wants its end token."""
        super().__init__()
        for name, pieces in (("lead", items.leads), ("body", items.bodies)):
            for key, values in (
                (name, pieces.ids),
                (f"{name}_start", pieces.offsets[:-1]),
                (f"{name}_length", pieces.offsets[1:] - pieces.offsets[:-1]),
            ):
                self.register_buffer(key, torch.from_numpy(np.ascontiguousarray(values)), persistent=False)
        self.start, self.pad = items.start, items.pad
        self.end = items.end if two_way else None
        self.max_events, self.max_tokens = max_events, max_tokens

    def forward(self, item: torch.Tensor, behaviour: torch.Tensor, length: torch.Tensor) -> Told:
        """item, behaviour [examples, events] of which the first `length` [examples] are real."""
        examples, events = item.shape
        place = torch.arange(events, device=item.device)
        real = place < length.unsqueeze(1)
        real &= place >= (length - self.max_events).unsqueeze(1)
        code, first_code = _lead_codes(behaviour)
        body = self.body_length[item] * real
        lead = self.lead_length[code] * real
        # From each event on: its own lead as the first of a text, and all after it.
        rest = (lead + body).flip(1).cumsum(1).flip(1) - (lead + body)
        fits = (self.lead_length[first_code] + body + rest <= self.max_tokens) | (place == (length - 1).unsqueeze(1))
        kept = real & fits
        opening = kept & (kept.cumsum(1) == 1)
        code = torch.where(opening, first_code, code)
        lead = self.lead_length[code] * kept
        count = (lead + body) * kept
        ends = torch.cat([torch.zeros_like(length).unsqueeze(1), count.cumsum(1)], dim=1)
        total = ends[:, -1]
        width = 1 + int(total.amax() if examples else 0) + (self.end is not None)
        ids = torch.full((examples, width), self.pad, dtype=torch.int64, device=item.device)
        ids[:, 0] = self.start
        self._write(ids, code, lead, item, count, ends)
        if self.end is not None:
            ids[torch.arange(examples, device=item.device), 1 + total] = self.end
            total = total + 1
        mask = torch.arange(width, device=item.device) <= total.unsqueeze(1)
        return Told(ids, mask, ends)

    def _write(
        self,
        ids: torch.Tensor,
        code: torch.Tensor,
        lead: torch.Tensor,
        item: torch.Tensor,
        count: torch.Tensor,
        ends: torch.Tensor,
    ) -> None:
        """Every event's tokens to where they stand in its example's row."""
        flat = count.reshape(-1)
        event = torch.arange(len(flat), device=flat.device).repeat_interleave(flat)
        within = torch.arange(len(event), device=flat.device) - (flat.cumsum(0) - flat)[event]
        code, lead, item = code.reshape(-1)[event], lead.reshape(-1)[event], item.reshape(-1)[event]
        leading = within < lead
        from_lead = self.lead[self.lead_start[code] + torch.where(leading, within, 0)]
        from_body = self.body[self.body_start[item] + torch.where(leading, 0, within - lead)]
        events = count.shape[1]
        row = torch.div(event, events, rounding_mode="floor")
        ids[row, 1 + ends[:, :-1].reshape(-1)[event] + within] = torch.where(leading, from_lead, from_body)


def _lead_codes(behaviour: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`user_text.lead_codes` of [examples, events] codes, and those of events that begin a text."""
    code = behaviour.clone()
    code[:, 1:] += len(BEHAVIOURS) * (behaviour[:, :-1] + 1)
    return code, behaviour
