"""Features of images, by small vision models with random weights; and images that are none."""

import logging
from pathlib import Path

import numpy as np
import pytest

from everbloom.config import ItemModelConfig
from everbloom.data.catalog import Catalog
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError
from everbloom.models.features.catalogue import features_of

Image = pytest.importorskip("PIL.Image")

SIZE = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
EYE = {**SIZE, "image_size": 16, "patch_size": 8}


def quiet(done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    """A vision transformer and how its images are prepared."""
    import torch
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    ViTModel(ViTConfig(**EYE)).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """A model that compares images with texts."""
    import torch
    from transformers import CLIPConfig, CLIPModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    folder = tmp_path_factory.mktemp("clip")
    torch.manual_seed(0)
    text = {**SIZE, "vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    CLIPModel(CLIPConfig(text_config=text, vision_config=EYE, projection_dim=8)).save_pretrained(folder)
    processor = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def pictures(tmp_path) -> Path:
    """Two alike, one that is not, one that is grey with a transparent part, and what only looks like an image."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 30), (200, 20, 20)).save(folder / "red.png")
    Image.new("RGB", (64, 64), (200, 20, 20)).save(folder / "also-red.png")
    Image.new("RGB", (40, 30), (20, 20, 200)).save(folder / "blue.jpg")
    Image.new("LA", (20, 20), (90, 0)).save(folder / "grey.png")
    (folder / "broken.png").write_bytes((folder / "red.png").read_bytes()[:40])
    return folder


def features(pictures: Path, images: list[str], **table):
    catalog = Catalog(
        item_ids=StringColumn.of([str(row) for row in range(len(images))]),
        fields={"image": StringColumn.of(images)},
        numbers={},
        first_seen=np.zeros(len(images), dtype=np.int64),
    )
    config = ItemModelConfig.model_validate({"modalities": {"image": {"folder": str(pictures), "batch": 2, **table}}})
    return features_of(catalog, None, config, pictures.parent / "cache", quiet)


def test_a_vision_transformer_sees_what_is_alike(pictures, vit):
    found = features(pictures, ["red.png", "also-red.png", "blue.jpg", "", "grey.png"], model=str(vit))
    assert found.matrix.shape == (5, 16)
    assert found.present[:, 0].tolist() == [True, True, True, False, True]
    np.testing.assert_allclose(found.matrix[0], found.matrix[1], atol=1e-5)
    assert np.linalg.norm(found.matrix[0] - found.matrix[2]) > 0.01


def test_features_of_clip_are_those_that_it_compares_with_texts(pictures, clip):
    found = features(pictures, ["red.png", "blue.jpg"], model=str(clip))
    assert found.matrix.shape == (2, 8)
    np.testing.assert_allclose(np.linalg.norm(found.matrix, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("broken", ["broken.png", "nowhere.png"])
def test_an_image_that_does_not_open_stops_or_is_missing(pictures, vit, broken, caplog):
    images = ["red.png", broken, "blue.jpg", ""]
    with pytest.raises(DataError) as caught:
        features(pictures, images, model=str(vit))
    told = str(caught.value)
    assert told.startswith(f"model.items.modalities.image: {pictures / broken}: does not open as an image")
    assert 'on_error = "missing"' in told
    assert "\n" not in told
    with caplog.at_level(logging.WARNING):
        found = features(pictures, images, model=str(vit), on_error="missing")
    assert found.present[:, 0].tolist() == [True, False, True, False]
    assert "1 of 3 images do not open" in caplog.text
    with pytest.raises(DataError, match="does not open"):  # what was computed with it missing does not pass for whole
        features(pictures, images, model=str(vit))


def test_a_batch_without_an_image_that_opens_is_passed_over(pictures, vit, caplog):
    images = ["nowhere.png", "broken.png", "red.png"]
    found = features(pictures, images, model=str(vit), on_error="missing")
    assert found.present[:, 0].tolist() == [False, False, True]
    with pytest.raises(DataError, match="it knows none of 2 items"):
        features(pictures, images[:2], model=str(vit), on_error="missing")


def test_a_changed_image_is_seen_anew(pictures, vit):
    first = features(pictures, ["red.png"], model=str(vit)).matrix
    Image.open(pictures / "blue.jpg").save(pictures / "red.png")
    assert np.linalg.norm(features(pictures, ["red.png"], model=str(vit)).matrix - first) > 0.01


def test_a_model_that_there_is_not_is_told_in_one_line(pictures, tmp_path):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=r"modalities\.image: model: cannot load '.*nothing'") as caught:
        features(pictures, ["red.png"], model=str(tmp_path / "nothing"))
    assert "\n" not in str(caught.value)
