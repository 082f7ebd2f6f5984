import numpy as np
import pytest

from biojepa.data.label_table import read_label_table, record_key
from biojepa.errors import DataError, FormatError

GOOD = "record_id,patient_id,AF,MI\nr1,p1,0,1\nr2,p1,1,\nr3,p2,0,0\n"


def write(folder, text, encoding="utf-8"):
    path = folder / "labels.csv"
    path.write_bytes(text.encode(encoding))
    return path


def test_columns_of_0_and_1_are_read_and_gaps_are_unknown(tmp_path):
    found = read_label_table(write(tmp_path, GOOD))
    assert found.record_ids == ("r1", "r2", "r3")
    assert found.patient_ids == ("p1", "p1", "p2")
    assert found.classes == ("AF", "MI")
    np.testing.assert_array_equal(found.y, [[0, 1], [1, np.nan], [0, 0]])


@pytest.mark.parametrize(
    "text",
    [
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("record_id", "Filename").replace("patient_id", "subject"),
        GOOD.replace("r1,", '"r1",').replace("0,1", "0.0,1.0").replace("\n", "\n\n"),
        GOOD.replace("r1", "sub/r1.hea").replace("r2", "r2.dcm").replace("r3", "a\\r3.xml"),
    ],
)
def test_l1_other_spellings_of_the_same_table_are_understood(tmp_path, text):
    found = read_label_table(write(tmp_path, text))
    assert (found.record_ids, found.classes) == (("r1", "r2", "r3"), ("AF", "MI"))
    np.testing.assert_array_equal(found.y, [[0, 1], [1, np.nan], [0, 0]])


def test_one_column_of_names_becomes_a_column_for_each(tmp_path):
    text = "patient_id,label,record_id\np1,normal,r1\np2,af,r2\np3,,r3\n"
    found = read_label_table(write(tmp_path, text))
    assert found.classes == ("af", "normal")
    np.testing.assert_array_equal(found.y, [[0, 1], [1, 0], [np.nan, np.nan]])


# row L1 of the catalogue of bad input: (text, what the message says)
REFUSED = {
    "no record id": (GOOD.replace("record_id", "name"), "row 1: expected a column record_id"),
    "no patient id": (GOOD.replace("patient_id", "who"), "row 1: expected a column patient_id"),
    "no labels": ("record_id,patient_id\nr1,p1\n", "row 1: expected the names of at least 3"),
    "column twice": (GOOD.replace("MI", "af"), "each once"),
    "no name": (GOOD.replace("MI", ""), "each once"),
    "record twice": (GOOD.replace("r3", "r1"), "row 4: record 'r1' stands in row 2 already"),
    "no record": (GOOD.replace("r2", ""), "row 3: expected a record id"),
    "patient nan": (GOOD.replace("r2,p1", "r2,nan"), "row 3: the patient of record 'r2'"),
    "patient empty": (GOOD.replace("r2,p1", "r2,"), "row 3: the patient of record 'r2'"),
    "unknown label": (GOOD.replace("0,0", "0,2"), "row 4, column 'MI': expected 0, 1 or nothing"),
    "text label": (GOOD.replace("0,0", "0,yes"), "row 4, column 'MI'.*'yes'"),
    "code": (GOOD.replace("0,0", "0,__import__('os')"), "row 4, column 'MI'"),
    "decimal comma": (GOOD.replace(",", ";").replace("0;0", "0;0,5"), "row 4, column 'MI'"),
    "wrong delimiter": (GOOD.replace(",", "|"), "with ',', ';' or tab"),
    "short row": (GOOD + "r4,p4,1\n", "row 5: expected 4 cells, got 3"),
    "long row": (GOOD + "r4,p4,1,1,1\n", "row 5: expected 4 cells, got 5"),
    "open quote": (GOOD + 'r4,"p4,1,1\n', "row 5: cannot be read"),
    "names alone": ("record_id,patient_id,AF\n", "below the row of names"),
    "empty": ("", "is empty"),
    "continuous": ("id,patient,y\nr1,p1,0.3\nr2,p2,a\n", "row 2, column 'y'.*number 0.3"),
    "one class": ("id,patient,y\nr1,p1,a\nr2,p2,a\n", "2 to 1000 classes"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_l1_bad_tables_are_refused_with_their_row(tmp_path, row):
    text, message = REFUSED[row]
    with pytest.raises(DataError, match=message):
        read_label_table(write(tmp_path, text))


def test_binary_and_missing_files_are_refused(tmp_path):
    for content in (GOOD.encode("utf-16"), bytes(range(256))):
        (tmp_path / "x.csv").write_bytes(content)
        with pytest.raises(FormatError, match="text table"):
            read_label_table(tmp_path / "x.csv")
    with pytest.raises(FormatError, match="no such file"):
        read_label_table(tmp_path / "y.csv")


def test_names_of_files_are_record_ids():
    assert record_key(" a/b/0001.HEA ") == "0001"
    assert record_key("x.1") == "x.1"
    assert record_key("C:\\data\\r.edf") == "r"
