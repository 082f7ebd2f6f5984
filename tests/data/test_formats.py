"""Every format goes through one door, and a damaged file of any of them ends in our errors."""

from __future__ import annotations

import os
import sys
import warnings
from contextlib import contextmanager

import numpy as np
import pytest

from biojepa.data.assemble import ReadOptions
from biojepa.data.files import find_records, read_ecg, read_many, read_record
from biojepa.data.formats import SUPPORTED, format_of
from biojepa.data.leads import STANDARD_12
from biojepa.data.skips import SkipReport
from biojepa.errors import BiojepaError, DataError, FormatError
from tests.data.format_factory import (
    aecg_xml,
    edf_bytes,
    muse_xml,
    philips_xml,
    scp_bytes,
    twelve_counts,
    write_dicom,
    write_mat,
)

COUNTS = twelve_counts()
LABELS = [f"ECG {lead}" for lead in STANDARD_12]
ECG = {"ECG": {"sex": "Male", "age": 52.0, "data": COUNTS * 0.005}}


def text(path, content):
    path.write_text(content)
    return path


def raw(path, content):
    path.write_bytes(content)
    return path


WRITERS = {
    "edf": lambda folder: raw(folder / "edf.edf", edf_bytes(COUNTS, labels=LABELS)),
    "bdf": lambda folder: raw(folder / "bdf.bdf", edf_bytes(COUNTS, labels=LABELS, width=3)),
    "dicom": lambda folder: write_dicom(folder / "dicom.dcm", COUNTS),
    "aecg": lambda folder: text(folder / "aecg.xml", aecg_xml(COUNTS)),
    "muse": lambda folder: text(folder / "muse.xml", muse_xml(COUNTS, STANDARD_12)),
    "philips": lambda folder: text(folder / "philips.xml", philips_xml(COUNTS)),
    "scp": lambda folder: raw(folder / "scp.scp", scp_bytes(COUNTS)),
    "mat": lambda folder: write_mat(folder / "mat.mat", ECG),
    "mat73": lambda folder: write_mat(folder / "mat73.mat", ECG, version="7.3"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_recording(tmp_path, name):
    found = read_record(WRITERS[name](tmp_path))
    np.testing.assert_allclose(found.values, COUNTS * 0.005, atol=1e-4)
    assert found.values.dtype == np.float32
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert found.record_id == name
    assert len(found.sha256) == 64


def test_a_folder_of_all_formats_is_found_and_read(tmp_path):
    for write in WRITERS.values():
        write(tmp_path)
    (tmp_path / "report.pdf").write_bytes(b"%PDF")
    paths = find_records([tmp_path])
    assert sorted(p.stem for p in paths) == sorted(WRITERS)
    assert len(list(read_many(paths))) == len(WRITERS)
    assert len(find_records([f"{tmp_path}/*"])) == len(WRITERS)


@pytest.mark.parametrize("name", WRITERS)
def test_what_the_caller_says_is_heard_by_every_format(tmp_path, name):
    path = WRITERS[name](tmp_path)
    own = [f"x{i}" for i in range(12)]
    assert read_record(path, leads=own).channels == tuple(own)
    with pytest.raises(DataError, match="expected 12 lead names, got 2"):
        read_record(path, leads=["I", "II"])
    if not name.startswith("mat"):  # the rate of CPSC 2018 is not in its files
        with pytest.raises(DataError, match="500 Hz, rate_hz=250 was given"):
            read_record(path, rate_hz=250)
    with pytest.raises(DataError, match="peak-to-peak"):
        read_record(path, unit="V")
    assert read_record(path, unit="arbitrary").unit == "arbitrary"


def test_a_cut_edf_file_is_read_if_that_is_allowed(tmp_path):
    path = raw(tmp_path / "x.edf", edf_bytes(COUNTS, labels=LABELS)[:-100])
    with pytest.raises(FormatError, match="allow_truncated=True"):
        read_ecg(path)
    with pytest.warns(UserWarning, match="1 of 2 records"):
        assert read_ecg(path, allow_truncated=True)[0].n_times == 500
    with pytest.warns(UserWarning, match="1 of 2 records"):
        assert next(iter(read_many([path], allow_truncated=True))).n_times == 500


def test_the_header_beside_it_decides_what_a_mat_file_is(tmp_path):
    path = WRITERS["mat"](tmp_path)
    assert format_of(path).name == "MATLAB"
    (tmp_path / "mat.hea").write_text("mat 1 500 0\n")
    assert format_of(path).name == "WFDB"
    assert [p.name for p in find_records([path])] == ["mat.hea"]


def test_no_suffix_belongs_to_two_formats():
    assert len(set(SUPPORTED)) == len(SUPPORTED)


@contextmanager
def only_below(root):
    """Files opened elsewhere, sockets and programs started, in a list."""
    found = []
    active = True

    def hook(event, args):
        if not active:
            return
        if event.startswith(("socket.", "subprocess.", "os.exec", "os.system")):
            found.append((event, args))
        if event == "open" and isinstance(args[0], str) and not args[0].endswith((".py", ".pyc")):
            if not os.path.abspath(args[0]).startswith(str(root)):
                found.append((event, args[0]))

    sys.addaudithook(hook)  # cannot be taken away, so it is switched off
    try:
        yield found
    finally:
        active = False


@pytest.mark.parametrize("name", WRITERS)
def test_mutants_of_every_format_end_in_our_errors_inside_their_folder(tmp_path, name):
    path = WRITERS[name](tmp_path)
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    n_read, refused = 0, []
    options = ReadOptions(max_bytes=1 << 26)
    entry = format_of(path)
    list(entry.read(path, options))  # what is imported on first use
    with only_below(tmp_path) as elsewhere, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for mutant in range(150):
            data = bytearray(good)
            span = min(len(data), 2000) if mutant % 2 else len(data)  # headers get every second
            for _ in range(int(rng.integers(1, 6))):
                at = int(rng.integers(span))
                data[at : at + 4] = rng.bytes(int(rng.choice([1, 4])))
            if mutant % 5 == 0:
                del data[int(rng.integers(len(data))) :]
            path.write_bytes(data)
            try:
                list(entry.read(path, options))
                n_read += 1
            except BiojepaError as error:
                refused.append(str(error))
    assert len(refused) > 15
    assert n_read + len(refused) == 150
    assert [message for message in refused if not message.startswith(str(path))] == []
    assert elsewhere == []


def test_bad_files_of_a_mixed_folder_are_skipped_and_listed(tmp_path):
    for write in WRITERS.values():
        path = write(tmp_path)
    (tmp_path / "other.xml").write_text("<html/>")
    path.write_bytes(path.read_bytes()[:1000])
    report = SkipReport(0)
    paths = find_records([tmp_path])
    assert len(list(read_many(paths, on_error="skip", report=report))) == len(WRITERS) - 1
    assert sorted(os.path.basename(skip.path) for skip in report.skips) == [
        "mat73.mat",
        "other.xml",
    ]
