"""The parameters of a model whose catalogue has grown: rows of items that were there are kept, those of new ones begin as in a new model."""

import numpy as np
from numpy.typing import NDArray

from everbloom.errors import SchemaError
from everbloom.models.layout import ParameterLayout, Slot


def grown(
    before: ParameterLayout, parameters: NDArray[np.float32], after: ParameterLayout, initial: NDArray[np.float32]
) -> NDArray[np.float32]:
    """[params of `after`] from `parameters` [params of `before`] and a new model's `initial` [params of `after`].

    Raises `SchemaError` if the models differ in anything but how many rows a parameter has, or any has become fewer.
    """
    known = {slot.name: slot for slot in before.slots if slot.vector == "shared"}
    wanted = [slot for slot in after.slots if slot.vector == "shared"]
    if parameters.shape != (before.size(),):
        raise SchemaError(
            f"{parameters.shape} parameters for a layout of {before.size()}: the run's checkpoint is damaged"
        )
    if other := set(known) ^ {slot.name for slot in wanted}:
        raise SchemaError(
            f"{min(other)}: in one of the two models alone; [model] has changed, and what was learnt does not fit it"
        )
    moved = initial.copy()
    for slot in wanted:
        _check(known[slot.name], slot)
        old = parameters[known[slot.name].start : known[slot.name].end]
        moved[slot.start : slot.start + len(old)] = old  # rows come first, one after the other
    return moved


def _check(old: Slot, new: Slot) -> None:
    longer = bool(old.shape) and old.shape[1:] == new.shape[1:] and old.shape[0] <= new.shape[0]
    if old.group != new.group or not (old.shape == new.shape or longer):
        raise SchemaError(
            f"{new.name}: {old.group} of shape {old.shape} before, {new.group} of shape {new.shape} now; a catalogue may add items, "
            "and everything else in [model] must stay"
        )
