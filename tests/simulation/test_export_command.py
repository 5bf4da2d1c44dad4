"""`everbloom export`: what is written is the run's model, for Python, for ONNX and for PEFT, and nothing is written over."""

import json
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from rich.console import Console
from safetensors.torch import load_file

from everbloom.errors import CheckpointError
from everbloom.experiment import Experiment
from everbloom.models.exported import load_exported
from everbloom.models.onnx_graph import graph_inputs
from everbloom.models.settled import tower_features
from everbloom.models.users import Circumstances
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.exporting import export_run
from simulation.run import run_in_process
from simulation.trained import open_trained

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # typer's own use of click
    from simulation import cli

SMALL_BERT = {
    "name": "lm",
    "model": {
        "config": "bert",
        "options": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 16},
    },
}
SMALL_GPT2 = {"name": "lm", "model": {"config": "gpt2", "options": {"n_embd": 16, "n_layer": 3, "n_head": 2}}}
MODELS = {
    "ids": {},
    "reduced, a content match": {"items": {"features": {"name": "tfidf", "dims": 8}, "feature_dim": 4}, "content": {}},
    "mlp, circumstances, personal": {"score": "mlp", "user": {"behaviours": True, "gaps": True, "personal": True}},
    "tower": {"items": {"features": SMALL_BERT, "feature_dim": 6, "tower": {"layers": 1}}},
}
QUIET = Console(quiet=True)


@pytest.fixture
def exported_run(tmp_path, study_of) -> Callable[..., tuple[Path, Path]]:
    """(experiment, onnx) -> (the run's folder, that of its export)."""

    def make(experiment: Experiment, onnx: bool = True) -> tuple[Path, Path]:
        run = RunDirectory.create(tmp_path / "run", experiment)
        run_in_process(study_of(experiment), run, Silent(), resume=False)
        export_run(run.path, tmp_path / "out", onnx, QUIET, QUIET)
        return run.path, tmp_path / "out"

    return make


def asked(model, items: int, events: int) -> tuple[torch.Tensor, Circumstances]:
    draws = torch.Generator().manual_seed(events)
    history = torch.randint(0, items, (1, events), generator=draws)
    behaviour = torch.randint(0, 6, (1, events), generator=draws)
    return history, Circumstances(behaviour, torch.randint(0, 9, (1, events + 1), generator=draws))


@pytest.mark.parametrize("kind", MODELS)
def test_scores_survive_both_ways(small, exported_run, kind):
    """The run's own model, the one that is loaded, and the graph in onnxruntime, for histories of every length."""
    run, out = exported_run(small(model=MODELS[kind]))
    trained = open_trained(run, QUIET, "to test")
    exported = load_exported(out)
    session = onnxruntime.InferenceSession(out / "recommender.onnx")
    about = json.loads((out / "config.json").read_text())
    assert [one.name for one in session.get_inputs()] == about["onnx"]["inputs"]
    scored = load_file(out / "catalogue.safetensors")
    for events in range(1, trained.model.history):
        history, beside = asked(trained.model, 30, events)
        length = torch.tensor([events])
        with torch.no_grad():
            own = trained.model.rank_catalogue(history, beside, length, trained.model.catalogue())
            loaded = exported.model.rank_catalogue(history, beside, length, exported.catalogue)
        torch.testing.assert_close(loaded, own, atol=1e-5, rtol=1e-5)
        given = graph_inputs(exported.model, history, beside, exported.catalogue)
        (found,) = session.run(
            None, {name: value.numpy() for name, value in ({**given, **_known(given, scored)}).items()}
        )
        np.testing.assert_allclose(found, own.numpy(), atol=1e-5, rtol=1e-5)


def _known(given, scored):
    """The catalogue as it lies in its file."""
    return {name: value for name, value in scored.items() if name in given}


def test_what_a_device_has_learnt_for_itself_is_an_input(small, exported_run):
    _, out = exported_run(small(model={"user": {"personal": True}}))
    exported = load_exported(out)
    assert not any(name.startswith("personal") for name in load_file(out / "model.safetensors"))
    history, beside = asked(exported.model, 30, 3)
    own = torch.full((1, 8), 0.5)
    with torch.no_grad():
        scores = exported.model.rank_catalogue(history, beside, torch.tensor([3]), exported.catalogue, own)
    given = graph_inputs(exported.model, history, beside, exported.catalogue, own)
    session = onnxruntime.InferenceSession(out / "recommender.onnx")
    (found,) = session.run(None, {name: value.numpy() for name, value in given.items()})
    np.testing.assert_allclose(found, scores.numpy(), atol=1e-5)


def test_items_can_be_added_to_the_graph(small, exported_run):
    _, out = exported_run(small())
    scored = load_file(out / "catalogue.safetensors")
    vectors = torch.cat([scored["vectors"], torch.ones((3, 8))]).numpy()
    bias = torch.cat([scored["bias"], torch.zeros(3)]).numpy()
    session = onnxruntime.InferenceSession(out / "recommender.onnx")
    (found,) = session.run(None, {"history": np.array([[32, 4]]), "vectors": vectors, "bias": bias})
    assert found.shape == (1, 33)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # PEFT's use of transformers
@pytest.mark.parametrize("name", ["ffa-lora", "lora"])
@pytest.mark.parametrize("language_model", [SMALL_BERT, SMALL_GPT2], ids=["bert", "gpt2"])
def test_peft_reads_the_adapters(small, exported_run, study_of, name, language_model):
    """PEFT on the whole language model gives the vectors of our tower, which runs on cached states above a cut."""
    from peft import PeftModel

    from everbloom.models.features.language_model import LanguageModelFeatures
    from everbloom.models.towers.loading import load
    from everbloom.models.towers.tokens import pool

    items = {"features": language_model, "tower": {"layers": 2, "adapter": {"name": name, "rank": 2}}}
    run, out = exported_run(small(model={"items": items}), onnx=False)
    trained = open_trained(run, QUIET, "to test")
    features = trained.study.experiment.model.items.features
    assert isinstance(features, LanguageModelFeatures)
    tokenizer, plain = load(features.model, "test")
    texts = trained.study.dataset.catalog.texts("{title}")[:7]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        frozen = pool(plain(**batch).last_hidden_state, batch["attention_mask"], "mean")
        tuned_model = PeftModel.from_pretrained(plain, out / "item_tower").eval()
        tuned = pool(tuned_model(**batch).last_hidden_state, batch["attention_mask"], "mean")
    expected = tower_features(trained.model.item.tower)[:7]
    torch.testing.assert_close(tuned, expected, atol=1e-5, rtol=0)
    assert (tuned - frozen).abs().max() > 1e-5  # it was trained


def test_bottlenecks_are_plain_tensors(small, exported_run):
    items = {"features": SMALL_BERT, "tower": {"layers": 1, "adapter": {"name": "bottleneck", "hidden": 2}}}
    _, out = exported_run(small(model={"items": items}), onnx=False)
    names = load_file(out / "item_tower" / "adapters.safetensors")
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in names} == {"down", "up"}
    assert all(name.startswith("encoder.layer.2.") for name in names)
    assert not (out / "item_tower" / "adapter_config.json").exists()
    assert "PEFT has none of this kind" in (out / "README.md").read_text()


def test_the_model_card(small, exported_run):
    run, out = exported_run(small(privacy=True), onnx=False)
    card = ModelCard.load(out / "README.md")
    summary = json.loads((run / "summary.json").read_text())
    assert card.data.library_name == "everbloom"
    assert "differential-privacy" in card.data.tags
    measured = {result.metric_name: result.metric_value for result in card.data.eval_results}
    assert measured["ndcg@10 (full)"] == summary["test"]["full"]["ndcg@10"]
    assert summary["privacy"]["statement"] in card.text
    assert "drawn from the experiment's seed" in card.text
    for path in out.iterdir():
        assert f"`{path.name}`" in card.text or path.name == "README.md"
    assert "onnx" not in card.text


def test_the_example_of_the_model_card_runs(small, exported_run, monkeypatch, capsys):
    _, out = exported_run(small(), onnx=False)
    code = (out / "README.md").read_text().partition("```python\n")[2].partition("```")[0]
    monkeypatch.chdir(out)
    exec(compile(code, "README.md", "exec"), {})
    assert capsys.readouterr().out.count("'") >= 20  # ten titles


def test_a_run_that_has_not_ended_says_so(small, exported_run):
    run, out = exported_run(small(), onnx=False)
    (run / "summary.json").unlink()
    export_run(run, out.with_name("again"), False, QUIET, QUIET)
    assert "Not measured" in (out.with_name("again") / "README.md").read_text()


DAMAGE = {
    "no config": (lambda out: (out / "config.json").unlink(), "no exported model here"),
    "half a config": (lambda out: (out / "config.json").write_text("{"), "damaged export"),
    "another version": (lambda out: (out / "config.json").write_text('{"format": 99}'), "another version"),
    "no parameters": (lambda out: (out / "model.safetensors").unlink(), "damaged export"),
    "half a file": (lambda out: (out / "items.safetensors").write_bytes(b"123"), "damaged export"),
    "another model": (
        lambda out: (out / "config.json").write_text((out / "config.json").read_text().replace('"layers": 1', '"layers": 2', 1)),
        "does not fit it, they differ in",
    ),
    "another shape": (
        lambda out: (out / "config.json").write_text((out / "config.json").read_text().replace('"history": 5', '"history": 6', 1)),
        "does not fit it, they differ in",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage(small, exported_run, kind):
    _, out = exported_run(small(), onnx=False)
    spoil, told = DAMAGE[kind]
    spoil(out)
    with pytest.raises(CheckpointError, match=told):
        load_exported(out)


def test_the_command(small, exported_run, tmp_path, monkeypatch, capsys):
    run, out = exported_run(small(), onnx=False)

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["everbloom", "export", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        told, error = capsys.readouterr()
        return int(ended.value.code or 0), told, error

    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    code, _, error = call(run, "--out", out)
    assert (code, error) == (2, f"error: {out}: exists, and nothing is written over; give another --out\n")
    code, _, error = call(tmp_path / "nowhere", "--out", tmp_path / "new")
    assert code == 2
    assert "no run to export here (experiment.toml is missing)" in error
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _, error = call(run, "--out", tmp_path / "new")
    assert code == 2
    assert "pip install 'everbloom[export]'" in error
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    monkeypatch.undo()
    monkeypatch.setattr(sys, "argv", ["everbloom"])
    code, told, _ = call(run, "--out", tmp_path / "new", "--no-onnx")
    assert code == 0
    assert "[items, dim]" in told
    assert (tmp_path / "new" / "model.safetensors").is_file()
