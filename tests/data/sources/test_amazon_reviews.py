"""Amazon reviews: both editions give the same kind of events and items."""

import gzip
import json

import pandas as pd
import pytest
from pydantic import ValidationError

from everbloom.data.sources import amazon_reviews
from everbloom.data.sources.amazon_reviews import AmazonReviews
from everbloom.errors import DataError

REVIEWS_2018 = [
    {"overall": 5.0, "reviewerID": "U1", "asin": "B1", "unixReviewTime": 1523577600, "reviewText": "long"},
    {"overall": 3.0, "reviewerID": "U2", "asin": "B2", "unixReviewTime": 1523664000},
]
META_2018 = [
    {"asin": "B1", "title": "Game", "brand": "Acme", "category": ["Video Games", "PC"], "price": "$1,012.99"},
    {"asin": "B2", "title": "Pad", "brand": "", "category": [], "price": ".a-box{}"},
]
REVIEWS_2023 = [
    {"rating": 4.0, "title": "t", "user_id": "U1", "asin": "V", "parent_asin": "B1", "timestamp": 1588687728923},
    {"rating": 1.0, "title": "t", "user_id": "U1", "asin": "V", "parent_asin": "B2", "timestamp": 1588687728000},
]
META_2023 = [
    {"parent_asin": "B1", "title": "Game", "store": "Acme", "categories": ["PC"], "price": 12.5, "main_category": "X"},
    {"parent_asin": "B2", "title": None, "store": None, "categories": [], "price": None, "main_category": "Y"},
]


def write(path, rows):
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def read(folder):
    source = AmazonReviews(category="Video_Games")
    files = source.locate(folder)
    return pd.concat(source.events(files), ignore_index=True), source.items(files)


def test_2018(tmp_path, monkeypatch):
    monkeypatch.setattr(amazon_reviews, "_CHUNK", 1)
    write(tmp_path / "Video_Games_5.json.gz", REVIEWS_2018)
    write(tmp_path / "meta_Video_Games.json.gz", META_2018)
    events, items = read(tmp_path)
    assert events.to_numpy().tolist() == [
        ["U1", "B1", 1523577600, "rate", 5.0],
        ["U2", "B2", 1523664000, "rate", 3.0],
    ]
    assert items.fillna(-1).to_numpy().tolist() == [
        ["B1", "Game", "Acme", "Video Games, PC", 1012.99],
        ["B2", "Pad", "", "", -1],
    ]


def test_2023(tmp_path):
    write(tmp_path / "Video_Games.jsonl", REVIEWS_2023)
    write(tmp_path / "meta_Video_Games.jsonl", META_2023)
    events, items = read(tmp_path)
    assert events["item"].tolist() == ["B1", "B2"]
    assert events["time"].tolist() == [1588687728, 1588687728]
    assert items.fillna(-1).to_numpy().tolist() == [["B1", "Game", "Acme", "PC", 12.5], ["B2", "", "", "Y", -1]]


def test_metadata_is_optional(tmp_path):
    write(tmp_path / "magazines.jsonl", REVIEWS_2023)
    assert read(tmp_path)[1] is None


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"user": 1}], r"row 1 has neither the keys of the 2023 edition \(user_id, .*\) nor of 2018 \(reviewerID"),
        ([REVIEWS_2023[0], {**REVIEWS_2023[0], "timestamp": "May"}], "row 2: time 'May' is not a Unix time in milli"),
        ([REVIEWS_2023[0], [1]], "row 2 is no JSON object"),
    ],
)
def test_mistakes(tmp_path, rows, told):
    write(tmp_path / "Video_Games.jsonl", rows)
    with pytest.raises(DataError, match=told):
        read(tmp_path)


def test_where_it_comes_from(tmp_path):
    with pytest.raises(DataError, match=r"everbloom data fetch amazon-reviews/Video_Games"):
        AmazonReviews(category="Video_Games").locate(tmp_path)
    with pytest.raises(ValidationError, match="exactly one of category"):
        AmazonReviews()
    with pytest.raises(ValidationError, match="items_path goes with path"):
        AmazonReviews(category="Books", items_path="x")
    with pytest.raises(DataError, match="no such file"):
        AmazonReviews(path=str(tmp_path / "none.json")).locate(tmp_path)
