"""The score of neural collaborative filtering (He et al., WWW 2017): a perceptron over [user vector, item vector], for many clients at once."""

from collections.abc import Mapping, Sequence

import torch
from torch.nn.functional import relu

from everbloom.federated_baselines.initial import linear


def perceptron(generator: torch.Generator, widths: Sequence[int]) -> dict[str, torch.Tensor]:
    """`weight.L` [out, in] and `bias.L` [out] of each layer L, the last one with one output; `widths` from the input on."""
    parameters = {}
    for layer, (inputs, outputs) in enumerate(zip(widths, (*widths[1:], 1), strict=True)):
        parameters[f"weight.{layer}"], parameters[f"bias.{layer}"] = linear(generator, inputs, outputs)
    return parameters


def perceptron_logits(own: Mapping[str, torch.Tensor], items: torch.Tensor) -> torch.Tensor:
    """[clients, n] from `user` [clients, dim], the layers [clients, out, in], [clients, out] and item embeddings [clients, n, dim]."""
    layers = sum(name.startswith("weight.") for name in own)
    user, dim = own["user"], items.shape[2]
    # The first layer's part of the user is the same for all items of a client.
    first = own["weight.0"]
    known = torch.bmm(first[:, :, :-dim], user[:, :, None]).squeeze(2) + own["bias.0"]
    hidden = torch.baddbmm(known[:, None, :], items, first[:, :, -dim:].transpose(1, 2))
    for layer in range(1, layers):
        weight, bias = own[f"weight.{layer}"], own[f"bias.{layer}"]
        hidden = torch.baddbmm(bias[:, None, :], relu(hidden), weight.transpose(1, 2))
    return hidden.squeeze(2)
