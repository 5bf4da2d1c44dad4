"""Norms and weighted sums of per-example gradients that are never written out, from what a layer met and what came back to it.

Ghost norms (Goodfellow, arXiv 1510.01799; Li et al., ICLR 2022, arXiv 2110.05679) where they are cheaper than the gradients themselves, and
book-keeping (Bu et al., ICML 2023, arXiv 2210.00038): the clipped sum comes from the same records, so no second backward pass is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from everbloom.learning.cohort.layers import Tap


@dataclass(frozen=True, eq=False)
class Use:
    """All uses of one layer in a batch: what it met [examples, rows, in] (a table: indices [examples, rows]) and the gradients of what came out
    [examples, rows, out]."""

    met: torch.Tensor
    back: torch.Tensor


def uses_of(taps: Sequence[Tap], gradients: Sequence[torch.Tensor | None], examples: int) -> dict[str, Use]:
    """Layer -> its uses, laid one after the other; a use that the loss does not depend on adds nothing."""
    found: dict[str, list[Use]] = {}
    for tap, back in zip(taps, gradients, strict=True):
        if back is not None:
            index, met = tap.met.dtype == torch.int64, tap.met.detach()
            met = met.reshape(examples, -1) if index else met.reshape(examples, -1, met.shape[-1])
            found.setdefault(tap.layer, []).append(Use(met, back.reshape(examples, -1, back.shape[-1])))
    return {
        layer: uses[0]
        if len(uses) == 1
        else Use(torch.cat([use.met for use in uses], dim=1), torch.cat([use.back for use in uses], dim=1))
        for layer, uses in found.items()
    }


def squared_norm(module: nn.Module, use: Use) -> torch.Tensor:
    """[examples] squared norm of each example's gradient with respect to the layer's parameters."""
    if isinstance(module, nn.Linear):
        norm = product_norm(use.back, use.met)
        return norm if module.bias is None else norm + use.back.sum(dim=1).square().sum(dim=1)
    if isinstance(module, nn.LayerNorm):
        weight = (use.back * use.met).sum(dim=1)
        return weight.square().sum(dim=1) + use.back.sum(dim=1).square().sum(dim=1)
    if isinstance(module, nn.Embedding):
        return _table_rows(use, module.num_embeddings).square().sum(dim=(1, 2))
    raise TypeError(f"no rule for {type(module).__name__}")


def product_norm(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[examples] squared norm of left^T right, for left [examples, rows, out] and right [examples, rows, in]."""
    rows, out, width = left.shape[1], left.shape[2], right.shape[2]
    if rows == 1:
        return left.square().sum(dim=(1, 2)) * right.square().sum(dim=(1, 2))
    if rows * (out + width) < out * width:  # the products of rows are fewer than the gradient's own entries
        # Where rows cancel, what is left of the products is rounding, of either sign.
        return ((left @ left.transpose(1, 2)) * (right @ right.transpose(1, 2))).sum(dim=(1, 2)).clamp(min=0)
    return (left.transpose(1, 2) @ right).square().sum(dim=(1, 2))


def weighted_gradient(
    module: nn.Module, use: Use, factor: torch.Tensor, clients: int | None
) -> dict[str, torch.Tensor]:
    """Parameter of the layer -> sum of the examples' gradients, each times its `factor` [examples]: [*shape], or one for each of `clients` equal
    groups of examples [clients, *shape]."""
    groups = 1 if clients is None else clients
    if isinstance(module, nn.Linear):
        # The narrower side is cheaper to scale.
        back, met = use.back, use.met
        if met.shape[2] < back.shape[2]:
            met = met * factor.view(-1, 1, 1)
        else:
            back = back * factor.view(-1, 1, 1)
        product = back.reshape(groups, -1, back.shape[2]).transpose(1, 2) @ met.reshape(groups, -1, met.shape[2])
        found = {"weight": product}
        if module.bias is not None:
            sums = use.back.sum(dim=1).view(groups, -1, back.shape[2])
            found["bias"] = (factor.view(groups, 1, -1) @ sums).squeeze(1)
        return _as_asked(found, clients)
    back = use.back * factor.view(-1, 1, 1)
    rows = back.reshape(groups, -1, back.shape[2])
    if isinstance(module, nn.LayerNorm):
        found = {"weight": (rows * use.met.reshape(rows.shape)).sum(dim=1), "bias": rows.sum(dim=1)}
    elif isinstance(module, nn.Embedding):
        grouped = Use(use.met.reshape(groups, -1), rows)
        found = {"weight": _table_rows(grouped, module.num_embeddings)}
    else:
        raise TypeError(f"no rule for {type(module).__name__}")
    return _as_asked(found, clients)


def _as_asked(found: dict[str, torch.Tensor], clients: int | None) -> dict[str, torch.Tensor]:
    return {name: value.squeeze(0) for name, value in found.items()} if clients is None else found


def _table_rows(use: Use, count: int) -> torch.Tensor:
    """[groups, count, dim] the gradient of a small table, for each group of uses."""
    groups, _, dim = use.back.shape
    flat = (use.met + torch.arange(groups, device=use.met.device).unsqueeze(1) * count).reshape(-1)
    table = torch.zeros((groups * count, dim), device=use.back.device)
    return table.index_add_(0, flat, use.back.reshape(-1, dim)).view(groups, count, dim)
