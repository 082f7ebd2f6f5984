"""Rows E1 to E10: EEG files that are cut, wrong, mixed, hostile; channels without a place; epochs.

A command meets the worst of them too, and ends with one sentence.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.data.eeg_reader import read_eeg
from biojepa.data.eeg_records import open_eeg
from biojepa.data.eeg_store import prepare_eeg
from biojepa.data.montage import place_channels
from biojepa.eeg import SignalJEPA, SignalJEPAClassifier
from tests.data.eeg_factory import write_brainvision, write_edf, write_eeglab, write_fif
from tests.eeg.published import needs_eeg
from tests.eeg.toys import waves
from tests.faults.cage import MB
from tests.faults.rows import Row, command, fine

pytestmark = needs_eeg
CAP = ("Fp1", "C3", "Cz", "Oz")
LABEL, COUNT, HEADER = 256, 252, 184  # places in an EDF header: first label, signals, its size


@pytest.fixture(scope="module", autouse=True)
def ready(tmp_path_factory: pytest.TempPathFactory) -> None:
    """MNE and the template are loaded here, so that no child does it for each row anew."""
    folder = tmp_path_factory.mktemp("ready")
    for path in (
        write_edf(folder / "a.edf"),
        write_fif(folder / "a_raw.fif"),
        write_brainvision(folder),
        write_eeglab(folder / "a.set"),
    ):
        read_eeg(path)
    jepa = SignalJEPA(preset="tiny", steps=1, sfreq=128, ch_names=CAP, random_state=0)
    jepa.fit(waves(4, CAP, n_times=300))


def said(raw: Any) -> str:
    """A recording in a few words."""
    return f"{','.join(raw.ch_names)} {raw.info['sfreq']:g} Hz {raw.n_times}"


def reads(
    write: Callable[[Path], Path], change: Callable[[bytes], bytes] = bytes, **options: Any
) -> Callable[[Path], Callable]:
    """Read a file that was changed after it was written."""

    def make(root: Path) -> Callable:
        path = write(root)
        path.write_bytes(change(path.read_bytes()))
        return lambda: said(read_eeg(path, **options))

    return make


def edf(labels: tuple[str, ...] = CAP, **fields: Any) -> Callable[[Path], Path]:
    """An EDF file."""
    return lambda root: write_edf(root / "a.edf", labels, **fields)


def fif(root: Path) -> Path:
    """A FIF file."""
    return write_fif(root / "a_raw.fif")


def put(place: int, text: bytes) -> Callable[[bytes], bytes]:
    """Other bytes at a place."""
    return lambda raw: raw[:place] + text + raw[place + len(text) :]


def cut(share: float) -> Callable[[bytes], bytes]:
    """Only the first share of a file."""
    return lambda raw: raw[: int(share * len(raw))]


def flip(share: float) -> Callable[[bytes], bytes]:
    """64 other bytes at a share of a file."""
    return lambda raw: put(int(share * len(raw)), b"\xa5" * 64)(raw)


def circle(raw: bytes) -> bytes:
    """The third tag of a FIF file leads back to the second."""
    return put(56 + 12, (36).to_bytes(4, "big"))(raw)


def huge_tag(raw: bytes) -> bytes:
    """The third tag of a FIF file says that it holds 2 GB."""
    return put(56 + 8, (2 * 10**9).to_bytes(4, "big"))(raw)


def noise(raw: bytes) -> bytes:
    """Bytes of nothing."""
    return np.random.default_rng(0).bytes(5000)


def brainvision(**names: str) -> Callable[[Path], Callable]:
    """A header that names other files; a secret lies where it leads to."""

    def make(root: Path) -> Callable:
        (root.parent / "secret.eeg").write_bytes(b"\0" * 6400)
        path = write_brainvision(root, **names)
        return lambda: said(read_eeg(path))

    return make


def linked(root: Path) -> Callable:
    """BrainVision samples behind a link that leads out."""
    path = write_brainvision(root)
    (root / "a.eeg").rename(root.parent / "secret.eeg")
    (root / "a.eeg").symlink_to(root.parent / "secret.eeg")
    return lambda: said(read_eeg(path))


def eeglab(data_file: str) -> Callable[[Path], Callable]:
    """EEGLAB samples in a file of their own."""

    def make(root: Path) -> Callable:
        path = write_eeglab(root / "a.set", data_file=data_file)
        return lambda: said(read_eeg(path))

    return make


def opened(root: Path, **options: Any) -> Callable:
    """Open the files of a folder as records, which judges their scale."""
    return lambda: str(open_eeg(root, **options).names)


def scaled(unit: str, **options: Any) -> Callable[[Path], Callable]:
    """A file that says this unit."""

    def make(root: Path) -> Callable:
        write_edf(root / "a.edf", CAP, unit=unit)
        return opened(root, **options)

    return make


def found(*names: str, **options: Any) -> Callable[[Path], Callable]:
    """Places of channels."""
    return lambda root: lambda: str(place_channels(names, **options))


def epochs(n: int = 12, *, names: tuple[str, ...] = CAP, bads: tuple[str, ...] = ()) -> Any:
    """Epochs of simulated EEG without a montage."""
    import mne

    info = mne.create_info(list(names), 128.0, "eeg")
    info["bads"] = list(bads)
    values = waves(max(n, 1), CAP, n_times=300)[:, : len(names)] * 1e-6
    return mne.EpochsArray(values, info, verbose="error")[:n]


def features(X: Any, new: Any = None, **options: Any) -> dict[str, Any]:
    """Pretrain for two steps, and what the features are like."""
    settings = {"preset": "tiny", "steps": 2, "batch_size": 4, "device": "cpu"}
    jepa = SignalJEPA(random_state=0, **settings, **options).fit(X)
    out = jepa.transform(X if new is None else new)
    return {"finite": bool(np.isfinite(out).all()), "shape": out.shape}


def fits(make_X: Callable[[], Any], **options: Any) -> Callable[[Path], Callable]:
    """Pretrain on MNE objects that were made before the cage closes."""

    def make(root: Path) -> Callable:
        X = make_X()
        return lambda: features(X, **options)

    return make


def gappy() -> Any:
    """Epochs with a lost channel, a gap, and a flat channel."""
    own = epochs()
    values = own.get_data(copy=True)
    values[0, 1], values[1, :, 50:90], values[2, 3] = np.nan, np.nan, 1e-5
    import mne

    return mne.EpochsArray(values, own.info, verbose="error")


def one_trial(root: Path) -> Callable:
    """Features of one epoch from a model of twelve."""
    many, one = epochs(), epochs(1)
    return lambda: features(many, one)


def one_class(root: Path) -> Callable:
    """A classifier for epochs of one class."""
    X = epochs()
    net = SignalJEPAClassifier(preset="tiny", epochs=1, random_state=0)
    return lambda: net.fit(X, np.ones(12, dtype=int))


def montage(root: Path) -> Callable:
    """Positions of a recording that are NaN, zero, or those of millimetres."""
    places = {"Fp1": (np.nan,) * 3, "C3": (0.0,) * 3, "Cz": (0.4, -15.0, 86.0)}
    return lambda: str(place_channels(list(places), supplied=places))


def permuted(root: Path) -> Callable:
    """The same recording with its channels in another order."""
    X, order = waves(6, CAP, n_times=300), [2, 0, 3, 1]

    def call() -> bool:
        jepa = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=CAP, random_state=0).fit(X)
        wanted = jepa.transform(X)
        jepa.set_params(ch_names=[CAP[i].upper() for i in order])
        return bool(np.abs(jepa.transform(X[:, order]) - wanted).max() <= 1e-5)

    return call


def commanded(*line: object, bad: Callable[[Path], Path]) -> Callable[[Path], Callable]:
    """A command on a good file and a bad one."""

    def make(root: Path) -> Callable:
        (root / "in").mkdir()
        write_edf(root / "in" / "good.edf", CAP, n_records=12)
        bad(root / "in")
        return lambda: command(*[root / "in" if word == "IN" else word for word in line])

    return make


def cut_file(folder: Path) -> Path:
    """An EDF file of a good header and half of the samples."""
    path = write_edf(folder / "bad.edf", CAP, n_records=12)
    path.write_bytes(cut(0.5)(path.read_bytes()))
    return path


def prepared(root: Path) -> Callable:
    """A folder of good and bad files becomes a store and a list."""
    (root / "in").mkdir()
    files = [write_edf(root / "in" / "good.edf", CAP), cut_file(root / "in")]
    files += [write_edf(root / "in" / "bipolar.edf", ("Fp1-F7", "C3"))]
    (root / "in" / "noise.edf").write_bytes(noise(b""))
    files.append(root / "in" / "noise.edf")

    def call() -> dict:
        report = prepare_eeg(files, root / "store", max_bad_fraction=1.0)
        return {
            "kept": report.stores[0].n_written,
            "reasons": report.skipped.counts(),
            "rows": (root / "store" / "skipped.csv").read_text().count("Error"),
        }

    return call


RATES = {"rates": [100, 250, 100, 100]}
BIG: dict[str, Any] = {"memory": 512 * MB}
ROWS: dict[str, Row] = {
    "E1-half": Row(reads(edf(), cut(0.5)), match="the file is cut.*allow_truncated"),
    "E1-one-byte-short": Row(reads(edf(), lambda raw: raw[:-1]), match="expected 8 records, got 7"),
    "E1-allowed": fine(reads(edf(), cut(0.7), allow_truncated=True), "400$|500$", warned="cut"),
    "E1-header-alone": Row(reads(edf(), lambda raw: raw[:1280]), match="at least one whole record"),
    "E1-half-a-header": Row(reads(edf(), lambda raw: raw[:700]), match="header of 1280 bytes"),
    "E1-bdf": Row(
        reads(lambda root: write_edf(root / "a.edf").rename(root / "a.bdf"), cut(0.6)), match="cut"
    ),
    "E1-prepare": fine(prepared, "'kept': 1.*'FormatError': 2.*'rows': 3"),
    "E1-prepare-command": fine(
        commanded("prepare", "eeg", "IN", "-o", "store", bad=cut_file), "'code': 0.*left out: 1"
    ),
    "E1-pretrain-command": fine(
        commanded("pretrain", "eeg", "IN", "-o", "run", bad=cut_file), "'code': 1.*the file is cut"
    ),
    "E1-doctor-command": fine(commanded("doctor", "IN", bad=cut_file), "'code': 1.*1 of 2 files"),
    "E2-nan": Row(reads(edf(duration="nan")), match="duration of a record"),
    "E2-infinite": Row(reads(edf(duration="inf")), match="duration of a record"),
    "E2-zero": Row(reads(edf(duration="0")), match="above 0 s"),
    "E2-negative": Row(reads(edf(duration="-1")), match="0 or more"),
    "E2-unknown-length": fine(reads(edf(declared=-1)), " 800$", warned="does not say how many"),
    "E2-none-declared": fine(reads(edf(declared=0)), " 800$", warned="does not say how many"),
    "E2-too-many": Row(reads(edf(declared=99999999)), match="the file is cut"),
    "E2-too-many-allowed": fine(
        reads(edf(declared=99999999), allow_truncated=True), " 800$", warned="cut"
    ),
    "E2-fewer-declared": fine(reads(edf(declared=5)), " 800$", warned="says 5 records, 8 are"),
    "E3-no-signals": Row(reads(edf(), put(COUNT, b"0   ")), match="1 to 1024 signals"),
    "E3-negative-signals": Row(reads(edf(), put(COUNT, b"-4  ")), match="1 to 1024 signals"),
    "E3-9999-signals": Row(reads(edf(), put(COUNT, b"9999")), match="1 to 1024 signals"),
    "E3-more-signals": Row(reads(edf(), put(COUNT, b"900 ")), match="header of"),
    "E3-text-as-signals": Row(reads(edf(), put(COUNT, b"four")), match="whole number"),
    "E3-text-as-header": Row(reads(edf(), put(HEADER, b"abc ")), match="whole number"),
    "E3-text-as-records": Row(reads(edf(declared="many")), match="whole number"),
    "E3-text-as-physical": Row(reads(edf(unit="uV", physical="low")), match="physical minimum"),
    "E3-no-physical-range": Row(reads(edf(physical=3276)), match="expected a range of 'Fp1'"),
    "E3-empty": Row(reads(edf(), lambda raw: b""), match="empty"),
    "E3-noise": Row(reads(edf(), noise), match="first bytes are others"),
    "E3-noise-fif": Row(reads(fif, noise), match="damaged or not fif"),
    "E3-noise-set": Row(
        reads(lambda root: write_eeglab(root / "a.set"), noise), match="damaged|is cut"
    ),
    "E3-noise-vhdr": Row(reads(write_brainvision, noise), match="damaged or not vhdr"),
    "E3-noise-csv": Row(
        reads(lambda root: (root / "a.csv").touch() or root / "a.csv", noise), match="a.csv"
    ),
    "E4-two-rates": Row(reads(edf(**RATES)), match="EEG channels of one rate, got 100, 250 Hz"),
    "E4-other-channels": fine(
        reads(edf(("Fp1", "ECG I", "C3", "Cz"), **RATES)), "^Fp1,C3,Cz 100 Hz", warned="250 Hz"
    ),
    "E4-none": Row(reads(edf(("ECG I", "Status", "Resp", "EMG"))), match="expected an EEG channel"),
    "E5-blank": Row(scaled(""), match="1.48e\\+07 uV"),
    "E5-millivolt": Row(scaled("mV"), match="1.48e\\+04 uV.*arbitrary"),
    "E5-volt": Row(scaled("V"), match="units='arbitrary'"),
    "E5-nanovolt": Row(scaled("nV"), match="uV"),
    "E5-arbitrary": fine(scaled("", units="arbitrary"), "Fp1"),
    "E6-twice": Row(reads(edf(("Fp1", "Cz", "Fp1", "Oz"))), match="one electrode"),
    "E6-two-spellings": Row(reads(edf(("EEG Fp1-REF", "FP1.", "Cz", "Oz"))), match="one electrode"),
    "E6-two-names": Row(found("T7", "T3"), match="place of its own"),
    "E6-spellings": fine(found("EEG Fp1-REF", "FP2.", "cz", "EEG O1-LE"), "Fp1, Fp2, Cz, O1"),
    "E7-up": Row(brainvision(data_file="../secret.eeg"), match="out of the folder"),
    "E7-absolute": Row(brainvision(data_file="/etc/passwd"), match="out of the folder"),
    "E7-backslash": Row(brainvision(data_file="..\\\\secret.eeg"), match="out of the folder"),
    "E7-marker": Row(brainvision(marker_file="../secret.vmrk"), match="out of the folder"),
    "E7-link": Row(linked, match="is a link"),
    "E7-absent": Row(brainvision(data_file="b.eeg"), match="damaged|b.eeg"),
    "E7-eeglab": Row(eeglab("../secret.fdt"), match="expected them beside it"),
    "E8-cut": Row(reads(fif, cut(0.5)), match="damaged or not fif"),
    "E8-cut-late": Row(reads(fif, cut(0.9)), match="damaged or not fif"),
    "E8-circle": Row(reads(fif, circle), match="runs in a circle"),
    "E8-huge-tag": Row(reads(fif, huge_tag), match="more than there are", cpu_s=2),
    "E8-flipped-head": Row(reads(fif, flip(0.0)), match="damaged or not fif"),
    "E8-flipped-info": Row(reads(fif, flip(0.01)), match="damaged or not fif"),
    "E8-eeglab-cut": Row(
        reads(lambda root: write_eeglab(root / "a.set"), cut(0.5)), match="damaged|is cut"
    ),
    "E9-no-montage": fine(fits(epochs), "'finite': True"),
    "E9-nan-zero-and-millimetres": fine(montage, r"looked up \(3\): Fp1, C3, Cz"),
    "E9-unknown": Row(found("Cz", "EXG1", "E7"), match="got EXG1, E7.*on_unknown='drop'"),
    "E9-unknown-epochs": Row(fits(lambda: epochs(names=("Fp1", "X1", "X2", "Oz"))), match="X1, X2"),
    "E9-dropped": fine(found("Cz", "EXG1", on_unknown="drop"), r"dropped \(1\): EXG1"),
    "E9-all-dropped": Row(found("EXG1", "X2", on_unknown="drop"), match="EXG1, X2"),
    "E9-same-point": Row(
        found("X1", "X2", supplied={"X1": (0.0, 0.1, 0.03), "X2": (0.0, 0.1, 0.03)}),
        match="X1 and X2 at the same one",
    ),
    "E9-bipolar": Row(found("Fp1-F7", "C3-P3"), match="bipolar derivations have no place"),
    "E9-bipolar-file": Row(
        fits(lambda: epochs(names=("Fp1-F7", "F7-T3", "T3-T5", "Oz"))), match="Fp1-F7, F7-T3, T3-T5"
    ),
    "E9-permuted": fine(permuted, "True"),
    "E9-no-channel": Row(found(), match="at least one channel"),
    "E10-no-trials": Row(fits(lambda: epochs(0)), match="at least 1 epoch"),
    "E10-one-trial-pretraining": Row(fits(lambda: epochs(1)), match="at least 2 records"),
    "E10-one-trial": fine(one_trial, r"'finite': True, 'shape': \(1,|'shape': \[1,"),
    "E10-one-class": Row(one_class, match="class"),
    "E10-gaps": fine(fits(gappy), "'finite': True"),
    "E10-bad": fine(fits(lambda: epochs(bads=("Cz",))), "'finite': True", warned="marked bad: Cz"),
    "E10-all-bad": Row(fits(lambda: epochs(bads=CAP)), match="not marked bad, got none"),
}


@pytest.mark.parametrize("row", ROWS)
def test_an_eeg_that_is_wrong_ends_as_the_catalogue_says(tmp_path, row) -> None:
    from dataclasses import replace

    trains = row.partition("-")[0] in ("E9", "E10") or "command" in row
    (replace(ROWS[row], **BIG) if trains else ROWS[row]).check(tmp_path)


def test_the_secret_is_where_the_rows_lead(tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    brainvision(data_file="../secret.eeg")(root)
    assert os.path.isfile(root / "../secret.eeg")
