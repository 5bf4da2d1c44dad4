"""Initial values as PyTorch's layers draw them, from a generator of one's own."""

import torch


def normal(generator: torch.Generator, *shape: int, deviation: float = 1.0) -> torch.Tensor:
    """Gaussian with mean 0; deviation 1 is `nn.Embedding`'s default."""
    return torch.randn(*shape, generator=generator) * deviation


def linear(generator: torch.Generator, inputs: int, outputs: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(weight [outputs, inputs], bias [outputs]) uniform within 1/sqrt(inputs): `nn.Linear`'s default."""
    bound = inputs**-0.5
    weight = torch.empty(outputs, inputs).uniform_(-bound, bound, generator=generator)
    return weight, torch.empty(outputs).uniform_(-bound, bound, generator=generator)
