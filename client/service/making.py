"""Making a device: a folder with a catalogue, an empty ledger, an identity and the owner's policy."""

import json
import os
from pathlib import Path

from client.catalogue import empty_catalogue
from client.identity import DeviceIdentity
from client.service.catalogue_index import write_index
from client.service.folder import DeviceFolder
from client.service.policy import NEW_POLICY, read_policy
from client.service.private_store import PrivateStore
from client.store import new_or_kept_ledger
from everbloom.data.catalog import Catalog
from everbloom.errors import ConfigError, DataError


def make_device(
    path: Path,
    catalog: Catalog | None,
    client: int = 0,
    policy: Path | str | None = None,
    epsilon: float | None = None,
    delta: float | None = None,
    min_cohort: int = 10,
    seed: int | None = None,
    server_key: str | None = None,
) -> DeviceFolder:
    """`client`: its number in the federation. `catalog` None: the server brings it. `server_key`: the key of the one server that a new policy allows,
    whichever catalogue it brings. `policy`: a file or its text; without one, `epsilon` and `delta` fill in a new one. `seed` makes its
    noise predictable: for rehearsals alone.

    A ledger, an identity or a policy that is there already is kept. Raises `DataError` if there is a device, `InputError` if what is given is wrong.
    """
    folder = DeviceFolder(path)
    if folder.settings_file.exists():
        raise DataError(
            f"{path}: there is a device here already; it and its ledger are left as they are, choose another folder"
        )
    if catalog is None:
        catalog = empty_catalogue()
        if policy is None and server_key is None:
            raise ConfigError(
                "a device without a catalogue needs its server's key, or it would take one from anybody: give --server-key"
            )
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    if not folder.policy.exists():
        _write_policy(folder, catalog, policy, epsilon, delta, min_cohort, server_key)
    owner = read_policy(folder.policy)
    catalog.save(path / "catalog")
    write_index(catalog, folder.index)
    ledger = new_or_kept_ledger(folder.ledger, None, owner.period_share)
    DeviceIdentity(path).make(client, seed)
    PrivateStore(folder.store).close()
    folder.token()
    # Last: the settings say that there is a device, and which ledger must be found from now on.
    _write(folder.settings_file, json.dumps({"client": client, "seed": seed, "ledger": ledger.ledger}))
    return folder


def _write_policy(
    folder: DeviceFolder,
    catalog: Catalog,
    policy: Path | str | None,
    epsilon: float | None,
    delta: float | None,
    min_cohort: int,
    server_key: str | None,
) -> None:
    if policy is None:
        if epsilon is None or delta is None:
            raise ConfigError(
                "a device needs its owner's policy: give --policy FILE, or --epsilon and --delta for all that it may ever spend"
            )
        digest = catalog.digest()
        policy = NEW_POLICY.format(epsilon=epsilon, delta=delta, min_cohort=min_cohort, catalogue=digest)
        if server_key is not None:
            pinned, free = f'catalogue = "{digest}"', '# catalogue = "..."      # no other catalogue'
            policy = policy.replace(pinned, free).replace('# key = "..."', f'key = "{server_key}"')
    elif isinstance(policy, Path):
        if not policy.is_file():
            raise ConfigError(f"{policy}: no such file; --policy names the owner's policy")
        policy = policy.read_text(encoding="utf-8")
    _write(folder.policy, policy)


def _write(path: Path, text: str) -> None:
    """Its owner's alone, whole and on disk."""
    fresh = path.with_name(f".{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(path)
