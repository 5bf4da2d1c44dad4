"""Item vectors of the touched rows only, computed once for all who read them; their gradient is collected and goes through the item encoder once."""

from typing import Protocol

import torch

from everbloom.models.items import ItemEncoder
from everbloom.models.towers.item import recomputed


class Vectors(Protocol):
    """Where a pass takes item vectors from."""

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors [..., dim] and biases [...] at flat positions."""
        ...


class AttachedTable:
    """Vectors and biases that lead back into the item encoder: of rows [examples, rows] that no two examples share."""

    def __init__(self, encoder: ItemEncoder, rows: torch.Tensor) -> None:
        """`rows` [examples, rows] int64; the encoder's tables hold the parameters of just these."""
        vectors, bias = encoder(rows)
        self.vectors = vectors.reshape(-1, vectors.shape[-1])
        self.bias = bias.reshape(-1)

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Vectors`."""
        flat = index.reshape(-1)
        vectors = self.vectors.index_select(0, flat).view(*index.shape, -1)
        return vectors, self.bias.index_select(0, flat).view(index.shape)


class ItemTable:
    """Vectors [rows, dim] and biases [rows], flattened over clients where each has its own; `backward` ends it."""

    def __init__(self, encoder: ItemEncoder, rows: torch.Tensor, keep: int = 0) -> None:
        """`rows` [rows] or [clients, rows] int64: the items; the encoder's tables hold the parameters of just these. `keep`: bytes of a tower's
        activations that may be kept until `backward`."""
        with recomputed(encoder.tower, keep):
            self._outputs = encoder(rows)
        vectors, bias = (output.detach() for output in self._outputs)
        self.vectors = vectors.reshape(-1, vectors.shape[-1])
        self.bias = bias.reshape(-1)
        self.vector_gradient = torch.zeros_like(self.vectors)
        self.bias_gradient = torch.zeros_like(self.bias)

    def take(self, index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors [..., dim] and biases [...] at flat positions, to be differentiated with respect to."""
        flat = index.reshape(-1)
        vectors = self.vectors.index_select(0, flat).view(*index.shape, -1)
        return vectors.requires_grad_(), self.bias.index_select(0, flat).view(index.shape).requires_grad_()

    def collect(self, index: torch.Tensor, vectors: torch.Tensor | None, bias: torch.Tensor | None) -> None:
        """Adds gradients with respect to what was taken at `index`."""
        flat = index.reshape(-1)
        if vectors is not None:
            self.vector_gradient.index_add_(0, flat, vectors.reshape(len(flat), -1))
        if bias is not None:
            self.bias_gradient.index_add_(0, flat, bias.reshape(-1))

    def backward(self) -> None:
        """Sends what was collected through the item encoder to its parameters."""
        pairs = zip(self._outputs, (self.vector_gradient, self.bias_gradient), strict=True)
        needed = [(output, gradient) for output, gradient in pairs if output.requires_grad]
        if not needed:  # nothing of the encoder is learnt
            return
        outputs, gradients = zip(*needed, strict=True)
        torch.autograd.backward(outputs, [g.view(o.shape) for o, g in zip(outputs, gradients, strict=True)])
