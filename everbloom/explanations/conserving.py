"""Transformers as locally linear functions: what gradient x input needs in order to tell which inputs a score comes from.

A layer norm forgets how long its input was, so plain gradients are almost at right angles to it and say little of what its parts contribute. With
the norms' divisors, the attention weights and the gates of activations held as they are, gradient x input conserves relevance: without biases the
parts of the input add up to the score (Ali et al., "XAI for Transformers: better explanations through conservative propagation", ICML 2022, arXiv
2202.07304).
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode


class Conserving(TorchFunctionMode):
    """Within it, results are what they always are, and gradients those of the function with all that is said above held still."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Called by torch in place of every function."""
        held = _HELD.get(func, func)
        return held(*args, **(kwargs or {}))


def _layer_norm(
    states: torch.Tensor,
    normalized_shape: Iterable[int],
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    axes = tuple(range(-len(list(normalized_shape)), 0))
    centred = states - states.mean(dim=axes, keepdim=True)
    deviation = (centred.square().mean(dim=axes, keepdim=True) + eps).sqrt().detach()
    scaled = centred / deviation
    if weight is not None:
        scaled = scaled * weight
    return scaled if bias is None else scaled + bias


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    logits = query @ key.transpose(-1, -2) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        attn_mask = torch.ones(logits.shape[-2:], dtype=torch.bool, device=logits.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        logits = logits.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        logits = logits + attn_mask
    return logits.softmax(dim=-1).detach() @ value


def _gelu(states: torch.Tensor, approximate: str = "none") -> torch.Tensor:
    plain = functional.gelu(states, approximate=approximate).detach()
    gate = torch.where(states == 0, torch.full_like(states, 0.5), plain / states)
    return states * gate.detach()


_HELD: dict[Callable[..., Any], Callable[..., Any]] = {
    functional.layer_norm: _layer_norm,
    functional.scaled_dot_product_attention: _attention,
    functional.gelu: _gelu,
}
