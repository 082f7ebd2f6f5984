import csv
import functools
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest

from biojepa.data.prepare import prepare_store
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError, DataError, FormatError, RunError
from tests.conftest import ROOT
from tests.data.store_factory import LEADS, make_recording, read_for_prepare


def _write_files(folder, n_files, *, bad=()):
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{k:03d}.x" for k in range(n_files)]
    for k, path in enumerate(paths):
        path.write_text("broken" if k in bad else str(k))
    return paths


def halve(recording, *, factor=0.5):
    """Arrange a recording by halving it."""
    return replace(recording, values=recording.values * np.float32(factor))


def die(path):
    """Read as a reader that kills its process."""
    os._exit(3)


def test_files_become_records_in_their_order(tmp_path):
    paths = _write_files(tmp_path / "in", 10)
    seen = []
    report = prepare_store(
        paths,
        tmp_path / "out",
        read=read_for_prepare,
        channels=LEADS,
        arrange=halve,
        shard_records=4,
        progress=lambda done, total: seen.append((done, total)),
    )
    store = SignalStore(tmp_path / "out")
    assert store.record_ids.tolist() == [f"record-{k}" for k in range(10)]
    np.testing.assert_allclose(store.read(3), make_recording(3).values / 2, atol=1e-4)
    assert (report.n_written, report.n_resumed, report.skipped.skips) == (10, 0, [])
    assert report.fingerprint == store.fingerprint
    assert seen == [(k, 10) for k in range(1, 11)]
    assert store.recording(0).source == str(paths[0])


def test_two_workers_write_the_same_bytes_as_none(tmp_path):
    paths = _write_files(tmp_path / "in", 40, bad={17})
    settings = {"channels": LEADS, "arrange": functools.partial(halve, factor=0.25)}
    found = [
        prepare_store(paths, tmp_path / f"out{n}", read=read_for_prepare, workers=n, **settings)
        for n in (0, 2)
    ]
    assert found[0].fingerprint == found[1].fingerprint
    assert found[0].skipped == found[1].skipped


def test_bad_files_are_listed_and_left_out(tmp_path):
    paths = _write_files(tmp_path / "in", 40, bad={3, 20})
    paths[20].unlink()  # not there at all
    report = prepare_store(paths, tmp_path / "out", read=read_for_prepare, channels=LEADS)
    assert (report.n_written, len(report.skipped.skips)) == (38, 2)
    assert "38 records written" in str(report)
    assert "2 left out" in str(report)
    with open(tmp_path / "out" / "skipped.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [str(paths[3]), str(paths[20])]
    assert "expected a number" in rows[0]["message"]
    assert rows[0]["reason"].startswith("FormatError")


def test_too_many_bad_files_are_an_error(tmp_path):
    paths = _write_files(tmp_path / "in", 40, bad={1, 2, 3})
    with pytest.raises(DataError, match="max_bad_fraction"):
        prepare_store(paths, tmp_path / "out", read=read_for_prepare, channels=LEADS)
    assert (tmp_path / "out" / "skipped.csv").read_text().count("\n") == 4
    prepare_store(
        paths, tmp_path / "out", read=read_for_prepare, channels=LEADS, max_bad_fraction=0.1
    )
    assert len(SignalStore(tmp_path / "out")) == 37


def test_a_bad_file_stops_if_asked_for(tmp_path):
    paths = _write_files(tmp_path / "in", 40, bad={3})
    with pytest.raises(FormatError, match=r"003\.x"):
        prepare_store(
            paths, tmp_path / "out", read=read_for_prepare, channels=LEADS, on_error="raise"
        )


def test_recordings_of_other_channels_are_skipped(tmp_path):
    paths = _write_files(tmp_path / "in", 2)
    with pytest.raises(DataError, match="2 of 2 files"):
        prepare_store(paths, tmp_path / "out", read=read_for_prepare, channels=("I",))


def _read_five(path):
    first = 5 * int(path.removesuffix(".npz"))
    for k in range(first, first + 5):
        yield replace(make_recording(k), source="")


def test_a_file_of_several_records_is_continued_in_its_middle(tmp_path):
    paths = ["0.npz", "1.npz", "2.npz"]
    settings = {"channels": LEADS, "shard_records": 4}

    def stop_at_13(path):
        for recording in _read_five(path):
            if recording.record_id == "record-13":
                raise KeyboardInterrupt
            yield recording

    with pytest.raises(KeyboardInterrupt):
        prepare_store(paths, tmp_path / "out", read=stop_at_13, **settings)
    assert len(SignalStore(tmp_path / "out")) == 12
    report = prepare_store(paths, tmp_path / "out", read=_read_five, **settings)
    assert (report.n_resumed, report.n_written) == (12, 3)
    store = SignalStore(tmp_path / "out")
    assert store.record_ids.tolist() == [f"record-{k}" for k in range(15)]
    whole = prepare_store(paths, tmp_path / "whole", read=_read_five, **settings)
    assert whole.fingerprint == report.fingerprint


def test_one_bad_record_does_not_take_its_file_along(tmp_path):
    def read(path):
        for recording in _read_five(path):
            bad = recording.record_id == "record-2"
            yield replace(recording, rate_hz=0.0) if bad else recording

    for n_written in (9, 0):
        report = prepare_store(
            ["0.npz", "1.npz"], tmp_path / "out", read=read, channels=LEADS, shard_records=2
        )
        assert report.n_written == n_written
        assert [entry.path for entry in report.skipped.skips] == ["0.npz"]
        assert "record-2" in report.skipped.skips[0].message


def test_preparing_again_reads_only_what_is_new(tmp_path):
    paths = _write_files(tmp_path / "in", 10)
    prepare_store(paths[:6], tmp_path / "out", read=read_for_prepare, channels=LEADS)
    read = []

    def note(path):
        read.append(path)
        return read_for_prepare(path)

    report = prepare_store(paths, tmp_path / "out", read=note, channels=LEADS)
    # the last file is read again: it might have held further records
    assert read == [str(path) for path in paths[5:]]
    assert (report.n_written, report.n_resumed) == (4, 6)
    assert len(SignalStore(tmp_path / "out")) == 10
    with pytest.raises(RunError, match="resume=True"):
        prepare_store(paths, tmp_path / "out", read=read_for_prepare, channels=LEADS, resume=False)


_CHILD = """
import sys
from pathlib import Path
from tests.data.store_factory import LEADS, read_for_prepare
from biojepa.data.prepare import prepare_store

def note(done, total):
    print(done, flush=True)

if __name__ == "__main__":
    paths = sorted(Path(sys.argv[1]).glob("*.x"))
    prepare_store(paths, sys.argv[2], read=read_for_prepare, channels=LEADS, shard_records=5,
                  workers=int(sys.argv[3]), progress=note)
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_a_killed_preparation_is_continued_to_the_same_bytes(tmp_path, workers):
    paths = _write_files(tmp_path / "in", 60, bad={30})
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    command = [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "out")]
    child = subprocess.Popen(
        [*command, str(workers)],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    for _ in range(23):
        child.stdout.readline()
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    n_kept = len(SignalStore(tmp_path / "out", verify=True))
    assert n_kept >= 20
    settings = {"read": read_for_prepare, "channels": LEADS, "shard_records": 5}
    report = prepare_store(paths, tmp_path / "out", **settings)
    assert report.n_resumed == n_kept
    assert len(report.skipped.skips) == 1
    assert report.fingerprint == prepare_store(paths, tmp_path / "whole", **settings).fingerprint


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs Linux's /proc")
def test_no_worker_outlives_a_killed_preparation(tmp_path):
    _write_files(tmp_path / "in", 60)
    script = tmp_path / "child.py"
    script.write_text(_CHILD)
    child = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "in"), str(tmp_path / "out"), "2"],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    child.stdout.readline()
    with open(f"/proc/{child.pid}/task/{child.pid}/children") as file:
        workers = [int(word) for word in file.read().split()]
    assert workers
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(_runs(pid) for pid in workers):
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in workers)


def _runs(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_dead_worker_is_an_error_and_not_a_hang(tmp_path):
    paths = _write_files(tmp_path / "in", 3)
    with pytest.raises(RunError, match="worker process died"):
        prepare_store(paths, tmp_path / "out", read=die, channels=LEADS, workers=1)


def test_functions_that_workers_cannot_import_are_refused_first(tmp_path):
    paths = _write_files(tmp_path / "in", 3)
    for read in (lambda path: None, functools.partial(lambda path: None)):
        with pytest.raises(ConfigError, match="top of a module"):
            prepare_store(paths, tmp_path / "out", read=read, channels=LEADS, workers=2)


def test_no_file_or_the_same_file_twice_is_refused(tmp_path):
    settings = {"read": read_for_prepare, "channels": LEADS}
    with pytest.raises(DataError, match="at least one"):
        prepare_store([], tmp_path / "out", **settings)
    with pytest.raises(DataError, match=r"a\.x is listed twice"):
        prepare_store(["a.x", "b.x", "a.x"], tmp_path / "out", **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "change", [{"on_error": "ignore"}, {"workers": -1}, {"max_bad_fraction": 2}]
)
def test_settings_out_of_range_are_refused(tmp_path, change):
    with pytest.raises(ConfigError):
        prepare_store(["a"], tmp_path / "out", read=read_for_prepare, channels=LEADS, **change)


HOSTILE = ["=HYPERLINK(1).x", "+1.x", "@SUM.x", "-2.x", "\t=1.x", "bad\udce9.x"]


def test_hostile_file_names_cannot_become_formulas(tmp_path):
    def refuse(path):
        raise FormatError(f"=1+1 {path}")

    with pytest.raises(DataError, match="6 of 6"):
        prepare_store(HOSTILE, tmp_path / "out", read=refuse, channels=LEADS)
    with open(tmp_path / "out" / "skipped.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    assert len(rows) == len(HOSTILE)
    assert not any(cell.strip()[0] in "=+-@" for row in rows for cell in row)


def test_many_unlike_names_do_not_crash_the_store(tmp_path):
    names = ["A.x", "a.x", "é.x", "e\u0301.x", "n" * 300, "trail ", "\udcff"]

    def read(path):
        return Recording(np.zeros((3, 5)), LEADS, 100, record_id=path)

    prepare_store(names, tmp_path / "out", read=read, channels=LEADS)
    assert SignalStore(tmp_path / "out").record_ids.tolist() == names
