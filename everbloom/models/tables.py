"""Which parameters a device touches together: the rows of tables, and everything else by the parameter."""

import numpy as np
from numpy.typing import NDArray
from torch import nn

from everbloom.models.copies import Copies
from everbloom.models.layout import ParameterLayout


def touched_rows(model: nn.Module, layout: ParameterLayout, copies: Copies | None = None) -> NDArray[np.int64]:
    """[rows] where each begins in the shared vector, ascending; of all `copies` of the model, where there are several. A table (`nn.Embedding`) has a
    gradient in the rows that were looked up alone."""
    tables = {
        f"{name}.weight" if name else "weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
    }
    starts: list[int] = []
    for slot in layout.slots:
        if slot.vector == "shared":
            starts += range(
                slot.start, slot.end, slot.shape[-1] if slot.name in tables else max(1, slot.end - slot.start)
            )
    found = np.array(sorted(starts), dtype=np.int64)
    return found if copies is None else copies.rows(found)
