"""A device's folder: its own events, the public catalogue, its ledger and its settings. Nothing in it is ever sent as it is."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from flwr.clientapp import ClientApp

from client.answering import make_app
from client.content import device_content
from client.device import Device
from client.identity import DeviceIdentity
from client.ledger import SqliteLedger
from client.personal import StoredPersonal
from client.randomness import Randomness, SeededRandomness, SystemRandomness
from client.workbench import Workbench, build_workbench
from everbloom.data.catalog import Catalog
from everbloom.data.events import EventLog
from everbloom.errors import DataError, PrivacyError
from everbloom.privacy.budget import Budget
from everbloom.wire import Terms

_LEDGER = "ledger.sqlite"
_PERSONAL = "personal.safetensors"
_RESIDUAL = "residual.safetensors"


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
        ledger = new_or_kept_ledger(folder / _LEDGER, budget, period_share)
        DeviceIdentity(folder).make(client, seed)
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
            client,
            log.of(0),
            ledger,
            randomness,
            partial(self._workbench, log),
            DeviceIdentity(self.folder).secure_device(client),
            self._personal,
            StoredPersonal(self.folder / _RESIDUAL),
        )

    @property
    def identity(self) -> bytes:
        """[32 bytes] by which other devices are to know this one; public."""
        return DeviceIdentity(self.folder).public

    def pin(self, directory: Mapping[int, bytes]) -> None:
        """See `DeviceIdentity.pin`."""
        DeviceIdentity(self.folder).pin(directory)

    @property
    def _personal(self) -> StoredPersonal:
        return StoredPersonal(self.folder / _PERSONAL)

    def _workbench(self, log: EventLog, terms: Terms) -> Workbench:
        if terms.model.user.gaps:
            log.check_time("model.user.gaps")
        searched = log.searches.texts if terms.model.user.searches else ()
        return stored_workbench(self.folder, terms.model_dump_json(), searched)


def rehearsal() -> ClientApp:
    """A ClientApp on the folder that a SuperNode's `store` names. The server's code and the events are then in one process: for rehearsals alone."""
    return make_app(lambda context: DeviceStore(Path(str(context.node_config["store"]))).open())


def new_or_kept_ledger(path: Path, budget: Budget | None, period_share: float | None) -> SqliteLedger:
    """A ledger, or the one that is there. Raises `PrivacyError` if that one is damaged or has another budget than the one given."""
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


@lru_cache(maxsize=2)
def stored_workbench(folder: Path, terms_json: str, searched: tuple[str, ...] = ()) -> Workbench:
    """What the terms make of the catalogue in a device's folder, and of what its owner searched for; the last two are kept."""
    terms = Terms.model_validate_json(terms_json)
    catalog = Catalog.open(folder / "catalog")
    content = device_content(catalog, terms.text, terms.model, searched)
    return build_workbench(terms, catalog.there_from, *content)
