"""Where things are kept."""

import platformdirs

from everbloom.data.home import dataset_name, home, raw_folder
from everbloom.data.sources.amazon_reviews import AmazonReviews
from everbloom.data.sources.movielens_small import MovieLensSmall
from everbloom.data.sources.sequences import Sequences


def test_the_environment_decides_and_the_platform_is_the_default(monkeypatch, tmp_path):
    monkeypatch.setenv("EVERBLOOM_HOME", str(tmp_path))
    assert home() == tmp_path
    assert raw_folder("ml-100k") == tmp_path / "raw" / "ml-100k"
    monkeypatch.delenv("EVERBLOOM_HOME")
    assert home() == platformdirs.user_data_path("everbloom", appauthor=False)


def test_a_source_of_several_data_sets_names_its_own():
    assert dataset_name(MovieLensSmall()) == "movielens-small"
    assert dataset_name(Sequences(dataset="amazon-games")) == "amazon-games"
    assert dataset_name(AmazonReviews(category="Video_Games")) == "amazon-reviews/Video_Games"
    assert dataset_name(AmazonReviews(path="x.json")) == "amazon-reviews"
