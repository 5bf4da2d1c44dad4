"""Language models from folders and configurations; what is wrong with them or their texts is one clear line, or a documented fallback."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from tower_texts import TEXTS

from everbloom.config import ModelConfig, TowerConfig
from everbloom.errors import DataError
from everbloom.models.features.language_model import LanguageModelFeatures
from everbloom.models.towers.loading import block_count, load
from everbloom.models.towers.states import text_states
from everbloom.models.towers.tokens import token_ids


def quiet(done: int, total: int) -> None:
    pass


def line(raised: pytest.ExceptionInfo) -> str:
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_a_folder(tower_of, folder_of, kind):
    """As a hub id is: through `from_pretrained`."""
    model = tower_of(str(folder_of(kind)))
    with torch.no_grad():
        torch.testing.assert_close(model.item.tower(torch.arange(len(TEXTS))), model.item.features, rtol=0, atol=2e-6)
    assert block_count(str(folder_of(kind)), "here") == 3


def test_a_model_that_does_not_exist(tmp_path):
    for name in (str(tmp_path / "nothing"), "no-such-owner/no-such-model-at-all"):
        with pytest.raises(DataError) as raised:
            LanguageModelFeatures(name="lm", model=name).encode(["tea"], quiet)
        assert "model.items.features.model: cannot load" in line(raised)
        assert "expected a hub id, a folder with weights, or 'minilm'" in line(raised)


def test_a_folder_without_weights(tmp_path, folder_of):
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        source = folder_of("bert") / name
        (tmp_path / name).write_bytes(source.read_bytes())
    with pytest.raises(DataError, match="cannot load"):
        load(str(tmp_path), "here")


def test_a_tokenizer_without_a_padding_token(folder_of):
    """GPT-2's: the end-of-text token stands in for it, and changes nothing, since padding is masked."""
    folder = str(folder_of("gpt2", pad=False))
    tokenizer = load(folder, "here").tokenizer
    assert tokenizer.pad_token == "<eos>"
    encoder = LanguageModelFeatures(name="lm", model=folder)
    together = encoder.encode(["tea", "a red lamp of the shop"], quiet)
    np.testing.assert_allclose(together[:1], encoder.encode(["tea"], quiet), atol=1e-6)


def test_a_tokenizer_with_neither(folder_of, tmp_path):
    import json

    for path in folder_of("gpt2", pad=False).iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings.pop("eos_token")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "special_tokens_map.json").unlink(missing_ok=True)
    with pytest.raises(DataError) as raised:
        load(str(tmp_path), "here")
    assert "neither a padding token nor an end-of-text token" in line(raised)


def test_texts_of_nothing_and_of_too_much(folder_of):
    """A text without a token is one padding token; a text of 100,000 is cut."""
    tokenizer = load(str(folder_of("gpt2")), "here").tokenizer
    ids = token_ids(tokenizer, ["", "   ", "lamp " * 100_000], 12)
    assert ids[:2] == [[tokenizer.pad_token_id]] * 2
    assert len(ids[2]) == 12
    features = LanguageModelFeatures(name="lm", model=str(folder_of("gpt2")), max_tokens=12).encode(
        ["", "lamp " * 100_000], quiet
    )
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"config": "no-such-architecture"}, "no architecture that transformers knows"),
        ({"config": "gpt2", "options": {"n_layers": 2}}, "gpt2 has no option 'n_layers'"),
        ({"config": "gpt2", "options": {"n_embd": 30, "n_head": 4}}, "no gpt2 can be made of these"),
        ({"config": "gpt2", "tokenizer": "/nowhere/at/all"}, "model.tokenizer: cannot load"),
    ],
)
def test_a_configuration_that_does_not_work(model, said):
    with pytest.raises(DataError) as raised:
        LanguageModelFeatures.model_validate({"name": "lm", "model": model}).encode(["tea"], quiet)
    assert said in line(raised)


def test_random_weights_are_the_same_everywhere(architecture):
    before = torch.get_rng_state()
    one, two = (LanguageModelFeatures.model_validate({"name": "lm", "model": architecture}) for _ in range(2))
    assert np.array_equal(one.encode(TEXTS, quiet), two.encode(TEXTS, quiet))
    assert torch.equal(torch.get_rng_state(), before)
    other = LanguageModelFeatures.model_validate({"name": "lm", "model": {**architecture, "seed": 1}})
    assert other.fingerprint() != one.fingerprint()
    assert not np.allclose(other.encode(TEXTS, quiet), one.encode(TEXTS, quiet))


@pytest.mark.parametrize(
    ("tower", "said"),
    [
        ({"modules": ["no_such_layer"]}, "model.items.tower.modules: no layer of a block is called 'no_such_layer'"),
        ({"layers": 4}, "model.items.tower.layers: the model has 3 blocks, not 4"),
        ({"layers": [1, 3]}, "model.items.tower.layers: there is no block 3; the model has blocks 0 to 2"),
    ],
)
def test_adapters_that_do_not_fit(tower_of, architecture, tower, said):
    with pytest.raises(DataError) as raised:
        tower_of(architecture, tower)
    assert said in line(raised)


def test_an_architecture_of_another_kind(tower_of):
    """Two streams through its blocks; or no block of its own."""
    for model, said in (
        (
            {"config": "xlnet", "options": {"d_model": 16, "d_inner": 24, "n_layer": 2, "n_head": 2}},
            "more than one hidden",
        ),
        (
            {
                "config": "albert",
                "options": {
                    "num_hidden_layers": 3,
                    "hidden_size": 16,
                    "intermediate_size": 16,
                    "num_attention_heads": 2,
                },
            },
            "no list of its 3 blocks",
        ),
    ):
        with pytest.raises(DataError) as raised:
            tower_of(model)
        assert said in line(raised)


def test_an_architecture_without_usual_modules(tower_of):
    small = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    with pytest.raises(DataError) as raised:
        tower_of({"config": "electra", "options": small}, {"adapter": "bottleneck"})
    assert "this architecture has no usual ones; name some of: attention.self.query" in line(raised)


def test_the_table_is_checked():
    with pytest.raises(ValidationError, match=r'set items.features = \{ name = "lm" \}'):
        ModelConfig.model_validate({"items": {"features": {"name": "tfidf"}, "tower": {}}})
    with pytest.raises(ValidationError, match=r'set items.features = \{ name = "lm" \}'):
        ModelConfig.model_validate({"items": {"tower": {}}})
    for wrong in ({"layers": 0}, {"layers": []}, {"layers": [-1]}, {"modules": []}, {"dtype": "int8"}):
        with pytest.raises(ValidationError):
            TowerConfig.model_validate(wrong)


def test_states_are_computed_once(architecture, tmp_path: Path, monkeypatch):
    model = LanguageModelFeatures.model_validate({"name": "lm", "model": architecture}).model
    tower, done = TowerConfig(), []
    first = text_states(TEXTS, model, 9, tower, tmp_path, lambda some, total: done.append((some, total)))
    assert done[-1] == (7, 7)  # two texts are the same
    assert first.text[0] == first.text[6]
    monkeypatch.setattr("everbloom.models.towers.states.load", lambda *_: pytest.fail("computed again"))
    again = text_states(TEXTS, model, 9, tower, tmp_path, quiet)
    assert np.array_equal(first.states, again.states)
    assert np.array_equal(first.offsets, again.offsets)
    assert again.states.shape == (again.offsets[-1], 16)
    with pytest.raises(pytest.fail.Exception):  # other texts, other states
        text_states(TEXTS[1:], model, 9, tower, tmp_path, quiet)


def test_half_the_space(architecture, tmp_path: Path):
    model = LanguageModelFeatures.model_validate({"name": "lm", "model": architecture}).model
    whole, half = (
        text_states(TEXTS, model, 9, TowerConfig(states=kind), tmp_path, quiet) for kind in ("float32", "float16")
    )
    assert half.states.dtype == np.float16
    np.testing.assert_allclose(half.states.astype(np.float32), whole.states, rtol=2e-3, atol=2e-3)
