"""What the frozen part of a language model computes in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode


@contextmanager
def halved(dtype: str, device: torch.device) -> Iterator[None]:
    """Within, matrix products are in bfloat16, if `dtype` says so: "bfloat16", or "auto" on a GPU that has it."""
    on_gpu = dtype == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported()
    if not (on_gpu or dtype == "bfloat16"):
        yield
    elif device.type == "cpu":
        with torch.autocast("cpu", dtype=torch.bfloat16), _WholeAttention():
            yield
    else:
        with torch.autocast(device.type, dtype=torch.bfloat16):
            yield


class _WholeAttention(TorchFunctionMode):
    """Attention in float32: on a CPU, short sequences in bfloat16 take four times as long (measured, Zen 4)."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not scaled_dot_product_attention:
            return func(*args, **kwargs)
        query, key, value, *rest = args
        mask = kwargs.get("attn_mask")
        if mask is not None and mask.is_floating_point():
            kwargs = {**kwargs, "attn_mask": mask.float()}
        with torch.autocast("cpu", enabled=False):
            out: torch.Tensor = func(query.float(), key.float(), value.float(), *rest, **kwargs)
        return out.to(query.dtype)
