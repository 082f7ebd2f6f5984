"""EEG in tables of wearable devices."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_records import open_eeg
from biojepa.errors import DataError, FormatError
from tests.conftest import real_data
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
HEAD = "timestamps,TP9,AF7,AF8,TP10,Right AUX,Marker0"


def write(path, head=HEAD, *, n_times=600, sfreq=256.0, scale=15.0, times=None):
    rng = np.random.default_rng(0)
    clock = 1486223115 + np.arange(n_times) / sfreq if times is None else times
    columns = scale * rng.standard_normal((len(clock), head.count(",")))
    rows = [
        ",".join([f"{t:.3f}", *(f"{v:.3f}" for v in row)])
        for t, row in zip(clock, columns, strict=True)
    ]
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def test_a_table_is_microvolt_with_its_other_columns_marked(tmp_path):
    raw = read_eeg(write(tmp_path / "a.csv"))
    assert raw.info["sfreq"] == 256.0
    assert raw.get_channel_types() == ["eeg"] * 4 + ["misc", "stim"]
    assert 1.4e-5 < raw.get_data(picks="eeg").std() < 1.6e-5
    source = open_eeg(tmp_path / "a.csv")
    assert source.names == ("TP9", "AF7", "AF8", "TP10")
    assert source.records.identity(0) == "a"


def test_times_that_come_in_packets_give_the_rate_of_the_whole(tmp_path):
    true = np.arange(600) / 256
    packets = np.repeat(true[11::12], 12) + np.tile(np.arange(-11, 1) * 0.004, 50)
    assert read_eeg(write(tmp_path / "a.csv", times=packets)).info["sfreq"] == 256.0


def test_a_unit_in_the_header_row_is_believed(tmp_path):
    head = "time,Fz [mV],Cz [mV]"
    raw = read_eeg(write(tmp_path / "a.csv", head, scale=0.015))
    assert 1.4e-5 < raw.get_data().std() < 1.6e-5


def test_gaps_missing_times_and_other_units_are_refused(tmp_path):
    gap = np.arange(600) / 256 + 2.0 * (np.arange(600) > 300)
    with pytest.raises(DataError, match="gaps"):
        read_eeg(write(tmp_path / "a.csv", times=gap))
    with pytest.raises(DataError, match="rising"):
        read_eeg(write(tmp_path / "b.csv", times=np.zeros(600)))
    with pytest.raises(FormatError, match="timestamps"):
        read_eeg(write(tmp_path / "c.csv", "x,Fz,Cz"))
    (tmp_path / "d.csv").write_text("1,2,3\n4,5,6\n")
    with pytest.raises(FormatError, match="header row"):
        read_eeg(tmp_path / "d.csv")
    (tmp_path / "e.csv").write_text(HEAD + "\n0.0,1,2,3,4,5,x\n")
    with pytest.raises(FormatError, match="row 2, column 7"):
        read_eeg(tmp_path / "e.csv")


def test_a_table_beside_recordings_is_not_taken_for_one(tmp_path):
    write(tmp_path / "labels.csv")
    assert find_eeg([tmp_path]) == [tmp_path / "labels.csv"]
    edf = write_edf(tmp_path / "a.edf")
    assert find_eeg([tmp_path]) == [edf]


def test_the_real_muse_recordings_are_256_hz_and_plausible():
    for path in find_eeg([real_data("eeg/muse_erp")]):
        raw = read_eeg(path)
        assert raw.info["sfreq"] == 256.0
        assert open_eeg(path).names == ("TP9", "AF7", "AF8", "TP10")
