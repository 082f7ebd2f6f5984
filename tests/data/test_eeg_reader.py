"""EEG files: good ones, and the fault table (rows E1 to E9)."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_records import open_eeg
from biojepa.eeg import SignalJEPA
from biojepa.errors import DataError, FormatError, LeadError, PlausibilityWarning
from tests.conftest import real_data
from tests.data.eeg_factory import write_brainvision, write_edf, write_eeglab, write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


@pytest.fixture
def raw():
    import mne

    rng = np.random.default_rng(0)
    info = mne.create_info(["Fz", "Cz", "Oz"], 100.0, "eeg")
    return mne.io.RawArray(1.5e-5 * rng.standard_normal((3, 800)), info, verbose="error")


def test_edf_gives_its_eeg_in_volt(tmp_path):
    raw = read_eeg(write_edf(tmp_path / "a.edf"))
    assert raw.ch_names == ["EEG Fp1-REF", "EEG Cz-REF", "Oz"]
    assert raw.info["sfreq"] == 100.0
    assert 1e-5 < raw.get_data().std() < 2e-5


def test_other_channels_are_left_out_by_name_and_rates_are_not_raised(tmp_path):
    path = write_edf(tmp_path / "a.edf", ("Fp1", "ECG I", "Cz"), rates=[100, 250, 100])
    with pytest.warns(PlausibilityWarning, match="250 Hz"):
        raw = read_eeg(path)
    assert raw.ch_names == ["Fp1", "Cz"]
    assert raw.n_times == 800


def test_a_bipolar_channel_is_an_error_that_names_it_or_is_dropped(tmp_path):
    path = write_edf(tmp_path / "a.edf", ("Fp1-F7", "C3", "Cz", "ECG"), n_records=20)
    jepa = SignalJEPA(preset="tiny", steps=1, random_state=0)
    with pytest.raises(LeadError, match="Fp1-F7"):
        jepa.fit([path, path])
    assert jepa.set_params(on_unknown="drop").fit([path]).channels_.dropped == ("Fp1-F7",)


def test_eeg_channels_of_different_rates_are_refused(tmp_path):
    with pytest.raises(DataError, match="100, 250 Hz"):
        read_eeg(write_edf(tmp_path / "a.edf", ("Fp1", "Cz"), rates=[100, 250]))


def test_one_electrode_under_two_labels_is_refused(tmp_path):
    with pytest.raises(LeadError, match="one electrode"):
        read_eeg(write_edf(tmp_path / "a.edf", ("Fp1", "EEG FP1-REF")))
    with pytest.raises(LeadError, match="EEG channel"):
        read_eeg(write_edf(tmp_path / "a.edf", ("ECG I", "Status")))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.5, 0.9])
def test_a_cut_edf_is_refused(tmp_path, share):
    path = write_edf(tmp_path / "a.edf")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        read_eeg(path)


def test_a_cut_edf_may_be_read_as_far_as_it_goes(tmp_path):
    path = write_edf(tmp_path / "a.edf")
    content = path.read_bytes()
    path.write_bytes(content[: 1024 + 3 * 600])
    with pytest.warns(PlausibilityWarning):
        assert read_eeg(path, allow_truncated=True).n_times == 300


@pytest.mark.parametrize(
    "wrong",
    [{"duration": "nan"}, {"duration": "0"}, {"declared": "99999999"}, {"declared": "abc"}],
)
def test_impossible_headers_are_refused(tmp_path, wrong):
    with pytest.raises(FormatError):
        read_eeg(write_edf(tmp_path / "a.edf", **wrong))


@pytest.mark.parametrize("content", [b"", b"hello", b"0" * 4000, bytes(range(256)) * 20])
@pytest.mark.parametrize("suffix", [".edf", ".bdf", ".fif", ".vhdr", ".set", ".csv"])
def test_what_is_no_eeg_file_is_refused(tmp_path, content, suffix):
    path = tmp_path / f"bad_raw{suffix}"
    path.write_bytes(content)
    with pytest.raises(FormatError):
        read_eeg(path)


def test_a_blank_unit_is_caught_by_its_scale(tmp_path):
    path = write_edf(tmp_path / "a.edf", unit="")
    with pytest.raises(DataError, match="uV"):
        open_eeg(path)
    assert open_eeg(path, units="arbitrary").arbitrary


def test_fif_is_read_and_a_damaged_one_refused(tmp_path, raw):
    path = tmp_path / "a_raw.fif"
    raw.save(path, verbose="error")
    assert np.allclose(read_eeg(path).get_data(), raw.get_data(), rtol=1e-5)
    content = path.read_bytes()
    for name, bad in (("cut", content[: len(content) // 2]), ("flip", b"\x00" * 64 + content[64:])):
        broken = tmp_path / f"{name}_raw.fif"
        broken.write_bytes(bad)
        with pytest.raises(FormatError):
            read_eeg(broken)


def test_brainvision_is_read(tmp_path):
    raw = read_eeg(write_brainvision(tmp_path))
    assert raw.ch_names == ["Fz", "Cz"]
    assert 1e-5 < raw.get_data().std() < 2e-5


@pytest.mark.parametrize("name", ["../b.eeg", "/etc/passwd", "sub/b.eeg", "..\\b.eeg", ".."])
@pytest.mark.parametrize("key", ["data_file", "marker_file"])
def test_brainvision_may_not_lead_out_of_its_folder(tmp_path, key, name):
    with pytest.raises(FormatError, match="folder"):
        read_eeg(write_brainvision(tmp_path, **{key: name}))


def test_brainvision_follows_no_link(tmp_path):
    header = write_brainvision(tmp_path)
    (tmp_path / "a.eeg").rename(tmp_path / "elsewhere")
    (tmp_path / "a.eeg").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FormatError, match="link"):
        read_eeg(header)


@pytest.mark.parametrize("data_file", [None, "a.fdt"])
def test_eeglab_is_read(tmp_path, data_file):
    raw = read_eeg(write_eeglab(tmp_path / "a.set", data_file=data_file))
    assert raw.ch_names == ["Fz", "Cz", "Oz"]
    assert raw.info["sfreq"] == 128.0
    assert 1.4e-5 < raw.get_data().std() < 1.6e-5
    jepa = SignalJEPA(preset="tiny", steps=1, random_state=0).fit([tmp_path / "a.set"])
    assert jepa.channels_.names == ("Fz", "Cz", "Oz")


def test_eeglab_may_not_lead_out_of_its_folder(tmp_path):
    (tmp_path / "in").mkdir()
    with pytest.raises(FormatError, match="beside"):
        read_eeg(write_eeglab(tmp_path / "in" / "a.set", data_file="../b.fdt"))
    (tmp_path / "in" / "b.fdt").symlink_to(tmp_path / "b.fdt")
    with pytest.raises(FormatError, match="link"):
        read_eeg(write_eeglab(tmp_path / "in" / "a.set", data_file="b.fdt"))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.95])
def test_a_cut_eeglab_file_is_refused(tmp_path, share):
    path = write_eeglab(tmp_path / "a.set")
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(FormatError):
        read_eeg(path)
    path = write_eeglab(tmp_path / "b.set", data_file="b.fdt")
    (tmp_path / "b.fdt").write_bytes((tmp_path / "b.fdt").read_bytes()[: int(share * 9600)])
    with pytest.raises(FormatError):
        read_eeg(path)


def test_files_that_mne_writes_beside_recordings_are_passed_over(tmp_path):
    raw = write_fif(tmp_path / "a_raw.fif")
    for name in ("a-eve.fif", "a-epo.fif", "a_raw-1.fif", "a-trans.fif.gz"):
        (tmp_path / name).touch()
    assert find_eeg([tmp_path]) == [raw]


def test_a_bids_folder_gives_its_eeg_and_marks_bad_channels(tmp_path):
    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    path = write_edf(folder / "sub-01_task-rest_eeg.edf", ("Fp1", "Cz", "Oz"))
    write_edf(tmp_path / "stray.edf")
    (folder / "sub-01_task-rest_channels.tsv").write_text(
        "name\ttype\tunits\tstatus\nFp1\tEOG\tuV\tgood\nCz\tEEG\tuV\tgood\nOz\tEEG\tuV\tbad\n"
    )
    assert find_eeg([tmp_path]) == [path]
    raw = read_eeg(path)
    assert raw.info["bads"] == ["Oz"]
    assert raw.get_channel_types() == ["eog", "eeg", "eeg"]


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(DataError, match="no EEG"):
        find_eeg([tmp_path])
    with pytest.raises(FormatError, match="expected one of"):
        read_eeg(tmp_path / "a.docx")
    with pytest.raises(FormatError):
        read_eeg(tmp_path / "absent.edf")
    write_edf(tmp_path / "a.edf")
    with pytest.raises(FormatError):
        read_eeg("../a.edf", root=tmp_path)


def test_real_eegmmidb_recordings_are_read():
    root = real_data("eeg/eegmmidb")
    path = find_eeg([root])[0]
    raw = read_eeg(path)
    assert len(raw.ch_names) == 64
    assert raw.info["sfreq"] == 160.0


def test_real_ssvep_recordings_need_to_be_told_that_their_unit_is_not_volt():
    path = find_eeg([real_data("eeg/ssvep_exoskeleton")])
    raw = next(p for p in path if p.name.endswith("_raw.fif"))
    with pytest.raises(DataError, match="arbitrary"):
        open_eeg(raw)
    assert len(open_eeg(raw, units="arbitrary").names) == 8
