"""The catalogue: texts by a template, and the same after saving."""

import numpy as np
import pytest

from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(
        item_ids=StringColumn.of(["a", "b"]),
        fields={"title": StringColumn.of(["Alien", "Brazil"]), "genres": StringColumn.of(["Horror, Sci-Fi", ""])},
        numbers={"year": np.array([1.0, np.nan], dtype=np.float32)},
        first_seen=np.array([5, 6]),
    )


def test_an_empty_field_takes_its_separator_with_it(catalog):
    assert catalog.texts("{title}. {genres}.") == ["Alien. Horror, Sci-Fi.", "Brazil."]
    assert catalog.texts("{genres} | {title}") == ["Horror, Sci-Fi | Alien", "Brazil"]
    assert catalog.texts("{id}: {title}") == ["a: Alien", "b: Brazil"]


@pytest.fixture
def priced() -> Catalog:
    return Catalog(
        item_ids=StringColumn.of(["a", "b"]),
        fields={"title": StringColumn.of(["Mug {red}", "Tray"]), "price": StringColumn.of(["1234.5", ""])},
        numbers={"price": np.array([0.0, np.nan], dtype=np.float32)},
        first_seen=np.array([5, 6]),
    )


def test_a_number_is_named_as_it_was_and_in_a_format(priced):
    assert priced.texts("{title}, {price}") == ["Mug {red}, 1234.5", "Tray"]
    assert priced.texts("{title}, £{price:,.2f}") == ["Mug {red}, £1,234.50", "Tray"]
    assert priced.texts("{price:.0f}€ {title}") == ["1234€ Mug {red}", "Tray"]
    assert priced.texts("price {{in}} pounds") == ["price {in} pounds"] * 2


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ("{title:.2f}", "gives 'title' the format '.2f', but it is no number"),
        ("{price:.2q}", "'.2q' is no format of a number"),
        ("{title", "is no template"),
        ("{title} {}", "names the field ''"),
    ],
)
def test_a_wrong_template_is_told(priced, template, told):
    with pytest.raises(DataError, match=told):
        priced.texts(template)


def test_an_unknown_field_is_named_with_those_there_are(catalog):
    with pytest.raises(DataError, match=r"names the field 'plot'; this catalogue has: id, title, genres"):
        catalog.texts("{title} {plot}")


def test_a_saved_catalogue_opens_equal(catalog, tmp_path):
    catalog.save(tmp_path)
    again = Catalog.open(tmp_path)
    assert list(again.item_ids) == ["a", "b"]
    assert again.texts("{title} {genres}") == catalog.texts("{title} {genres}")
    np.testing.assert_array_equal(again.numbers["year"], catalog.numbers["year"])
    np.testing.assert_array_equal(again.first_seen, catalog.first_seen)


def test_what_is_no_catalogue_is_refused(tmp_path):
    with pytest.raises(DataError, match="no catalogue here"):
        Catalog.open(tmp_path)
