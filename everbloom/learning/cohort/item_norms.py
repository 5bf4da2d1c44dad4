"""Norms of per-example gradients with respect to the item encoder.

Its layers are met by many items of an example: its own [positions] and the negatives [k]. Where the score is a product of user and item vector, the
gradient of the negatives' vectors is G^T u with G [scored, k] and u [scored, dim]: of the rank of the scored positions, which is 1 for next-item
examples, and never written out.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from everbloom.learning.cohort.batches import Batch
from everbloom.learning.cohort.norms import product_norm
from everbloom.learning.cohort.places import distinct
from everbloom.models.items import ItemEncoder


@dataclass(frozen=True, eq=False)
class ItemGradients:
    """Gradients with respect to an example's own item vectors [examples, positions, dim] and biases [examples, positions]; and to the negatives':
    `left`^T `right`, of which `left` [examples, r, k] and `right` [examples, r, dim]; their biases [examples, k]."""

    own: torch.Tensor
    own_bias: torch.Tensor
    left: torch.Tensor
    right: torch.Tensor
    other_bias: torch.Tensor


def of_product(own: torch.Tensor, own_bias: torch.Tensor, users: torch.Tensor, scores: torch.Tensor) -> ItemGradients:
    """For a bilinear score: `scores` [examples, scored, k] is the gradient of the negatives' scores, `users` [examples, scored, dim] their users."""
    return ItemGradients(own, own_bias, scores, users.detach(), scores.sum(dim=1))


def of_vectors(
    own: torch.Tensor, own_bias: torch.Tensor, other: torch.Tensor, other_bias: torch.Tensor
) -> ItemGradients:
    """For any score: `other` [examples, k, dim] is the gradient of each example's own copy of the negatives' vectors."""
    every = torch.eye(other.shape[1], device=other.device).expand(len(other), -1, -1)
    return ItemGradients(own, own_bias, every, other, other_bias)


def squared_norm(encoder: ItemEncoder, batch: Batch, gradients: ItemGradients) -> torch.Tensor:
    """[examples] squared norm of each example's gradient with respect to the item encoder's parameters."""
    found = torch.zeros(len(gradients.own), device=gradients.own.device)
    if encoder.trains_adapter:
        found = found + _adapter(encoder, batch, gradients)
    if encoder.embedding is None and encoder.item_bias is None and encoder.feature_bias is None:
        return found
    own, bias = _merged_own(batch, gradients.own, gradients.own_bias)
    left, other_bias = _merged_negatives(batch, gradients.left, gradients.other_bias)
    if encoder.embedding is not None:
        square = own.square().sum(dim=(1, 2)) + product_norm(left, gradients.right)
        found = found + encoder.embedding_scale**2 * square
    scale = encoder.bias_scale**2
    if encoder.item_bias is not None:
        found = found + scale * (bias.square().sum(dim=1) + other_bias.square().sum(dim=1))
    if encoder.feature_bias is not None:
        found = found + scale * _feature_bias(encoder, batch, gradients).square().sum(dim=1)
    return found


def _adapter(encoder: ItemEncoder, batch: Batch, gradients: ItemGradients) -> torch.Tensor:
    """The gradient is own^T f(own) + right^T (left f(negatives)): a product over positions + r rows."""
    assert encoder.features is not None
    rows = gradients.own.shape[1] + gradients.right.shape[1]
    dim, width = gradients.own.shape[2], encoder.features.shape[1]
    if rows * (dim + width) < dim * width:
        return _adapter_by_products(encoder.features, batch, gradients)
    own = functional.embedding(batch.examples.items, encoder.features)
    other = _per_unit(gradients.left, functional.embedding(batch.negatives, encoder.features))
    return product_norm(torch.cat([gradients.own, gradients.right], dim=1), torch.cat([own, other], dim=1))


def _adapter_by_products(features: torch.Tensor, batch: Batch, gradients: ItemGradients) -> torch.Tensor:
    """The same from products of pairs of rows; those of the features are taken once for all examples of a unit, which share most of their items."""
    units, k = batch.negatives.shape
    examples, positions = batch.examples.items.shape
    negatives = functional.embedding(batch.negatives, features)
    rows, local = distinct(batch.examples.items.view(units, -1))
    most = rows.shape[1]
    if examples * positions**2 < units * most**2:  # pairs within examples are fewer than pairs within units
        vectors = functional.embedding(batch.examples.items, features)
        own = vectors @ vectors.transpose(1, 2)
        other = (vectors.view(units, -1, features.shape[1]) @ negatives.transpose(1, 2)).view(examples, positions, k)
    else:
        vectors = functional.embedding(rows, features)
        unit = torch.arange(units, device=rows.device).repeat_interleave(examples // units)
        place = local.view(examples, positions) + unit.unsqueeze(1) * most
        pairs = place.unsqueeze(2) * most + local.view(examples, 1, positions)
        products = (vectors @ vectors.transpose(1, 2)).view(-1)
        own = products.index_select(0, pairs.view(-1)).view(examples, positions, positions)
        across = (vectors @ negatives.transpose(1, 2)).view(-1, k)
        other = across.index_select(0, place.view(-1)).view(examples, positions, k)
    left, right = gradients.left, gradients.right
    mixed = other @ left.transpose(1, 2)
    last = _per_unit(left, negatives @ negatives.transpose(1, 2)) @ left.transpose(1, 2)
    return (
        (own * (gradients.own @ gradients.own.transpose(1, 2))).sum(dim=(1, 2))
        + 2 * (mixed * (gradients.own @ right.transpose(1, 2))).sum(dim=(1, 2))
        + (last * (right @ right.transpose(1, 2))).sum(dim=(1, 2))
    ).clamp(min=0)


def _feature_bias(encoder: ItemEncoder, batch: Batch, gradients: ItemGradients) -> torch.Tensor:
    """[examples, features] the gradient, but for the scale."""
    assert encoder.features is not None
    own = (gradients.own_bias.unsqueeze(1) @ functional.embedding(batch.examples.items, encoder.features)).squeeze(1)
    return own + _per_unit(
        gradients.other_bias.unsqueeze(1), functional.embedding(batch.negatives, encoder.features)
    ).squeeze(1)


def _per_unit(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """[examples, r, k] @ [units, k, width] -> [examples, r, width]."""
    examples, r, _ = left.shape
    units, k, width = right.shape
    return (left.reshape(units, -1, k) @ right).view(examples, r, width)


def _merged_own(batch: Batch, own: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """An item that an example holds more than once has one row: its gradients are added."""
    items, real = batch.examples.items, batch.examples.real
    repeated = batch.candidates.masked[:, 0, : items.shape[1]] & real
    if not repeated.any():
        return own, bias
    first = _first(torch.where(real, items, -1))
    place = first.unsqueeze(2).expand_as(own)
    return torch.zeros_like(own).scatter_add_(1, place, own), torch.zeros_like(bias).scatter_add_(1, first, bias)


def _merged_negatives(batch: Batch, left: torch.Tensor, bias: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The same for negatives that were drawn more than once. (Those that are the example's own items are masked: their gradient is nothing.)"""
    first = _first(batch.negatives)
    if bool((first == torch.arange(first.shape[1], device=first.device)).all()):
        return left, bias
    first = first.repeat_interleave(len(left) // len(first), dim=0)
    place = first.unsqueeze(1).expand_as(left)
    return torch.zeros_like(left).scatter_add_(2, place, left), torch.zeros_like(bias).scatter_add_(1, first, bias)


def _first(values: torch.Tensor) -> torch.Tensor:
    """[rows, n] -> for each entry the place of the first equal one in its row."""
    return (values.unsqueeze(2) == values.unsqueeze(1)).to(torch.int8).argmax(dim=2)
