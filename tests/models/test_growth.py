"""Parameters of a model whose catalogue has grown: what was learnt stays, what is new begins as in a new model, anything else is refused."""

import numpy as np
import pytest

from everbloom.config import ModelConfig
from everbloom.errors import SchemaError
from everbloom.models.growth import grown
from everbloom.models.layout import ParameterLayout
from everbloom.models.recommender import build_recommender, layout_of

TABLES = {
    "dim": 8,
    "items": {"embedding": True, "bias": "item"},
    "user": {"layers": 1, "heads": 2, "history": 5, "feedforward": 1, "personal": True},
    "prior": {},
}


def model_of(items: int, **tables):
    config = ModelConfig.model_validate({**TABLES, **tables})
    model = build_recommender(items, None, config, 1)
    return layout_of(model), layout_of(model).flat(model)


def test_a_layout_comes_out_of_json_as_it_went_in():
    layout, _ = model_of(20)
    assert ParameterLayout.described(layout.description()) == layout
    assert ParameterLayout.described(layout.description()).schema == layout.schema


def test_old_rows_stay_and_new_ones_are_a_new_model_s():
    before, _ = model_of(20)
    after, initial = model_of(33)
    learnt = np.arange(before.size(), dtype=np.float32) + 1000
    found = grown(before, learnt, after, initial)
    old = {slot.name: slot for slot in before.slots}
    longer = 0
    for slot in (one for one in after.slots if one.vector == "shared"):
        was = old[slot.name]
        size = was.end - was.start
        np.testing.assert_array_equal(found[slot.start : slot.start + size], learnt[was.start : was.end])
        np.testing.assert_array_equal(found[slot.start + size : slot.end], initial[slot.start + size : slot.end])
        longer += slot.shape != was.shape
    assert longer == 3, "embedding, bias and counts"
    np.testing.assert_array_equal(grown(before, learnt, before, learnt * 0), learnt)


@pytest.mark.parametrize(
    ("items", "tables", "told"),
    [
        (19, {}, "a catalogue may add items"),
        (20, {"dim": 16}, "everything else in .model. must stay"),
        (20, {"prior": None}, "in one of the two models alone"),
    ],
)
def test_another_model_is_one_line(items, tables, told):
    before, learnt = model_of(20)
    after, initial = model_of(items, **tables)
    with pytest.raises(SchemaError, match=told):
        grown(before, learnt, after, initial)


def test_a_damaged_vector_is_refused():
    before, learnt = model_of(20)
    with pytest.raises(SchemaError, match="damaged"):
        grown(before, learnt[:-1], before, learnt)
