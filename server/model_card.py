"""A model card in the form of the Hugging Face hub: what a model is, what it was measured at, what it cost in privacy, how to load it."""

from collections.abc import Mapping
from typing import Any

from everbloom.data.downloads import DOWNLOADS
from everbloom.data.home import dataset_name
from everbloom.models.features.catalogue import DEFAULT_TEXT
from everbloom.privacy.plan import NO_PRIVACY
from everbloom.study import Study

_SHOWN = ("hr@10", "ndcg@10", "mrr@10", "coverage@10")


def model_card(study: Study, summary: Mapping[str, Any] | None, files: Mapping[str, str], graph: bool) -> str:
    """README.md of an exported model. `summary`: the run's `summary.json`, None if it did not end; `files`: name -> what it holds."""
    sections = [
        _header(study, summary),
        f"# {study.experiment.name}\n\n{_what(study)}",
        f"## Quality\n\n{_quality(study, summary)}",
        f"## Privacy\n\n{_privacy(study, summary)}",
        f"## Use\n\n{_use(study, graph)}",
        "## Files\n\n" + "\n".join(f"- `{name}`: {content}" for name, content in files.items()),
        f"## Limits\n\n{_limits(study)}",
    ]
    return "\n\n".join(sections) + "\n"


def _header(study: Study, summary: Mapping[str, Any] | None) -> str:
    """The front matter that the hub reads."""
    from huggingface_hub import EvalResult, ModelCardData

    name = dataset_name(study.experiment.data.source)
    tags = ["recommender-system", "federated-learning", "continual-learning"]
    if study.plan is not None:
        tags.append("differential-privacy")
    results = [
        EvalResult(
            task_type="other",
            task_name="top-N recommendation",
            dataset_type=name,
            dataset_name=name,
            metric_type=measure,
            metric_value=value,
            metric_name=f"{measure} ({protocol})",
        )
        for protocol, values in (summary or {}).get("test", {}).items()
        for measure, value in values.items()
        if measure in _SHOWN
    ]
    data = ModelCardData(
        library_name="everbloom",
        tags=tags,
        model_name=study.experiment.name if results else None,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---"


def _what(study: Study) -> str:
    experiment, model = study.experiment, study.experiment.model
    features = model.items.features
    reads = (
        "items are known by vectors that were learnt of them"
        if features is None
        else f"items are known by their text, `{experiment.data.text or DEFAULT_TEXT}`, as the encoder `{features.name}` reads it"
        + (", whose top blocks were fine-tuned by adapters" if model.items.tower is not None else "")
        + (", and by a vector that was learnt of each" if model.items.embedding else "")
    )
    log, source = study.dataset.events, dataset_name(experiment.data.source)
    page = f" ({DOWNLOADS[source].page}; {DOWNLOADS[source].licence})" if source in DOWNLOADS else ""
    return (
        f"A recommender that was trained by federated learning with everbloom: each of {study.clients:,} users kept "
        "their history on their own (here: simulated) device, which fine-tuned the model and sent updates alone.\n\n"
        f"It scores items for a user by the last {model.user.history - 1} events of the user's history: {reads}. "
        f"{study.layout.size():,} parameters are shared.\n\n"
        f"Data: {source}{page}, {log.users:,} users, {len(study.dataset.catalog):,} items, {len(log):,} events."
    )


def _quality(study: Study, summary: Mapping[str, Any] | None) -> str:
    if summary is None:
        return "Not measured: the run has not ended."
    rows = ["| model | ranking | " + " | ".join(_SHOWN) + " |", "|---|---|" + "---:|" * len(_SHOWN)]
    models = {"this one": summary["test"], **summary["baselines"]}
    for model, protocols in models.items():
        for protocol, values in protocols.items():
            cells = [f"{values[name]:.4f}" if name in values else "-" for name in _SHOWN]
            rows.append(f"| {model} | {protocol} | {' | '.join(cells)} |")
    protocol = (
        "the last event of each user"
        if study.experiment.protocol.name == "leave-one-out"
        else "what each user meets anew in a period, before the period is learnt; mean over periods"
    )
    return f"Test: {protocol}. `full` ranks the whole catalogue without what the user has met.\n\n" + "\n".join(rows)


def _privacy(study: Study, summary: Mapping[str, Any] | None) -> str:
    if study.plan is None:
        return NO_PRIVACY
    told = [study.plan.describe()]
    if summary is not None:
        privacy = summary["privacy"]
        told.append(
            f"Spent: epsilon {privacy['epsilon']:.4g} at delta {privacy['delta']:g}, by the device that was asked most often."
        )
        if "simulation" in str(privacy["generator"]):
            told.append(
                "The noise of this run was drawn from the experiment's seed, which repeats it: the statement is that of a deployment of the same "
                "experiment, and holds for this very model only against somebody who does not know the seed."
            )
    return "\n\n".join(told)


def _use(study: Study, graph: bool) -> str:
    python = """```python
from pathlib import Path
import torch
from everbloom.models.exported import load_exported
from everbloom.models.users import Circumstances

exported = load_exported(Path("."))
history = torch.tensor([[0, 1]])  # rows of items.jsonl, oldest first
beside = Circumstances(torch.zeros_like(history), torch.ones((1, 3), dtype=torch.int64))
with torch.no_grad():
    scores = exported.model.rank_catalogue(history, beside, torch.tensor([2]), exported.catalogue)
print([exported.titles[item] for item in scores[0].topk(10).indices])
```"""
    if not graph:
        return python
    return python + (
        "\n\nWithout Python: `recommender.onnx` gives `scores` [1, items] from `history` [1, events] and the tensors of `catalogue.safetensors` "
        "(`config.json` lists its inputs). A scored item is a row: items may be added to the catalogue without a new graph."
    )


def _limits(study: Study) -> str:
    limits = [
        "It knows the tastes of those it was trained on, at the time it was trained; what is popular with them is recommended to everybody.",
        "What a user has met is scored like anything else; whoever recommends leaves it out.",
    ]
    if study.personalised:
        limits.append(
            "What devices have learnt for themselves is not part of it: everybody is somebody whose device has learnt nothing yet."
        )
    if study.experiment.model.items.features is not None:
        limits.append("Biases of the pretrained encoder and of the item texts are its own.")
    limits.append(
        "No licence of its own is stated; the terms of the data set, whose titles `items.jsonl` repeats, and of the pretrained encoder apply."
    )
    return "\n".join(f"- {limit}" for limit in limits)
