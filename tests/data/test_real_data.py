"""The real data sets, where they are at hand: fetched, prepared and counted as their publishers state."""

from pathlib import Path

import numpy as np
import pytest

from everbloom.config import DataConfig, ProtocolConfig
from everbloom.data.candidates import load_candidates
from everbloom.data.fetch import fetch, source_of
from everbloom.data.prepare import Dataset, prepare
from everbloom.data.timeline import Timeline
from everbloom.errors import DataError
from everbloom.evaluation.stored_candidates import candidates_of

REAL = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def fetched(name: str, **settings) -> tuple[DataConfig, Dataset]:
    folder = REAL / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name} is not at hand ({folder})")
    fetch(name, folder)
    source = source_of(name).model_dump(exclude_none=True) | settings.pop("source", {})
    data = DataConfig(source=source, **settings)
    return data, prepare(data)


def sizes(dataset: Dataset) -> tuple[int, int, int]:
    return dataset.events.users, len(dataset.catalog), len(dataset.events)


def day(time: np.int64) -> str:
    return str(np.datetime64(int(time), "s"))[:10]


def test_ml_100k():
    _, dataset = fetched("ml-100k")
    assert sizes(dataset) == (943, 1682, 100_000)
    assert (day(dataset.events.time.min()), day(dataset.events.time.max())) == ("1997-09-20", "1998-04-22")
    assert np.diff(dataset.events.offsets).min() == 20
    assert dataset.catalog.texts("{title} ({year}). {genres}")[0] == "Toy Story (1995). Animation, Children's, Comedy"


def test_ml_100k_holds_out_what_the_published_candidates_hold_out():
    data, dataset = fetched("ml-100k", tie_order="reverse-file")
    timeline = Timeline(dataset.events, dataset.catalog, data, ProtocolConfig(name="leave-one-out"))
    stored = load_candidates(dataset, data, "pfedrec_eval_candidates.npz")
    assert len(stored.user) == len(timeline.cases(0, "test")) == len(timeline.cases(0, "validation")) == 943
    for split in ("validation", "test"):
        assert len(candidates_of(stored, timeline.cases(0, split), split, timeline).target_item) == 943
    known = {(int(user), int(item)) for user, item in zip(dataset.events.user, dataset.events.item, strict=True)}
    for negatives in (stored.validation_negatives, stored.test_negatives):
        assert negatives.shape == (943, 99)
        pairs = zip(np.repeat(stored.user, 99).tolist(), negatives.ravel().tolist(), strict=True)
        assert not known.intersection(pairs)


def test_ml_100k_in_the_order_of_the_file_holds_out_other_items():
    data, dataset = fetched("ml-100k")
    timeline = Timeline(dataset.events, dataset.catalog, data, ProtocolConfig(name="leave-one-out"))
    stored = load_candidates(dataset, data, "pfedrec_eval_candidates.npz")
    with pytest.raises(DataError, match="reverse-file"):
        candidates_of(stored, timeline.cases(0, "validation"), "validation", timeline)


def test_ml_100k_has_eight_months():
    data, dataset = fetched("ml-100k")
    assert Timeline(dataset.events, dataset.catalog, data, ProtocolConfig(cut="month")).periods == 8


def test_ml_1m():
    _, dataset = fetched("ml-1m")
    assert sizes(dataset) == (6040, 3416, 999_475)
    assert not dataset.events.has_time
    assert dataset.catalog.fields["plot"][0].startswith("A little boy named Andy")


def test_online_retail():
    _, dataset = fetched("online-retail", cleaning={"drop_duplicates": False})
    report = dataset.report
    assert report.rows == 541_909
    assert (dataset.events.users, len(dataset.catalog)) == (4334, 3659)
    assert len(dataset.events) + report.left_out["no product (postage, charges, corrections)"] == 397_884
    assert (day(dataset.events.time.min()), day(dataset.events.time.max())) == ("2010-12-01", "2011-12-09")
    assert "WHITE HANGING HEART T-LIGHT HOLDER" in dataset.catalog.texts("{title}")


def test_online_retail_as_it_is_often_counted():
    _, dataset = fetched("online-retail", source={"keep_charges": True}, cleaning={"drop_duplicates": False})
    assert sizes(dataset) == (4338, 3665, 397_884)


def test_amazon_games():
    _, dataset = fetched("amazon-games")
    assert sizes(dataset) == (50_546, 16_859, 440_264)
    counts = np.diff(dataset.events.offsets)
    assert (np.median(counts), counts.max()) == (6, 50)
    assert dataset.catalog.texts("{title}")[0] == "Fire Emblem: The Sacred Stones"
