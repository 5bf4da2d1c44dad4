"""What the frozen part of a language model computes in."""

from contextlib import AbstractContextManager

import torch


def halved(dtype: str, device: torch.device) -> AbstractContextManager[object]:
    """Within, matrix products are in bfloat16, if `dtype` says so: "bfloat16", or "auto" on a GPU that has it."""
    on_gpu = dtype == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on_gpu or dtype == "bfloat16")
