"""The modality of an item's image, by a frozen pretrained vision model."""

import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import PositiveInt

from everbloom.data.catalog import Catalog
from everbloom.errors import DataError
from everbloom.methods import Modality, Progress

if TYPE_CHECKING:
    from PIL.Image import Image

_LOG = logging.getLogger(__name__)


class Images(Modality):
    """Image features of any `transformers` vision model: those that it compares with texts (CLIP, SigLIP), or its first token's state (ViT)."""

    name: Literal["image"] = "image"
    field: str = "image"
    """Field of the catalogue with the path of an item's image; an item without one lacks this modality."""
    folder: str = "."
    """Where relative paths begin."""
    model: str
    """A hub id, or a local folder."""
    on_error: Literal["stop", "missing"] = "stop"
    """An image that is not there or does not open: stop and name it; or go on as if the item had none, and say of how many."""
    batch: PositiveInt = 32

    def read(self, catalog: Catalog, text: str) -> list[str]:
        """The paths."""
        folder = Path(self.folder).expanduser()
        return [str(folder / path) if path else "" for path in catalog.column(self.field, "field")]

    def identities(self, inputs: list[str]) -> list[str]:
        """Hashes of what the files hold; of what cannot be read, that it cannot."""
        return [_content(Path(path)) for path in inputs]

    def fingerprint(self) -> str:
        """The content of the weights for a folder, or the resolved commit for a hub id; and what a faulty image does."""
        location = Path(self.model).expanduser()
        if not location.is_dir():
            return f"image/{self.model}@{self._hub_commit()}/{self.on_error}"
        digest = hashlib.sha256()
        for path in sorted(p for p in location.iterdir() if p.suffix in (".safetensors", ".bin", ".json")):
            digest.update(path.name.encode())
            with path.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return f"image/{digest.hexdigest()}/{self.on_error}"

    def encode(self, inputs: list[str], progress: Progress) -> NDArray[np.float32]:
        """[inputs, width]; a row of nan where an image does not open, if that does not stop it."""
        if self.on_error == "stop":  # before the model is loaded and minutes have passed
            for path in inputs:
                self._open(path)
        processor, model = self._load()
        pieces, broken = [], 0
        for start in range(0, len(inputs), self.batch):
            images = [self._open(path) for path in inputs[start : start + self.batch]]
            there = [image for image in images if image is not None]
            broken += len(images) - len(there)
            pieces.append((np.array([image is not None for image in images]), _features(processor, model, there)))
            progress(min(start + self.batch, len(inputs)), len(inputs))
        if broken:
            _LOG.warning("image: %d of %d images do not open; their items count as having none", broken, len(inputs))
        width = max((found.shape[1] for _, found in pieces), default=0)
        features = np.full((len(inputs), max(width, 1)), np.nan, dtype=np.float32)
        if width:
            mask = np.concatenate([known for known, _ in pieces])
            features[mask] = np.concatenate([found for _, found in pieces if len(found)])
        return features

    def _open(self, path: str) -> "Image | None":
        try:
            from PIL import Image
        except ImportError:
            raise DataError("images need pillow; run: pip install 'everbloom[images]'") from None
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            if self.on_error == "missing":
                return None
            raise DataError(
                f'{path}: does not open as an image ({_first_line(error)}); mend or remove it, or set on_error = "missing"'
            ) from None

    def _load(self) -> tuple[Any, Any]:
        from transformers import AutoImageProcessor, AutoModel
        from transformers.utils import logging as transformers_logging

        transformers_logging.disable_progress_bar()
        location = str(Path(self.model).expanduser()) if Path(self.model).expanduser().is_dir() else self.model
        try:
            # Pillow's own resizing: the other backend wants torchvision.
            processor = AutoImageProcessor.from_pretrained(location, backend="pil")
            model = AutoModel.from_pretrained(location, dtype=torch.float32).eval()
        except (OSError, ValueError) as error:
            raise self._not_found(error) from None
        return processor, model

    def _hub_commit(self) -> str:
        from transformers import AutoConfig

        try:
            return str(getattr(AutoConfig.from_pretrained(self.model), "_commit_hash", None))
        except (OSError, ValueError) as error:
            raise self._not_found(error) from None

    def _not_found(self, error: Exception) -> DataError:
        return DataError(
            f"model: cannot load {self.model!r} ({_first_line(error)}); expected a hub id or a folder with a vision model and its image processor"
        )


def _features(processor: Any, model: Any, images: "list[Image]") -> NDArray[np.float32]:
    """[images, width]; [0, 0] of none."""
    if not images:
        return np.zeros((0, 0), dtype=np.float32)
    with torch.inference_mode():
        pixels = processor(images=images, return_tensors="pt")["pixel_values"]
        if hasattr(model, "get_image_features"):
            found = model.get_image_features(pixel_values=pixels)
            found = getattr(found, "pooler_output", found)
        else:
            found = model(pixel_values=pixels).last_hidden_state[:, 0]
    return np.asarray(found.float().numpy(), dtype=np.float32)


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return f"unreadable: {path}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
