"""A device's folder: its own events, the public catalogue, its ledger and its settings. Nothing in it is ever sent as it is."""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from client.device import Device
from client.ledger import FileLedger
from client.randomness import Randomness, SeededRandomness, SystemRandomness
from client.workbench import Workbench, build_workbench
from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.data.home import feature_cache
from everbloom.errors import DataError
from everbloom.models.features.catalogue import features_of
from everbloom.wire import Terms


@dataclass(frozen=True)
class DeviceStore:
    """`device.json` (client number, source of randomness), `events/`, `catalog/`, `ledger.jsonl`."""

    folder: Path

    @classmethod
    def create(
        cls, folder: Path, client: int, events: EventLog, catalog: Catalog, seed: int | None = None
    ) -> "DeviceStore":
        """Writes a new device; `events` is a log of its one user. `seed` makes its noise predictable: for tests alone.

        Raises `DataError` if there is a device already.
        """
        if (folder / "device.json").exists():
            raise DataError(
                f"{folder}: there is a device here already; it and its ledger are left as they are, choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        events.save(folder / "events")
        catalog.save(folder / "catalog")
        (folder / "device.json").write_text(json.dumps({"client": client, "seed": seed}))
        return cls(folder)

    def open(self) -> Device:
        """The device. Raises `DataError` if there is none or it holds more than one user."""
        settings_path = self.folder / "device.json"
        if not settings_path.is_file():
            raise DataError(
                f"{self.folder}: no device here (device.json is missing); give --node-config 'store=\"DIR\"' a device's folder"
            )
        settings = json.loads(settings_path.read_text())
        log = EventLog.open(self.folder / "events")
        if log.users != 1:
            raise DataError(f"{self.folder}/events: a device holds one user, this log has {log.users}")
        seed, client = settings["seed"], int(settings["client"])
        randomness: Randomness = SystemRandomness() if seed is None else SeededRandomness(int(seed), client)
        return Device(client, log.of(0), FileLedger(self.folder / "ledger.jsonl"), randomness, self._workbench)

    def _workbench(self, terms: Terms) -> Workbench:
        return _stored_workbench(self.folder, terms.model_dump_json())


@lru_cache(maxsize=2)
def _stored_workbench(folder: Path, terms_json: str) -> Workbench:
    terms = Terms.model_validate_json(terms_json)
    catalog = Catalog.open(folder / "catalog")
    features = features_of(catalog, terms.text, terms.model.items, feature_cache(), lambda done, total: None)
    return build_workbench(terms, len(catalog), features)
