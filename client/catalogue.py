"""A device's catalogue: installed from a delivery, whole or not at all, and only one that its events still fit."""

import hashlib
import shutil

import numpy as np

from client.delivery import Delivery
from client.service.catalogue_index import write_index
from client.service.folder import DeviceFolder
from everbloom.data.catalog import Catalog
from everbloom.data.catalog_bytes import catalogue_parts, unpack_catalogue
from everbloom.data.strings import StringColumn
from everbloom.errors import DataError
from everbloom.parcel import Manifest


def empty_catalogue() -> Catalog:
    """Of a device that waits for its server's."""
    return Catalog(StringColumn.of([]), {"title": StringColumn.of([])}, {}, np.zeros(0, dtype=np.int64))


def receive(folder: DeviceFolder, manifest: Manifest, pieces: dict[int, bytes], allowed: str | None) -> list[int]:
    """Keeps pieces of a catalogue, and installs it when all are there; returns the numbers of those still missing. `allowed`: the digest that the
    owner's policy names, if it does.

    Raises `SchemaError` if a piece is broken, `DataError` if the catalogue is not `allowed`, or would renumber items that events are kept by.
    """
    delivery = Delivery(folder.path / "incoming")
    delivery.add(manifest, pieces)
    if not pieces:  # the first of a delivery: what is held already need not come
        delivery.add(manifest, _held(folder, manifest))
    missing = delivery.missing(manifest)
    if not missing:
        catalog = unpack_catalogue(delivery.content(manifest))
        delivery.done()
        install(folder, catalog, allowed)
    return missing


def _held(folder: DeviceFolder, manifest: Manifest) -> dict[int, bytes]:
    """The manifest's pieces that are parts of the catalogue that is there."""
    parts = {hashlib.sha256(part).hexdigest(): part for part in catalogue_parts(Catalog.open(folder.path / "catalog"))}
    return {number: parts[digest] for number, digest in enumerate(manifest.pieces) if digest in parts}


def install(folder: DeviceFolder, catalog: Catalog, allowed: str | None) -> None:
    """Takes the place of the device's catalogue. A kill at any moment leaves the old one or the new one: see `finish_installing`."""
    digest = catalog.digest()
    if allowed is not None and digest != allowed:
        raise DataError(
            f"refused: a catalogue {digest[:16]} is brought, the device's owner allows {allowed[:16]} alone"
        )
    held = list(Catalog.open(folder.path / "catalog").item_ids)
    if list(catalog.item_ids)[: len(held)] != held:
        raise DataError(
            f"refused: a catalogue that does not begin with the {len(held)} items of this device's; its events are kept by their numbers, "
            "so items can only be added"
        )
    fresh = folder.path / "catalog.new"
    shutil.rmtree(fresh, ignore_errors=True)
    draft = folder.path / "catalog.draft"
    shutil.rmtree(draft, ignore_errors=True)
    catalog.save(draft)
    draft.replace(fresh)
    finish_installing(folder)


def finish_installing(folder: DeviceFolder) -> None:
    """Does what a kill left undone: a whole new catalogue takes the place of the old, and the index follows it."""
    fresh, place, old = (folder.path / name for name in ("catalog.new", "catalog", "catalog.old"))
    if not fresh.is_dir():
        return
    # The index first: until the folders are changed it can be written again from the new one.
    write_index(Catalog.open(fresh), folder.index)
    shutil.rmtree(old, ignore_errors=True)
    if place.is_dir():
        place.replace(old)
    fresh.replace(place)
    shutil.rmtree(old, ignore_errors=True)
    shutil.rmtree(folder.path / "catalog.draft", ignore_errors=True)
