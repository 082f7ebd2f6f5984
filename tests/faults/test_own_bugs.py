"""A mistake in our own code surfaces as what it is, through every reader and the command line.

A KeyError is planted deep in each reader. Had a blanket `except` turned it into a damaged file, a
bug of ours would look like a fault of the user's recordings, and be skipped and reported as one.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.data.cards import load_card
from biojepa.data.databases.layouts import database_files
from biojepa.data.describe import describe_file
from biojepa.data.describe_eeg import describe_eeg
from biojepa.data.eeg_reader import read_eeg
from biojepa.data.eeg_store import prepare_eeg
from biojepa.data.files import read_ecg, read_many
from biojepa.data.safe_yaml import load_yaml
from biojepa.data.store import SignalStore
from biojepa.ecg import ptbxl
from tests.conftest import ROOT
from tests.data import format_factory as factory
from tests.data.databases import miniature
from tests.data.eeg_factory import write_brainvision, write_edf, write_eeglab, write_fif
from tests.data.store_factory import write_store
from tests.eeg.published import needs_eeg
from tests.faults.models import load, put
from tests.faults.test_hdf5_arrays import PLAIN, archive
from tests.faults.test_labels import LINES
from tests.faults.test_wfdb import good

COUNTS = factory.twelve_counts()
LEADS = list(factory.STANDARD_12)


def file_of(name: str, content: bytes | str | Callable[[Path], Any]) -> Callable[[Path], Path]:
    """Write a sound file of a kind."""

    def make(root: Path) -> Path:
        path = root / name
        if callable(content):
            content(path)
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


NOISE = np.random.default_rng(0).normal(0, 0.3, (50, 2))
TABLE = "time [s],I [mV],II [mV]\n" + "".join(
    f"{t / 100},{a},{b}\n" for t, (a, b) in enumerate(NOISE)
)
NPZ = archive(("x.npy", PLAIN))
# file, and where in the reader of its kind the mistake is
RECORDINGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "wfdb-header": (lambda root: good(root), "biojepa.data.wfdb_header._layout"),
    "wfdb-samples": (lambda root: good(root), "biojepa.data.wfdb_reader._decode"),
    "csv": (file_of("x.csv", TABLE), "biojepa.data.tables._split_unit"),
    "npy": (file_of("x.npy", PLAIN), "biojepa.data.arrays.convert"),
    "npz": (file_of("x.npz", NPZ), "biojepa.data.arrays._signal_key"),
    "edf": (
        file_of("x.edf", factory.edf_bytes(COUNTS, labels=LEADS)),
        "biojepa.data.edf_reader._physical",
    ),
    "dicom": (
        file_of("x.dcm", lambda path: factory.write_dicom(path, COUNTS)),
        "biojepa.data.dicom_reader._sensitivity",
    ),
    "scp": (
        file_of("x.scp", factory.scp_bytes(COUNTS)),
        "biojepa.data.scp_reader._decoded",
    ),
    "aecg": (file_of("x.xml", factory.aecg_xml(COUNTS)), "biojepa.data.aecg_reader._samples"),
    "muse": (
        file_of("x.xml", factory.muse_xml(COUNTS[:8], [*LEADS[:2], *LEADS[6:]])),
        "biojepa.data.muse_reader._samples",
    ),
    "philips": (
        file_of("x.xml", factory.philips_xml(COUNTS)),
        "biojepa.data.philips_reader._without_residuals",
    ),
    "mat": (
        file_of("x.mat", lambda path: factory.write_mat(path, {"val": COUNTS / 200.0})),
        "biojepa.data.mat_reader._labels",
    ),
    "mat-hdf5": (
        file_of("x.mat", lambda p: factory.write_mat(p, {"val": COUNTS / 200.0}, version="7.3")),
        "biojepa.data.mat_hdf5._dataset",
    ),
}
OTHERS: dict[str, tuple[Callable[[Path], Callable[[], Any]], str]] = {
    "store": (
        lambda root: lambda path=root / "store": SignalStore(write_store(path, 3)).read(0),
        "biojepa.data._shard._place",
    ),
    "code-15": (
        lambda root: lambda: code15(root),
        "biojepa.data.databases.code15._span",
    ),
    "code-15-hdf5": (lambda root: lambda: code15(root), "biojepa.data.databases.hdf5._checked"),
    "labels": (lambda root: lambda: table(root), "biojepa.ecg.ptbxl._integers"),
    "yaml": (
        lambda root: lambda: load_yaml("a: 1\n"),
        "biojepa.data.safe_yaml._Loader.compose_node",
    ),
    "card": (lambda root: lambda: load_card("ptb-xl"), "biojepa.data.cards._text"),
    "model-settings": (
        lambda root: lambda: load("model", put("model", root)),
        "biojepa.ecg._folder_settings.fit_config",
    ),
    "model-options": (
        lambda root: lambda: load("model", put("model", root)),
        "biojepa.ecg._encoder_file.check_options",
    ),
    "model-network": (
        lambda root: lambda: load("model", put("model", root)),
        "biojepa.ecg._encoder_file.build_jepa",
    ),
    "checkpoint": (
        lambda root: lambda: load("checkpoint", put("checkpoint", root)),
        "biojepa.engine.checkpoint._copy_into",
    ),
    "published": (
        lambda root: lambda: load("published.pt", put("published.pt", root)),
        "biojepa.ecg.official.fit_config",
    ),
}


EEGS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "edf": (lambda root: write_edf(root / "a.edf"), "biojepa.data.eeg_reader._eeg_signals"),
    "fif": (lambda root: write_fif(root / "a_raw.fif"), "biojepa.data.eeg_reader.take_bids"),
    "brainvision": (write_brainvision, "biojepa.data.eeg_reader._stay_beside"),
    "eeglab": (
        lambda root: write_eeglab(root / "a.set"),
        "biojepa.data.eeg_reader._refuse_outside",
    ),
}


def code15(root: Path) -> int:
    """Read the first stretch of a miniature CODE-15."""
    files = database_files("code-15", miniature.code15(root / "in"), rate_hz=None, published=False)
    return len(list(files.read(files.paths[0])))


def table(root: Path) -> int:
    """Read a label table."""
    (root / "ptbxl_database.csv").write_text("\n".join(LINES))
    return len(ptbxl.load_table(root))


def planted(*_: Any, **__: Any) -> Any:
    """A mistake of ours."""
    raise KeyError("planted")


def lacking(path: Path) -> dict[str, Any]:
    """What a file does not say itself."""
    if path.suffix not in (".npy", ".npz", ".mat"):
        return {}
    return {"leads": LEADS if path.suffix == ".mat" else LEADS[:2], "rate_hz": 100}


@pytest.mark.parametrize("kind", RECORDINGS)
def test_a_mistake_deep_in_a_reader_surfaces(tmp_path, monkeypatch, kind) -> None:
    make, place = RECORDINGS[kind]
    path = make(tmp_path)
    assert len(read_ecg(path, **lacking(path))) >= 1
    monkeypatch.setattr(place, planted)
    with pytest.raises(KeyError, match="planted"):
        read_ecg(path, **lacking(path))
    with pytest.raises(KeyError, match="planted"):
        list(read_many([path], on_error="skip", **lacking(path)))
    with pytest.raises(KeyError, match="planted"):
        describe_file(path, **lacking(path))


@needs_eeg
@pytest.mark.parametrize("kind", EEGS)
def test_a_mistake_deep_in_the_reader_of_eeg_surfaces(tmp_path, monkeypatch, kind) -> None:
    make, place = EEGS[kind]
    path = make(tmp_path)
    assert read_eeg(path).n_times > 0
    monkeypatch.setattr(place, planted)
    for use in (read_eeg, describe_eeg, lambda p: prepare_eeg([p], tmp_path / "store")):
        with pytest.raises(KeyError, match="planted"):
            use(path)


@pytest.mark.parametrize("kind", OTHERS)
def test_a_mistake_deep_in_a_loader_surfaces(tmp_path, monkeypatch, kind) -> None:
    make, place = OTHERS[kind]
    for name in ("sound", "wrong"):
        (tmp_path / name).mkdir()
    make(tmp_path / "sound")()
    monkeypatch.setattr(place, planted)
    with pytest.raises(KeyError, match="planted"):
        make(tmp_path / "wrong")()


COMMAND = """
import sys
import biojepa.data.wfdb_reader as reader
from biojepa.cli.main import main

if sys.argv[1] == "planted":
    reader._decode = lambda *_: {}["planted"]
sys.exit(main(sys.argv[2:]))
"""


def command(how: str, *argv: object) -> subprocess.CompletedProcess[str]:
    """A command line in a process of its own, with or without a mistake in the reader."""
    return subprocess.run(
        [sys.executable, "-c", COMMAND, how, *map(str, argv)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=120,
    )


@pytest.mark.parametrize(
    "line", [["doctor", "r1.hea"], ["prepare", "r1.hea", "-o", "store"]], ids=lambda line: line[0]
)
def test_a_mistake_keeps_its_traceback_and_an_error_of_the_user_has_none(tmp_path, line) -> None:
    good(tmp_path)
    argv = [str(tmp_path / word) if "r1" in word or word == "store" else word for word in line]
    ours = command("planted", *argv)
    assert ours.returncode != 0
    assert "Traceback" in ours.stderr
    assert "KeyError: 'planted'" in ours.stderr
    (tmp_path / "r1.dat").write_bytes(b"")
    theirs = command("sound", *argv)
    assert theirs.returncode == 1
    assert "Traceback" not in theirs.stderr
    assert "is cut" in theirs.stdout + theirs.stderr
