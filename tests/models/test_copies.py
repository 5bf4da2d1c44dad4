"""Several models in one vector: what each has for itself, what all share, and that nothing else is touched."""

import numpy as np
import pytest

from everbloom.errors import ConfigError
from everbloom.models.copies import Copies
from everbloom.models.layout import ParameterLayout
from everbloom.models.tables import touched_rows

ROWS = [
    ("item.weight", (4, 3), "shared"),
    ("item.features", (4, 2), "frozen"),
    ("prior", (4,), "counted"),
    ("user.weight", (2, 2), "shared"),
]
MODEL = ParameterLayout.described(ROWS)


@pytest.mark.parametrize("layers", [(), ("user.",), ("item.", "user.")])
def test_what_is_put_in_is_taken_out(layers):
    copies = Copies(MODEL, 3, layers)
    own = (
        MODEL.size() - 4 - (12 if layers == ("user.",) else 0)
    )  # beside what is counted, and the items where they are shared
    assert copies.layout.size() == MODEL.size() + 2 * own
    values = np.random.default_rng(1).normal(size=(3, MODEL.size())).astype(np.float32)
    vector = np.zeros(copies.layout.size(), dtype=np.float32)
    for copy in range(3):
        copies.put(vector, copy, values[copy])
    apart = np.ones(MODEL.size(), dtype=np.bool_)
    apart[MODEL.counted] = False
    if layers == ("user.",):
        apart[:12] = False
    for copy in range(3):
        found = copies.taken(vector, copy)
        np.testing.assert_array_equal(found[apart], values[copy][apart])
        np.testing.assert_array_equal(found[~apart], values[2][~apart])  # one for all: who wrote last


def test_updates_of_all_copies_add_up_where_they_share():
    copies = Copies(MODEL, 2, ("user.",))
    total = np.zeros((1, copies.layout.size()), dtype=np.float32)
    for copy in range(2):
        copies.add(total, copy, np.full((1, MODEL.size()), 1 + copy, dtype=np.float32))
    first, second = (copies.taken(total[0], copy) for copy in range(2))
    np.testing.assert_array_equal(first, [3.0] * 16 + [1.0] * 4)
    np.testing.assert_array_equal(second, [3.0] * 16 + [2.0] * 4)


def test_what_is_counted_and_frozen_is_there_once():
    copies = Copies(MODEL, 4)
    assert copies.layout.names("counted") == ("prior",)
    assert copies.layout.names("frozen") == ("item.features",)
    assert copies.layout.counted == MODEL.counted
    assert len(copies.layout.names("shared")) == 8
    assert copies.layout.schema != MODEL.schema


def test_a_layer_that_is_not_learnt_together_is_refused():
    for layer in ("score.", "prior", "item.features"):
        with pytest.raises(ConfigError, match=r"layers: no parameter .* they are: item\.weight, user\.weight$"):
            Copies(MODEL, 2, (layer,))


def test_rows_of_tables_are_rows_in_every_copy(small, study_of):
    study = study_of(small(learning={"algorithm": {"name": "ifca", "clusters": 3}}))
    model, copies = study.new_model(), study.copies
    one, all_of_them = touched_rows(model, study.model_layout), touched_rows(model, study.model_layout, copies)
    assert len(all_of_them) == 3 * len(one)
    for copy in range(3):
        places = np.zeros(copies.layout.size(), dtype=np.float32)
        copies.put(places, copy, np.arange(study.model_layout.size(), dtype=np.float32) + 1)
        begins = places[all_of_them][places[all_of_them] > 0] - 1
        np.testing.assert_array_equal(np.sort(begins), one)


def test_copies_begin_apart_and_from_the_seed(small, study_of):
    learning = {"algorithm": {"name": "ifca", "clusters": 3, "layers": ["user."]}}
    study = study_of(small(learning=learning))
    begun = study.initial_parameters()
    assert np.array_equal(begun, study_of(small(learning=learning)).initial_parameters())
    models = [study.copies.taken(begun, copy) for copy in range(3)]
    assert np.array_equal(models[0], study.model_layout.flat(study.new_model()))
    for slot in study.model_layout.slots:
        if slot.group == "shared":
            values = [model[slot.start : slot.end] for model in models]
            drawn = values[0].std() > 0
            for other in values[1:]:
                same = np.array_equal(values[0], other)
                assert same == (not slot.name.startswith("user.") or not drawn), slot.name
