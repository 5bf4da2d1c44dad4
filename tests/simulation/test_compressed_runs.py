"""Compressed updates in a federation: the same on every path, over a stop, under privacy; the bytes that they take; what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest

from client.personal import StoredPersonal
from client.store import DeviceStore
from everbloom.compression.sending import sent_bound
from everbloom.errors import CheckpointError, ConfigError, InputError, PrivacyError
from everbloom.methods import COMPRESSIONS
from everbloom.models.compressing import codec_of
from everbloom.seeding import PublicDraws
from everbloom.wire import Task
from server.accounting import Accounting
from server.checkpoint import load_checkpoint
from server.observer import Silent
from server.run_directory import RunDirectory
from simulation.cohort import CohortWorker
from simulation.commands import _bytes
from simulation.devices import DeviceWorker
from simulation.export import export_device
from simulation.residuals import open_residuals
from simulation.run import check_personal, run_in_process

OPTIONS = {"top-k": {"fraction": 0.1}, "8-bit": {"block": 64}, "low-rank": {"rank": 1}, "colr": {"rank": 2}}
CLIENTS = np.array([0, 2, 3, 11])
UNITS = {
    "none": {},
    "example": {"unit": "example", "noise_multiplier": 0.5, "delta": 1e-4, "denominator": 10.0},
    "central": {"unit": "user", "mechanism": "central", "noise_multiplier": 0.5, "delta": 1e-4, "clip_norm": 0.01},
    "local": {"unit": "user", "mechanism": "local", "noise_multiplier": 0.01, "delta": 1e-4, "clip_norm": 0.01},
}


@pytest.fixture
def compressing(small, study_of):
    """(codec, unit, **tables) -> a study of 20 devices over two periods of three rounds."""

    def build(name, unit="none", feedback=True, **tables):
        compression = {"name": name, "feedback": feedback, **OPTIONS[name]}
        sampler = {"sampler": "poisson"} if unit == "central" else {}
        federation = {"rounds": 3, "compression": compression, **sampler, **tables.pop("federation", {})}
        return study_of(small(federation=federation, privacy=UNITS[unit], **tables))

    return build


def run(study, folder: Path) -> RunDirectory:
    directory = RunDirectory.create(folder, study.experiment)
    run_in_process(study, directory, Silent(), resume=False)
    return directory


def parameters(directory: RunDirectory, study) -> np.ndarray:
    return load_checkpoint(directory, study.layout.schema, study.clients).parameters


def near(found: np.ndarray, expected: np.ndarray) -> None:
    """To float tolerance, but for the few entries that stand at a threshold: which of two equal ones is sent, up or down."""
    scale = np.abs(expected).max()
    off = np.abs(found - expected) > 1e-3 * np.abs(expected) + 1e-4 * scale
    assert off.mean() < 0.01
    assert np.abs(found - expected).max() < 0.2 * scale


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("name", COMPRESSIONS.names())
def test_a_job_at_once_is_the_job_device_by_device(compressing, name, unit):
    """Over three rounds, each with what the last one left; whoever is not asked keeps nothing."""
    study = compressing(name, unit)
    codec = codec_of(study.layout, study.experiment.federation.compression)
    arrays = [np.zeros((study.clients, study.layout.size()), dtype=np.float32) for _ in range(3)]
    ledger = np.zeros(study.clients, dtype=np.int32)
    devices = DeviceWorker(study, ledger, None, arrays[0])
    apart, together = (CohortWorker(study, ledger, folded, None, None, arrays[1 + folded]) for folded in (False, True))
    for round in (1, 2, 3):
        ledger[:] = 0
        start, window = study.layout.flat(study.new_model()), study.timeline.window(0)
        task = Task(start, study.layout.schema, study.terms, 0, round, window).pack()
        rows = devices.train(task, CLIENTS).deltas
        assert rows.dtype == np.uint8
        assert rows.shape == (4, codec.size)
        draws = _moment(study, round)
        expected = codec.decode(codec.read(rows), draws)
        near(codec.decode(codec.read(apart.train(task, CLIENTS).deltas), draws), expected)
        near(together.train(task, CLIENTS).deltas[0], expected.sum(axis=0))
        if (bound := sent_bound(study.plan, None)) is not None:
            assert (np.linalg.norm(expected.astype(np.float64), axis=1) <= bound).all()
        for array in arrays[1:]:
            near(array, arrays[0])
    asked = np.isin(np.arange(study.clients), CLIENTS)
    assert np.abs(arrays[0][asked]).max(axis=1).min() > 0
    assert not arrays[0][~asked].any()


def _moment(study, round):
    return PublicDraws(study.terms.seed, np.zeros(1, dtype=np.int64), 0, round)


@pytest.mark.parametrize("name", COMPRESSIONS.names())
def test_runtimes_agree_and_bytes_are_what_travels(compressing, tmp_path, name):
    runs = {}
    for clients, workers in (("together", 1), ("together", 2), ("unfolded", 1), ("one-by-one", 1)):
        if workers == 2 and name != "top-k":
            continue  # starting processes takes longer than all else
        study = compressing(name, runtime={"clients": clients, "workers": workers})
        directory = run(study, tmp_path / f"{clients}-{workers}")
        runs[clients, workers] = parameters(directory, study)
        codec = codec_of(study.layout, study.experiment.federation.compression)
        for record in directory.records("rounds"):
            assert record["bytes_up"] == record["clients"] * codec.size
            assert record["bytes_down"] == 6 * 4 * study.layout.size()
        summary = json.loads((directory.path / "summary.json").read_text())
        assert summary["bytes_up"] == 36 * codec.size < summary["bytes_down"]
        assert _bytes(study)[0] == ("bytes per client and round, up", f"{codec.size:,}")
    first = runs["together", 1]
    for found in runs.values():
        near(found, first)
    if name == "top-k":
        assert np.array_equal(runs["together", 2], first)


@pytest.mark.parametrize("stopped", [(0, 2), (1, 1)])
def test_a_stopped_run_goes_on_to_the_same_result(compressing, tmp_path, monkeypatch, stopped):
    study = compressing("top-k", federation={"checkpoint_every": 2})
    whole = run(study, tmp_path / "whole")
    directory = RunDirectory.create(tmp_path / "stopped", study.experiment)
    ended = Accounting.close_round

    def account(self, state, *arguments):
        ended(self, state, *arguments)
        if (state.period, state.round) == stopped:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Accounting, "close_round", account)
        with pytest.raises(KeyboardInterrupt):
            run_in_process(study, directory, Silent(), resume=False)
    run_in_process(study, directory, Silent(), resume=True)
    assert np.array_equal(parameters(directory, study), parameters(whole, study))
    assert directory.records("metrics") == whole.records("metrics")
    one, other = (np.load(folder.path / "devices" / "residuals.npy") for folder in (directory, whole))
    assert one.any()
    assert np.array_equal(one, other)
    assert len(list((directory.path / "devices").glob("residuals-*.npz"))) == 1


def test_a_checkpoint_without_what_devices_remember_is_refused(compressing, tmp_path):
    study = compressing("top-k")
    directory = run(study, tmp_path / "run")
    state = load_checkpoint(directory, study.layout.schema, study.clients)
    copy = next((directory.path / "devices").glob("residuals-*.npz"))
    copy.write_bytes(b"half")
    with pytest.raises(CheckpointError, match=r"residuals-.*npz: damaged checkpoint"):
        open_residuals(directory.path / "devices", study, state)


def test_without_feedback_nothing_is_kept_and_ray_is_allowed(compressing, tmp_path):
    study = compressing("colr", feedback=False)
    directory = run(study, tmp_path / "run")
    assert not list((directory.path / "devices").glob("residuals*"))
    on_ray = compressing("colr", feedback=False, runtime={"name": "ray"}).experiment
    check_personal(on_ray)
    with pytest.raises(ConfigError, match=r"^federation\.compression\.feedback: Ray workers share no file"):
        check_personal(compressing("colr", runtime={"name": "ray"}).experiment)


def test_a_stored_device_keeps_what_it_could_not_send(compressing, tmp_path):
    study = compressing("top-k")
    store = export_device(study, 2, tmp_path / "device")
    arrays = np.zeros((study.clients, study.layout.size()), dtype=np.float32)
    simulated = DeviceWorker(study, np.zeros(study.clients, dtype=np.int32), None, arrays)
    for round in (1, 2):
        start, window = study.layout.flat(study.new_model()), study.timeline.window(0)
        task = Task(start, study.layout.schema, study.terms, 0, round, window)
        expected = simulated.train(task.pack(), np.array([2])).deltas[0]
        assert np.array_equal(DeviceStore(store.folder).open().train(task).delta, expected)
    kept = StoredPersonal(store.folder / "residual.safetensors").load(task, study.layout.size())
    assert np.array_equal(kept, arrays[2])
    homeless = DeviceStore(store.folder).open()
    object.__setattr__(homeless, "residual", None)
    with pytest.raises(InputError, match="no place for what compression leaves out"):
        homeless.train(task)


REFUSED = {
    "secure aggregation": (
        {"unit": "user", "mechanism": "distributed", "epsilon": 8.0, "delta": 1e-4},
        r"^federation\.compression = \"top-k\": under secure aggregation devices send integers",
    ),
    "adaptive clip": (
        {
            "unit": "user",
            "mechanism": {"name": "central", "adaptive_clip": {"noise": 2.0}},
            "noise_multiplier": 5.0,
            "delta": 1e-4,
        },
        r"^federation\.compression = \"top-k\": with privacy\.mechanism\.adaptive_clip",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_sound_is_refused(compressing, monkeypatch, case):
    privacy, told = REFUSED[case]
    monkeypatch.setitem(UNITS, "none", privacy)
    federation = {"sampler": "poisson"} if "noise_multiplier" in privacy else {"min_replies": 3}
    with pytest.raises(PrivacyError, match=told) as caught:
        compressing("top-k", federation=federation)
    assert "\n" not in str(caught.value)


def test_counted_rounds_are_refused(compressing):
    with pytest.raises(
        ConfigError, match=r"rounds that count \(\[model\.prior\]\) send counts, which must arrive whole"
    ):
        compressing("8-bit", model={"prior": {}})


@pytest.mark.parametrize("algorithm", ["scaffold", "feddyn"])
def test_steered_algorithms_are_refused(compressing, algorithm):
    with pytest.raises(ConfigError, match=f'with learning.algorithm = "{algorithm}" devices remember the update'):
        compressing("top-k", learning={"algorithm": algorithm})
