"""A device's folder: its own events, the public catalogue, its ledger and its settings. Nothing in it is ever sent as it is."""

import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from client.device import Device
from client.ledger import SqliteLedger
from client.personal import StoredPersonal
from client.randomness import Randomness, SeededRandomness, SystemRandomness
from client.workbench import Workbench, build_workbench
from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.data.home import feature_cache
from everbloom.errors import DataError, PrivacyError
from everbloom.models.features.catalogue import features_of, with_searches
from everbloom.models.towers.states import item_states
from everbloom.privacy.budget import Budget
from everbloom.privacy.secure_aggregation.device import SecureDevice
from everbloom.privacy.secure_aggregation.keys import identity
from everbloom.privacy.secure_aggregation.record import FolderRecord
from everbloom.privacy.secure_aggregation.simulation import simulated_secrets
from everbloom.privacy.secure_aggregation.terms import Policy
from everbloom.wire import Terms

_LEDGER = "ledger.sqlite"
_SECRET = "secret.key"
_DIRECTORY = "directory.json"
_PERSONAL = "personal.safetensors"


@dataclass(frozen=True)
class DeviceStore:
    """`device.json` (client number, source of randomness, which ledger), `events/`, `catalog/`, `ledger.sqlite`; for secure aggregation `secret.key`,
    `directory.json` (other devices' identities, from the operator and never from a server) and `commitments/`. `personal.safetensors`: what it has
    learnt for itself, under a model with personal parameters.
    """

    folder: Path

    @classmethod
    def create(
        cls,
        folder: Path,
        client: int,
        events: EventLog,
        catalog: Catalog,
        seed: int | None = None,
        budget: Budget | None = None,
        period_share: float | None = None,
    ) -> "DeviceStore":
        """Writes a new device; `events` is a log of its one user. `seed` makes its noise predictable: for tests alone.

        `budget` and `period_share` are its ledger's; without a budget the first plan sets it. A ledger that is there already, from a device that was
        taken away and comes back, goes on as it is: what was spent stays spent. Raises `DataError` if there is a device already, `PrivacyError` if
        that ledger is damaged or has another budget than the one given.
        """
        if (folder / "device.json").exists():
            raise DataError(
                f"{folder}: there is a device here already; it and its ledger are left as they are, choose another folder"
            )
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        events.save(folder / "events")
        catalog.save(folder / "catalog")
        ledger = _new_or_kept_ledger(folder / _LEDGER, budget, period_share)
        _new_or_kept_secret(folder / _SECRET, client, seed)
        # Last: the settings say that there is a device, and which ledger must be found from now on.
        settings = {"client": client, "seed": seed, "ledger": ledger.ledger}
        (folder / "device.json").write_text(json.dumps(settings))
        return cls(folder)

    def open(self) -> Device:
        """The device. Raises `DataError` if there is none or it holds more than one user.

        Raises `PrivacyError` if its ledger is missing, damaged or not the one that it was created with.
        """
        settings_path = self.folder / "device.json"
        if not settings_path.is_file():
            raise DataError(
                f"{self.folder}: no device here (device.json is missing); give --node-config 'store=\"DIR\"' a device's folder"
            )
        settings = json.loads(settings_path.read_text())
        if "ledger" not in settings:
            raise DataError(
                f"{settings_path}: names no ledger; an earlier version wrote it, whose ledger this one cannot read, so what was spent is unknown"
            )
        ledger = SqliteLedger(self.folder / _LEDGER, settings["ledger"])
        ledger.account()
        log = EventLog.open(self.folder / "events")
        if log.users != 1:
            raise DataError(f"{self.folder}/events: a device holds one user, this log has {log.users}")
        seed, client = settings["seed"], int(settings["client"])
        randomness: Randomness = SystemRandomness() if seed is None else SeededRandomness(int(seed), client)
        return Device(
            client, log.of(0), ledger, randomness, partial(self._workbench, log), self._secure(client), self._personal
        )

    @property
    def identity(self) -> bytes:
        """[32 bytes] by which other devices are to know this one; public."""
        return identity(self._secret())

    def pin(self, directory: Mapping[int, bytes]) -> None:
        """Keeps the identities of the devices that this one may meet in secure aggregation, by client number; its own among them.

        Raises `PrivacyError` if they are pinned already and differ: whoever could change them could listen in.
        """
        path = self.folder / _DIRECTORY
        text = json.dumps({str(client): key.hex() for client, key in sorted(directory.items())}, indent=0)
        if path.exists() and path.read_text() != text:
            raise PrivacyError(f"{path}: other devices are pinned here already; remove the file to trust new ones")
        path.write_text(text)

    def _secure(self, client: int) -> SecureDevice | None:
        """Its part in secure aggregation; None if it knows no other devices."""
        path = self.folder / _DIRECTORY
        if not path.is_file():
            return None
        try:
            directory = {int(number): bytes.fromhex(key) for number, key in json.loads(path.read_text()).items()}
        except (ValueError, AttributeError, TypeError):
            raise PrivacyError(f"{path}: damaged; expected client numbers and identities in hexadecimal") from None
        record = FolderRecord(self.folder / "commitments")
        return SecureDevice(client, self._secret(), directory, record, Policy(minimum=3))

    @property
    def _personal(self) -> StoredPersonal:
        return StoredPersonal(self.folder / _PERSONAL)

    def _secret(self) -> bytes:
        """Raises `PrivacyError` unless it is there and whole: an identity must not follow from an empty file."""
        path = self.folder / _SECRET
        secret = path.read_bytes() if path.is_file() else b""
        if len(secret) != 32:
            raise PrivacyError(f"{path}: expected this device's 32-byte secret, found {len(secret)} bytes")
        return secret

    def _workbench(self, log: EventLog, terms: Terms) -> Workbench:
        if terms.model.user.gaps:
            log.check_time("model.user.gaps")
        return _stored_workbench(self.folder, terms.model_dump_json())


def _new_or_kept_secret(path: Path, client: int, seed: int | None) -> None:
    """The device's long-term secret; a simulated device's follows from the seed, so that what it sends can be repeated."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(secrets.token_bytes(32) if seed is None else simulated_secrets(seed, [client])[client])
        stream.flush()
        os.fsync(stream.fileno())


def _new_or_kept_ledger(path: Path, budget: Budget | None, period_share: float | None) -> SqliteLedger:
    if not path.exists():
        return SqliteLedger.create(path, budget, period_share)
    account = SqliteLedger(path).account()
    if (budget is not None and budget != account.budget) or (
        period_share is not None and period_share != account.period_share
    ):
        raise PrivacyError(
            f"{path}: there is a ledger with another budget here; it is kept, and what it allows cannot be changed"
        )
    return SqliteLedger(path, account.ledger)


def _quiet(done: int, total: int) -> None:
    pass


@lru_cache(maxsize=2)
def _stored_workbench(folder: Path, terms_json: str) -> Workbench:
    terms = Terms.model_validate_json(terms_json)
    catalog = Catalog.open(folder / "catalog")
    features = features_of(catalog, terms.text, terms.model.items, feature_cache(), _quiet)
    if terms.model.user.searches:
        searched = EventLog.open(folder / "events").searches.texts
        features = with_searches(features, searched, terms.model, None, _quiet)
    texts = item_states(catalog, terms.text, terms.model.items, feature_cache(), _quiet)
    return build_workbench(terms, catalog.first_seen, features, texts)
