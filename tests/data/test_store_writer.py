import os
import random
import resource
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.errors import DataError, FormatError, LeadError, RunError
from tests.conftest import ROOT
from tests.data.store_factory import LEADS, make_recording, write_store


def _files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_finished_shards_and_a_manifest_are_all_that_is_left(tmp_path):
    folder = write_store(tmp_path / "s", 10)
    shards = [f"shard-0000{k}.h5" for k in range(3)]
    assert _files(folder) == ["manifest.json", *shards, "writer.lock"]


def _write_and_fail(folder):
    with StoreWriter(folder, channels=LEADS, shard_records=4) as writer:
        for k in range(6):
            writer.add(make_recording(k))
        raise ZeroDivisionError


def test_an_interrupted_store_is_continued_to_the_same_bytes(tmp_path):
    whole = SignalStore(write_store(tmp_path / "whole", 10)).fingerprint
    with pytest.raises(ZeroDivisionError):
        _write_and_fail(tmp_path / "s")
    assert len(SignalStore(tmp_path / "s")) == 4
    with StoreWriter(tmp_path / "s", channels=LEADS, shard_records=4) as writer:
        assert writer.done_sources == {f"files/{k}.hea" for k in range(4)}
        for k in range(10):
            if f"files/{k}.hea" not in writer.done_sources:
                writer.add(make_recording(k))
    assert SignalStore(tmp_path / "s").fingerprint == whole


_CHILD = """
import sys
from pathlib import Path
from tests.data.store_factory import LEADS, make_recording
from biojepa.data.store_writer import StoreWriter

with StoreWriter(Path(sys.argv[1]), channels=LEADS, shard_records=3) as writer:
    print("begun", flush=True)
    for k in range(60):
        if f"files/{k}.hea" not in writer.done_sources:
            writer.add(make_recording(k, n_times=4000, on_grid=False))
"""


def test_ten_kills_leave_a_valid_store_that_ends_like_an_undisturbed_one(tmp_path):
    def start(folder):
        command = [sys.executable, "-c", _CHILD, str(folder)]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)

    child = start(tmp_path / "whole")
    child.stdout.readline()
    begun = time.monotonic()
    assert child.wait() == 0
    child.stdout.close()
    duration_s = time.monotonic() - begun
    rng = random.Random(0)
    lengths, n_killed = [], 0
    for _ in range(10):
        child = start(tmp_path / "s")
        child.stdout.readline()
        time.sleep(rng.random() * duration_s * 0.3)
        child.send_signal(signal.SIGKILL)
        n_killed += child.wait() == -signal.SIGKILL
        child.stdout.close()
        lengths.append(len(SignalStore(tmp_path / "s", verify=True)))
    assert lengths == sorted(lengths)
    assert n_killed >= 1
    child = start(tmp_path / "s")
    assert child.wait() == 0
    child.stdout.close()
    assert _files(tmp_path / "s") == _files(tmp_path / "whole")
    assert SignalStore(tmp_path / "s").fingerprint == SignalStore(tmp_path / "whole").fingerprint


def test_what_a_killed_writer_left_is_cleared_at_the_next_start(tmp_path):
    folder = write_store(tmp_path / "s", 4)
    for name in ("shard-00001.samples.tmp", "shard-00001.h5.tmp", "manifest.json.tmp"):
        (folder / name).write_bytes(b"left over")
    (folder / "shard-00001.h5").write_bytes(b"renamed, but not yet listed")
    (folder / "skipped.csv").write_text("mine")
    StoreWriter(folder, channels=LEADS).finish()
    assert _files(folder) == ["manifest.json", "shard-00000.h5", "skipped.csv", "writer.lock"]


def _write_large_records(folder):
    with StoreWriter(folder, channels=LEADS, shard_records=4) as writer:
        for k in range(4, 12):
            writer.add(make_recording(k, n_times=2500))


@pytest.mark.parametrize("limit", [2_000, 30_000, 60_500])
def test_a_full_disk_is_one_error_and_keeps_the_finished_shards(tmp_path, limit):
    # a shard of 4 records has 4 x 3 x 2500 samples, 60,000 bytes, and about 4 kB of tables
    folder = write_store(tmp_path / "s", 4)
    before = SignalStore(folder).fingerprint
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(RunError, match="bytes to write") as caught:
            _write_large_records(folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(folder) in str(caught.value)
    assert isinstance(caught.value, OSError)
    assert SignalStore(folder, verify=True).fingerprint == before
    assert _files(folder) == ["manifest.json", "shard-00000.h5", "writer.lock"]
    with StoreWriter(folder, channels=LEADS, shard_records=4) as writer:
        writer.add(make_recording(5))
    assert len(SignalStore(folder)) == 5


def test_a_writer_that_failed_stays_closed(tmp_path):
    writer = StoreWriter(tmp_path / "s", channels=LEADS)
    writer.close()
    with pytest.raises(RunError, match="closed"):
        writer.add(make_recording(0))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_a_run_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(RunError, match="permissions"):
            StoreWriter(tmp_path / "s", channels=LEADS)
    finally:
        tmp_path.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_is_a_run_error(tmp_path):
    (tmp_path / "s").write_text("x")
    with pytest.raises(RunError):
        StoreWriter(tmp_path / "s", channels=LEADS)


def test_a_folder_with_other_files_is_not_written_into(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"thesis\.tex"):
        StoreWriter(tmp_path, channels=LEADS)
    assert "manifest.json" not in _files(tmp_path)


def test_two_writers_do_not_share_a_folder(tmp_path):
    with StoreWriter(tmp_path / "s", channels=LEADS):
        with pytest.raises(RunError, match="another process"):
            StoreWriter(tmp_path / "s", channels=LEADS)


def test_a_store_is_continued_only_with_the_same_layout_and_recipe(tmp_path):
    settings = {"channels": LEADS, "unit": "mV", "recipe": {"rate_hz": 100}}
    StoreWriter(tmp_path / "s", **settings).finish()
    StoreWriter(tmp_path / "s", **settings).finish()
    for change in ({"channels": ("I",)}, {"unit": "uV"}, {"recipe": {"rate_hz": 250}}):
        with pytest.raises(RunError, match=next(iter(change))):
            StoreWriter(tmp_path / "s", **{**settings, **change})
    assert SignalStore(tmp_path / "s").recipe == {"rate_hz": 100}


def test_a_damaged_store_is_not_continued(tmp_path):
    folder = write_store(tmp_path / "s", 4)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(FormatError):
        StoreWriter(folder, channels=LEADS)


def test_volts_and_microvolts_become_the_unit_of_the_store(tmp_path):
    x = np.array([[1.0, -2.0], [0.5, 0.0], [0.0, 3.0]])
    with StoreWriter(tmp_path / "s", channels=LEADS) as writer:
        writer.add(Recording(x * 1000, LEADS, 100, unit="uV"))
        writer.add(Recording(x / 1000, LEADS, 100, unit="V"))
        with pytest.raises(DataError, match="arbitrary"):
            writer.add(Recording(x, LEADS, 100, unit="arbitrary"))
    for values in SignalStore(tmp_path / "s").read_batch([0, 1]):
        np.testing.assert_allclose(values, x, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"channels": ("I", "V1", "II")}, LeadError),
        ({"channels": ("I", "II")}, LeadError),
        ({"values": np.zeros((2, 5))}, DataError),
        ({"values": np.zeros((3, 0))}, DataError),
        ({"values": np.full((3, 5), np.inf)}, DataError),
        ({"rate_hz": 0.0}, DataError),
        ({"rate_hz": np.nan}, DataError),
        ({"labels": {"x": object()}}, DataError),
    ],
)
def test_a_recording_that_does_not_fit_is_refused_and_leaves_no_trace(tmp_path, change, error):
    fields = {"values": np.zeros((3, 5)), "channels": LEADS, "rate_hz": 100.0, "record_id": "r7"}
    with StoreWriter(tmp_path / "s", channels=LEADS) as writer:
        writer.add(make_recording(0))
        with pytest.raises(error, match="r7"):
            writer.add(Recording(**{**fields, **change}))
        writer.add(make_recording(1))
    assert SignalStore(tmp_path / "s").record_ids.tolist() == ["record-0", "record-1"]


def test_labels_with_numpy_numbers_and_nan_are_kept_as_json(tmp_path):
    labels = {"age": np.float64(61), "weight": float("nan"), "codes": np.array([1, 2]), 3: True}
    with StoreWriter(tmp_path / "s", channels=LEADS) as writer:
        writer.add(Recording(np.zeros((3, 5)), LEADS, 100, labels=labels))
    found = SignalStore(tmp_path / "s").recording(0).labels
    assert found == {"age": 61.0, "weight": None, "codes": [1, 2], "3": True}


@pytest.mark.parametrize("channels", [(), ("I", "I")])
def test_channel_names_must_differ(tmp_path, channels):
    with pytest.raises(LeadError):
        StoreWriter(tmp_path / "s", channels=channels)
