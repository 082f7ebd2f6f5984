"""Units in text tables: after the name, in a row of their own, different by column, not stated."""

import numpy as np
import pytest

from biojepa.data.tables import read_csv
from biojepa.errors import FormatError
from tests.data.test_tables import ecg, write_csv


def test_columns_of_different_units_are_converted_each(tmp_path):
    values = ecg() * np.array([[1.0], [1e3]])
    path = write_csv(tmp_path / "r.csv", values, header="I [mV],II [uV]")
    np.testing.assert_allclose(read_csv(path, rate_hz=250).values, ecg(), atol=2e-3)


@pytest.mark.parametrize("header", ["I_mV,II_mV", "I mV,II mV", "I,II\nmV,mV", "I,II\n'mV','mV'"])
def test_units_after_the_name_or_in_a_row_of_their_own_are_used(tmp_path, header):
    path = write_csv(tmp_path / "r.csv", ecg(), header=header)
    found = read_csv(path, rate_hz=250)
    np.testing.assert_allclose(found.values, ecg(), atol=2e-3)
    assert (found.channels, found.notes) == (("I", "II"), ())


def test_a_row_of_units_tells_time_from_leads(tmp_path):
    time = np.arange(ecg().shape[1]) * 4.0
    path = write_csv(
        tmp_path / "r.csv", np.vstack([time, ecg() * 1e3]), header="time,I,II\nms,uV,uV"
    )
    found = read_csv(path)
    assert found.rate_hz == 250.0
    np.testing.assert_allclose(found.values, ecg(), atol=2e-3)


def test_a_column_that_is_no_voltage_is_left_out_and_noted(tmp_path):
    path = write_csv(tmp_path / "r.csv", ecg(), header="I [mV],Resp [ohm]")
    found = read_csv(path, rate_hz=250)
    assert found.channels == ("I",)
    assert found.notes == ("left out Resp: its unit is 'ohm', not a voltage",)
    path = write_csv(tmp_path / "r.csv", ecg(), header="I [mV],II [mmHg]")
    with pytest.raises(FormatError, match="mmHg"):
        read_csv(path, rate_hz=250)


def test_a_unit_that_nobody_states_is_noted(tmp_path):
    found = read_csv(write_csv(tmp_path / "r.csv", ecg(), header="I,II"), rate_hz=250)
    assert found.notes == ("the file states no unit of I, II: read as mV",)


def test_a_table_of_names_and_units_alone_is_refused(tmp_path):
    (tmp_path / "r.csv").write_text("I,II\nmV,mV\n")
    with pytest.raises(FormatError, match="below the units"):
        read_csv(tmp_path / "r.csv", rate_hz=250)
