"""A shop of one's own with texts, categories, prices, pictures and sounds: all of them in one private federation, and each switched off."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everbloom.errors import DataError
from everbloom.experiment import Experiment, load_experiment
from everbloom.study import open_study
from server.observer import Observer
from server.run_directory import RunDirectory
from simulation.run import run_in_process

Image = pytest.importorskip("PIL.Image")

SHOP = """
name = "shop"
seed = 1
[data]
text = "{title}, {category}, £{price:.2f}"
[data.source]
name = "table"
path = "events.csv"
user = "user"
item = "item"
time = "time"
items_path = "items.csv"
item_fields = ["title", "category", "image"]
item_numbers = ["price"]
[protocol]
name = "leave-one-out"
[model]
dim = 8
[model.items.modalities.text]
encoder = { name = "tfidf", dims = 4 }
[model.items.modalities.categories]
[model.items.modalities.numbers]
fields = ["price"]
log = true
[model.items.modalities.image]
folder = "pictures"
model = "vision"
[model.items.modalities.sound]
name = "vectors"
path = "sounds.npz"
[model.user]
layers = 1
heads = 2
history = 4
[learning]
examples = "next-item"
negatives = 5
[privacy]
unit = "example"
epsilon = 8
delta = 1e-3
denominator = 10
[federation]
rounds = 2
cohort = 4
[evaluation]
slices = false
"""
NAMES = ["text", "categories", "numbers", "image", "sound"]


class Quiet(Observer):
    def round_done(self, record: Any, reasons: Any) -> None:
        assert not reasons, reasons

    def measured(self, records: Any) -> None:
        return


@pytest.fixture(autouse=True)
def shop(tmp_path, monkeypatch) -> Path:
    """Eight items, of which each lacks something."""
    from transformers import ViTConfig, ViTModel
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
    from transformers.utils import logging

    logging.disable_progress_bar()
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    events = [(user, item, 100 * user + step) for user in range(8) for step, item in enumerate(rng.permutation(8)[:6])]
    Path("events.csv").write_text("user,item,time\n" + "".join(f"u{u},i{i},{t}\n" for u, i, t in events))
    rows = []
    Path("pictures").mkdir()
    for item in range(8):
        Image.new("RGB", (20, 20), (30 * item, 90, 200 - 20 * item)).save(f"pictures/{item}.png")
        image = "" if item == 3 else f"{item}.png"
        rows.append(
            f"i{item},{'red' if item % 2 else 'blue'} thing {item},{'' if item == 1 else 'toys|gifts'},{image},{item or ''}"
        )
    Path("items.csv").write_text("item,title,category,image,price\n" + "\n".join(rows) + "\n")
    np.savez("sounds.npz", id=np.array([f"i{item}" for item in range(5)]), vector=rng.normal(size=(5, 6)))
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    ViTModel(ViTConfig(**size, image_size=16, patch_size=8)).save_pretrained("vision")
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained("vision")
    Path("shop.toml").write_text(SHOP, encoding="utf-8")
    return tmp_path


def loaded(*overrides: str) -> Experiment:
    return load_experiment(Path("shop.toml"), overrides)


def test_all_of_it_in_a_private_federation(study_of):
    study = study_of(loaded())
    assert study.features.names == tuple(NAMES)
    assert study.features.present.sum(axis=0).tolist() == [8, 7, 7, 7, 5]
    texts = dict(
        zip(study.dataset.catalog.item_ids, study.dataset.catalog.texts(study.experiment.data.text), strict=True)
    )
    assert (texts["i0"], texts["i1"]) == ("blue thing 0, toys|gifts", "red thing 1, £1.00")
    summary = run_in_process(study, RunDirectory.create(Path("run"), study.experiment), Quiet(), resume=False)
    assert 0 < summary["privacy"]["epsilon"] <= 8


@pytest.mark.parametrize("name", NAMES)
def test_each_is_switched_off_from_outside(study_of, name):
    whole, less = study_of(loaded()), study_of(loaded(f"model.items.modalities.{name}=none"))
    assert less.features.names == tuple(other for other in NAMES if other != name)
    assert less.layout.size() < whole.layout.size()
    assert np.isfinite(less.new_model().catalogue().vectors.detach().numpy()).all()


def test_a_picture_that_does_not_open_stops_it_before_anything_is_trained():
    Path("pictures/5.png").write_bytes(b"no picture")
    quiet = lambda done, total: None  # noqa: E731
    with pytest.raises(
        DataError, match=r"^model\.items\.modalities\.image: pictures/5\.png: does not open as an image"
    ):
        open_study(loaded(), quiet, quiet)
    study = open_study(loaded("model.items.modalities.image.on_error=missing"), quiet, quiet)
    assert study.features.present.sum(axis=0).tolist() == [8, 7, 7, 6, 5]
