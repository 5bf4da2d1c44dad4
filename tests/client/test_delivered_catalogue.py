"""A device that has no copy of the data set: its server brings the catalogue, later one with more items, and never one that renumbers events."""

import contextlib
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from flwr.app import Message, RecordDict
from flwr.common.serde import recorddict_from_proto, recorddict_to_proto
from flwr.proto.recorddict_pb2 import RecordDict as RecordDictBytes

from client import catalogue
from client.catalogue import finish_installing, install
from client.service.catalogue_index import CatalogueIndex
from client.service.folder import DeviceFolder
from client.service.making import make_device
from client.service.training import Trainer
from everbloom.data import catalog_bytes
from everbloom.data.catalog import Catalog
from everbloom.data.catalog_bytes import pack_catalogue
from everbloom.data.strings import StringColumn
from everbloom.errors import ConfigError, DataError, PrivacyError, SchemaError
from everbloom.parcel import CATALOGUE, Manifest, pack_parcel, pieces_of, unpack_missing
from everbloom.signing import sign
from server import distribution
from server.distribution import distribute_catalogue
from server.signed_grid import SignedGrid
from simulation.grid import InProcessGrid, identify, node_of

KEY = Ed25519PrivateKey.generate()
PUBLIC = KEY.public_key().public_bytes_raw().hex()


def shop(items: int, start: str = "item") -> Catalog:
    rng = np.random.default_rng(0)
    titles = [rng.bytes(60).hex() for _ in range(items)]  # what does not compress makes several pieces
    ids = StringColumn.of([f"{start} {number}" for number in range(items)])
    return Catalog(ids, {"title": StringColumn.of(titles)}, {}, np.zeros(items, dtype=np.int64))


@pytest.fixture
def device(tmp_path) -> DeviceFolder:
    return make_device(tmp_path / "device", None, epsilon=2.0, delta=1e-5, server_key=PUBLIC)


def digest(device: DeviceFolder) -> str:
    index = CatalogueIndex(device.index)
    try:
        assert index.digest == Catalog.open(device.path / "catalog").digest()
        return index.digest
    finally:
        index.close()


def ask(device: DeviceFolder, content: RecordDict) -> RecordDict:
    """What the training process answers."""
    body = recorddict_to_proto(content).SerializeToString()
    _, reply = Trainer(device).answer("m", CATALOGUE, body)
    return recorddict_from_proto(RecordDictBytes.FromString(reply))


class Wire:
    """Devices behind an in-process grid; what they are sent can be cut short on its way."""

    def __init__(self, devices: list[DeviceFolder], monkeypatch) -> None:
        identify()
        monkeypatch.setattr(distribution, "_AT_ONCE", 2)
        self.devices = devices
        self.pieces: list[list[str]] = []
        self.spoil = lambda data: data
        self.grid = SignedGrid(InProcessGrid(len(devices), self.answer), KEY)
        self.roster = {number: node_of(number) for number in range(len(devices))}

    def answer(self, messages):
        from flwr.app import Error

        for message in messages:
            client = message.metadata.dst_node_id - node_of(0)
            self.pieces.append(sorted(message.content["pieces"]))
            try:
                yield Message(ask(self.devices[client], self.spoil(message.content)), reply_to=message)
            except (DataError, SchemaError, PrivacyError) as error:
                yield Message(Error(0, str(error)), reply_to=message)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(catalog_bytes, "BLOCK_ITEMS", 50)


def test_devices_get_the_catalogue_and_later_its_new_items(device, tmp_path, monkeypatch, small_pieces):
    other = make_device(tmp_path / "other", shop(100), epsilon=2.0, delta=1e-5, server_key=PUBLIC)
    wire = Wire([device, other], monkeypatch)
    told = distribute_catalogue(wire.grid, wire.roster, shop(100), 60.0)
    assert (told.devices, dict(told.failures)) == (2, {})
    assert digest(device) == shop(100).digest()
    assert wire.pieces[:2] == [[], []], "who has it already is sent nothing"
    assert wire.pieces[2:] == [["0", "1"], ["2"]], "the head and two blocks"
    wire.pieces.clear()
    told = distribute_catalogue(wire.grid, wire.roster, shop(130), 60.0)
    assert told.devices == 2
    assert wire.pieces == [[], [], ["0", "3"], ["0", "3"]], "of what is the same nothing comes again"
    assert digest(device) == digest(other) == shop(130).digest()


def test_a_download_that_was_cut_short_is_done_again_from_there(device, monkeypatch, small_pieces):
    wire = Wire([device], monkeypatch)
    broken = iter([1])

    def cut(content: RecordDict) -> RecordDict:
        if "1" in content["pieces"] and next(broken, None):
            raise SchemaError("piece 1 of a parcel: cut short")
        return content

    wire.spoil = cut
    assert distribute_catalogue(wire.grid, wire.roster, shop(100), 60.0).devices == 1
    assert digest(device) == shop(100).digest()
    assert wire.pieces == [[], ["0", "1"], ["0", "1"], ["2"]]


def test_a_truncated_piece_is_refused_by_the_device_and_the_others_are_kept(device):
    data = pack_catalogue(shop(100))
    manifest, pieces = Manifest.of(data, 3000), pieces_of(data, 3000)
    content = pack_parcel(manifest, {0: pieces[0], 1: pieces[1][:-1]}, shop(100).digest())
    sign(content, KEY)
    with pytest.raises(SchemaError, match="cut short or changed"):
        ask(device, content)
    content = pack_parcel(manifest, {}, shop(100).digest())
    sign(content, KEY)
    assert unpack_missing(ask(device, content))[0] == [1, 2]


def test_a_catalogue_that_nobody_allowed_signed_is_refused(device):
    content = pack_parcel(Manifest.of(b"x"), {}, shop(1).digest())
    with pytest.raises(PrivacyError, match="not signed with the key of a server"):
        ask(device, content)
    sign(content, Ed25519PrivateKey.generate())
    with pytest.raises(PrivacyError, match="not signed with the key of a server"):
        ask(device, content)


def test_items_can_be_added_and_not_renumbered(device):
    install(device, shop(10), None)
    for wrong in (shop(9), shop(20, "thing")):
        with pytest.raises(DataError, match="items can only be added"):
            install(device, wrong, None)
    assert digest(device) == shop(10).digest()


def test_a_policy_that_names_a_catalogue_takes_no_other(tmp_path):
    device = make_device(tmp_path / "device", shop(10), epsilon=2.0, delta=1e-5)
    with pytest.raises(DataError, match="the device's owner allows"):
        install(device, shop(20), shop(10).digest())


@pytest.mark.parametrize("call", range(4))
def test_a_kill_while_it_is_installed_leaves_the_old_or_the_new(device, monkeypatch, call):
    install(device, shop(10), None)
    real, seen = Path.replace, iter(range(10))

    def killed(self, target):
        if next(seen) == call:
            raise KeyboardInterrupt
        return real(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with contextlib.suppress(KeyboardInterrupt):
            install(device, shop(20), None)
    finish_installing(device)
    assert digest(device) in (shop(10).digest(), shop(20).digest())
    install(device, shop(20), None)
    assert digest(device) == shop(20).digest()
    assert not list(device.path.glob("catalog.*"))


def test_a_running_index_follows(device):
    index = CatalogueIndex(device.index)
    assert len(index) == 0
    install(device, shop(10), None)
    assert len(index) == 10
    assert index.number("item 3") == 3
    index.close()


def test_a_device_without_a_catalogue_needs_a_key(tmp_path):
    with pytest.raises(ConfigError, match="give --server-key"):
        make_device(tmp_path / "device", None, epsilon=2.0, delta=1e-5)
    assert not (tmp_path / "device").exists()
    assert catalogue.empty_catalogue().digest()
