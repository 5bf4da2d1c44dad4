"""What each modality makes of a catalogue, what is missing in it, and what is wrong with its files."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError
from everbloom.models.features.blocks import ItemFeatures
from everbloom.models.features.catalogue import features_of

GENRES = ["Horror|Sci-Fi", "sci-fi, Drama", "", "Drama"]
PRICES = ["1", "10", "", "100"]


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture
def catalog() -> Catalog:
    return Catalog(
        item_ids=StringColumn.of(["a", "b", "c", "d"]),
        fields={
            "title": StringColumn.of(["red rose", "blue rose", "steel screws", ""]),
            "genres": StringColumn.of(GENRES),
            "price": StringColumn.of(PRICES),
        },
        numbers={"price": np.zeros(4, dtype=np.float32)},
        first_seen=np.arange(4),
    )


@pytest.fixture
def made(catalog, tmp_path):
    """(**modalities) -> their features over the catalogue."""

    def build(**modalities: Any) -> ItemFeatures:
        config = ItemModelConfig.model_validate({"modalities": modalities})
        features = features_of(catalog, None, config, tmp_path / "cache", quiet)
        assert features is not None
        return features

    return build


def test_categories_are_columns_in_any_spelling(made):
    features = made(categories={"field": "genres"})
    drama, horror, science = features.matrix.T
    half = 0.5**0.5
    np.testing.assert_allclose(drama, [0, half, 0, 1])
    np.testing.assert_allclose(horror, [half, 0, 0, 0])
    np.testing.assert_allclose(science, [half, half, 0, 0])
    assert features.present[:, 0].tolist() == [True, True, False, True]


def test_hashed_categories_take_so_many_columns_whatever_others_there_are(made, catalog, tmp_path):
    hashed = {"name": "categories", "field": "genres", "buckets": 64}
    features = made(kind=hashed).matrix
    assert features.shape == (4, 64)
    np.testing.assert_allclose(features @ features.T, made(categories={"field": "genres"}).matrix @ features_t(made))
    fewer = Catalog(StringColumn.of(["d"]), {"genres": StringColumn.of(["Drama"])}, {}, np.zeros(1, dtype=np.int64))
    alone = features_of(fewer, None, ItemModelConfig.model_validate({"modalities": {"x": hashed}}), tmp_path, quiet)
    assert alone is not None
    np.testing.assert_array_equal(alone.matrix[0], features[3])


def features_t(made) -> np.ndarray:
    return made(categories={"field": "genres"}).matrix.T


def test_near_prices_are_alike_and_an_unknown_one_is_missing(made):
    features = made(price={"name": "numbers", "fields": ["price"], "log": True})
    like = features.matrix @ features.matrix.T
    assert features.present[:, 0].tolist() == [True, True, False, True]
    np.testing.assert_allclose(like[0, 1], like[1, 3], rtol=1e-5)
    assert like[0, 3] < like[0, 1] < 1
    np.testing.assert_allclose(np.diag(like), [1, 1, 0, 1], rtol=1e-5)
    z = np.log(10) / np.std(np.log([1, 10, 100]))
    np.testing.assert_allclose(features.matrix[3], np.array([z, 1]) / np.hypot(z, 1), rtol=1e-5)


def test_of_several_numbers_those_that_are_known_count(catalog, made):
    catalog.fields["weight"] = StringColumn.of(["", "5", "7", "inf"])
    catalog.numbers["weight"] = np.zeros(4, dtype=np.float32)
    features = made(size={"name": "numbers", "fields": ["price", "weight"]})
    assert features.present.all()
    assert features.matrix[0, 2:].tolist() == [0, 0]
    assert features.matrix[2, :2].tolist() == [0, 0]
    assert features.matrix[3, 2:].tolist() == [0, 0]
    np.testing.assert_allclose(np.linalg.norm(features.matrix, axis=1), 1, rtol=1e-5)


def test_equal_numbers_are_alike(catalog, made):
    catalog.fields["price"] = StringColumn.of(["5"] * 4)
    np.testing.assert_allclose(made(numbers={"fields": ["price"]}).matrix, [[0, 1]] * 4)


def test_text_is_that_of_its_own_template_and_an_empty_one_is_missing(made):
    titles = made(text={"encoder": {"name": "tfidf"}})
    assert titles.present[:, 0].tolist() == [True, True, True, False]
    genres = made(words={"name": "text", "encoder": "tfidf", "template": "{genres}"})
    assert genres.present[:, 0].tolist() == [True, True, False, True]
    with pytest.raises(DataError, match=r"^model\.items\.modalities\.text: template: '{plot}' names the field 'plot'"):
        made(text={"encoder": "tfidf", "template": "{plot}"})


def test_several_stand_side_by_side_and_fused_rows_have_unit_length(made):
    features = made(
        text={"encoder": "tfidf"},
        kind={"name": "categories", "field": "genres", "weight": 0.5},
        price={"name": "numbers", "fields": ["price"]},
    )
    assert features.names == ("text", "kind", "price")
    assert features.matrix.shape[1] == sum(features.widths)
    assert features.coverage()[1:] == [
        "kind: 3 numbers, of 75.0% of the items",
        "price: 2 numbers, of 75.0% of the items",
    ]
    assert features.present.tolist() == [[True] * 3, [True] * 3, [True, False, False], [False, True, True]]
    np.testing.assert_allclose(np.linalg.norm(features.fused(), axis=1), 1, rtol=1e-5)
    blocks = np.split(features.fused(), np.cumsum(features.widths)[:-1], axis=1)
    np.testing.assert_allclose(np.linalg.norm(blocks[1][0]), 0.5 / np.linalg.norm([1, 0.5, 1]), rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(blocks[0][2]), 1, rtol=1e-5)


def test_a_reduced_modality_has_the_width_it_is_given(made):
    features = made(kind={"name": "categories", "field": "genres", "dims": 2})
    assert features.widths == (2,)
    assert features.present[:, 0].tolist() == [True, True, False, True]


def written(folder: Path, suffix: str, ids: list[str], vectors: np.ndarray) -> dict[str, str]:
    path = folder / f"vectors{suffix}"
    table = pd.DataFrame(vectors, columns=[f"v{i}" for i in range(vectors.shape[1])]).assign(id=ids)
    if suffix == ".npz":
        np.savez(path, id=np.array(ids), vector=vectors)
    elif suffix == ".npy":
        np.save(path, vectors)
        (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
        return {"name": "vectors", "path": str(path), "ids": str(folder / "ids.txt")}
    elif suffix == ".csv":
        table.to_csv(path, index=False)
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        pd.DataFrame({"id": ids, "vector": list(vectors)}).to_parquet(folder / "lists.parquet")
        return {"name": "vectors", "path": str(folder / "lists.parquet")}
    return {"name": "vectors", "path": str(path)}


@pytest.mark.parametrize("suffix", [".npz", ".npy", ".csv", ".parquet", "lists"])
def test_vectors_come_from_a_file_by_id(made, tmp_path, suffix):
    if suffix in (".parquet", "lists"):
        pytest.importorskip("pyarrow")
    vectors = np.array([[0, 2], [1, 0], [0, 0], [9, 9]], dtype=np.float32)
    features = made(sound=written(tmp_path, suffix, ["b", "d", "a", "elsewhere"], vectors))
    assert features.matrix.tolist() == [[0, 0], [0, 1], [0, 0], [1, 0]]
    assert features.present[:, 0].tolist() == [False, True, False, True]  # a vector of zeros says nothing either


def test_a_changed_file_of_vectors_is_read_anew(made, tmp_path):
    table = written(tmp_path, ".npz", ["a"], np.array([[1.0, 0.0]]))
    assert made(sound=table).matrix[0].tolist() == [1, 0]
    written(tmp_path, ".npz", ["a"], np.array([[0.0, 1.0]]))
    assert made(sound=table).matrix[0].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (None, "no such file"),
        (lambda path: path.write_bytes(b"nothing"), "no file of vectors"),
        (lambda path: np.savez(path, id=np.array(["a"])), "array 'vector' is missing"),
        (lambda path: np.savez(path, id=np.array(["a"]), vector=np.ones(3)), r"vectors of shape \[3\]"),
        (lambda path: np.savez(path, id=np.array(["a"]), vector=np.ones((2, 3))), "1 ids and vectors of shape"),
        (lambda path: np.savez(path, id=np.array(["a", "a"]), vector=np.ones((2, 3))), "'a' occurs more than once"),
        (lambda path: np.savez(path, id=np.array(["a"]), vector=np.full((1, 3), np.nan)), "of 'a' holds a number that"),
        (lambda path: np.savez(path, id=np.array(["x"]), vector=np.ones((1, 3))), "none of its 1 ids is an item's"),
        (lambda path: np.savez(path, id=np.array(["a"]), vector=np.zeros((1, 3))), "it knows none of 4 items"),
    ],
)
def test_a_wrong_file_of_vectors_is_told_in_one_line(made, tmp_path, write, told):
    path = tmp_path / "vectors.npz"
    if write is not None:
        write(path)
    with pytest.raises(DataError, match=told) as caught:
        made(sound={"name": "vectors", "path": str(path)})
    assert str(caught.value).startswith("model.items.modalities.sound: ")
    assert "\n" not in str(caught.value)


def test_a_file_of_vectors_says_whose_they_are(made, tmp_path):
    np.save(tmp_path / "v.npy", np.ones((4, 2)))
    (tmp_path / "v.csv").write_text("x,y\n1,2\n")
    (tmp_path / "v.txt").write_text("1 2\n")
    for name, told in (("v.npy", "name a text file of ids"), ("v.csv", "column 'id' is missing"), ("v.txt", "ends in")):
        with pytest.raises(DataError, match=told):
            made(sound={"name": "vectors", "path": str(tmp_path / name)})


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"name": "numbers", "fields": ["genres"]}, "'genres' is text; name fields that are numbers: price"),
        (
            {"name": "numbers", "fields": ["size"]},
            "there is no field 'size'; this catalogue has: id, title, genres, price",
        ),
        ({"name": "categories", "field": "kind"}, "there is no field 'kind'"),
    ],
)
def test_a_field_that_there_is_not_is_told(made, table, told):
    with pytest.raises(DataError, match=f"^model.items.modalities.x: .*{told}"):
        made(x=table)


def test_what_no_item_has_is_told(catalog, made):
    catalog.fields["genres"] = StringColumn.of([""] * 4)
    with pytest.raises(DataError, match=r"modalities\.categories: no item has it"):
        made(categories={"field": "genres"})


def test_a_catalogue_without_categories_but_separators_has_none(catalog, made):
    catalog.fields["genres"] = StringColumn.of([" | ", ",", "", "x"])
    assert made(categories={"field": "genres"}).present[:, 0].tolist() == [False, False, False, True]
