"""A catalogue that is updated: numbers stay, what is gone is retired and may come back, and the features of old items are what they were."""

import numpy as np
import pandas as pd
import pytest

from everbloom.config import ModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.growing import Change, founded, grown, read_items
from everbloom.errors import DataError
from everbloom.models.features.catalogue import features_of
from everbloom.models.recommender import build_recommender

WORDS = ["red", "green", "blue", "tall", "small", "wide", "old", "new", "warm", "cold"]


def table(numbers: range, suffix: str = "") -> pd.DataFrame:
    titles = [" ".join(WORDS[(number * step) % 10] for step in (1, 3, 7)) + suffix for number in numbers]
    return pd.DataFrame({"item": [f"i{number}" for number in numbers], "title": titles})


def test_new_items_come_behind_and_the_missing_are_retired():
    first = founded(table(range(20)))
    second, change = grown(first, table(range(3, 25)), now=77)
    assert change == Change(added=5, retired=3, back=0, kept=0)
    assert list(second.item_ids) == [f"i{number}" for number in range(25)]
    assert second.retired is not None
    assert np.flatnonzero(second.retired).tolist() == [0, 1, 2]
    assert second.first_seen.tolist() == [0] * 20 + [77] * 5
    assert (second.there_from[:3] == np.iinfo(np.int64).max).all()
    third, change = grown(second, table(range(25)), now=99)
    assert change == Change(added=0, retired=0, back=3, kept=0)
    assert third.retired is None
    assert third.founding == 20
    assert len({first.digest(), second.digest(), third.digest()}) == 3


def test_what_a_table_says_anew_of_known_items_is_counted_and_not_taken():
    first = founded(table(range(20)))
    second, change = grown(first, table(range(21), " indeed"), now=5)
    assert change == Change(added=1, retired=0, back=0, kept=20)
    assert second.fields["title"][3] == first.fields["title"][3]
    assert second.fields["title"][20].endswith("indeed")


@pytest.mark.parametrize("features", [{"name": "tfidf", "dims": 6}])
@pytest.mark.parametrize("feature_dim", [None, 4])
def test_features_of_old_items_stay(tmp_path, features, feature_dim):
    """In axes that the founding items laid out, whatever came later."""
    config = ModelConfig.model_validate(
        {"dim": 4, "items": {"features": features, "feature_dim": feature_dim}, "user": {"heads": 1}}
    )
    catalog = founded(table(range(30)))
    later, _ = grown(catalog, table(range(60), " strange words beside"), now=1)
    found = []
    for one in (catalog, later):
        whole = features_of(one, None, config.items, tmp_path, lambda done, total: None)
        model = build_recommender(len(one), whole, config, 0)
        found.append(model.item.features.numpy()[:30])
    np.testing.assert_allclose(found[0], found[1], atol=1e-4)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("id,title\n1,a\n", "no column 'item'"),
        ("item,title\n1,a\n1,b\n", "a repeated one"),
        ("item,title\n,a\n", "an empty"),
        ("item,title\n", "or none"),
        ("item,the title\n1,a\n", "no name of letters"),
    ],
)
def test_a_table_that_is_none_is_one_line(tmp_path, text, told):
    (tmp_path / "items.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        read_items(tmp_path / "items.csv")


def test_other_columns_and_no_file_are_refused(tmp_path):
    with pytest.raises(DataError, match="they must be the same"):
        grown(founded(table(range(3))), table(range(3)).assign(brand="x"), now=0)
    with pytest.raises(DataError, match="no such file"):
        read_items(tmp_path / "none.csv")
    (tmp_path / "items.csv").write_text('item,title\n7,"a, b"\n08,\n')
    made = founded(read_items(tmp_path / "items.csv"))
    made.save(tmp_path / "saved")
    assert list(Catalog.open(tmp_path / "saved").item_ids) == ["7", "08"]
