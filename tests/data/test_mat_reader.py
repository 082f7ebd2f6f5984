import struct
import zlib

import h5py
import numpy as np
import pytest
from scipy.io import loadmat, savemat
from scipy.sparse import csc_array

from biojepa.data.assemble import ReadOptions
from biojepa.data.leads import STANDARD_12
from biojepa.data.mat_binary import read_mat5
from biojepa.data.mat_reader import read_mat
from biojepa.errors import DataError, FormatError, LeadError
from tests.conftest import real_data
from tests.data.format_factory import twelve_counts, write_mat

ECG = twelve_counts() * 0.005
LEADS = ReadOptions(leads=STANDARD_12)


@pytest.mark.parametrize("version", ["4", "5", "7.3"])
def test_every_version_gives_the_values(tmp_path, version):
    path = write_mat(tmp_path / "x.mat", {"val": ECG, "fs": 500.0}, version=version)
    found = read_mat(path, LEADS)
    np.testing.assert_allclose(found.values, ECG, atol=1e-6)
    assert (found.channels, found.rate_hz, found.unit) == (STANDARD_12, 500.0, "mV")
    assert found.record_id == "x"


@pytest.mark.parametrize("dtype", ["i1", "u1", "i2", "u2", "i4", "f4", "f8"])
@pytest.mark.parametrize("compressed", [True, False])
def test_every_number_type_is_read(tmp_path, dtype, compressed):
    values = np.random.default_rng(0).integers(0, 100, (2, 500)).astype(dtype)
    path = write_mat(tmp_path / "x.mat", {"x": values}, compressed=compressed)
    options = ReadOptions(leads=["I", "II"], rate_hz=500, unit="arbitrary")
    np.testing.assert_array_equal(read_mat(path, options).values, values)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_a_struct_says_of_itself_what_it_can(tmp_path, version):
    fields = {"signals": ECG[:2].T * 1000, "Fs": 250.0, "units": "uV", "patient_id": "P7"}
    path = write_mat(tmp_path / "x.mat", {"rec": fields | {"sex": "F"}}, version=version)
    found = read_mat(path, ReadOptions(leads=["I", "II"]))
    np.testing.assert_allclose(found.values, ECG[:2], atol=1e-5)
    assert (found.rate_hz, found.unit, found.subject_id) == (250.0, "mV", "P7")
    assert found.labels == {"sex": "female"}
    assert found.notes == ("the matrix is time x leads and was turned",)


def test_cells_name_the_leads(tmp_path):
    names = np.array(["I", "aVR"], dtype=object)
    path = write_mat(tmp_path / "x.mat", {"ecg": ECG[:2], "leads": names, "fs": 500.0})
    assert read_mat(path).channels == ("I", "aVR")


def test_what_the_file_does_not_say_is_asked_for(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"data": ECG})
    with pytest.raises(LeadError, match="pass leads="):
        read_mat(path)
    with pytest.raises(DataError, match="no sampling rate"):
        read_mat(path, LEADS)


def test_cpsc_2018_is_known_by_its_layout_and_can_be_overruled(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"ECG": {"sex": "Male", "age": 52.0, "data": ECG}})
    found = read_mat(path)
    assert (found.channels, found.rate_hz) == (STANDARD_12, 500.0)
    assert found.labels == {"age": 52, "sex": "male"}
    assert "layout of CPSC 2018" in found.notes[0]
    assert read_mat(path, ReadOptions(rate_hz=400.0)).rate_hz == 400.0
    assert read_mat(path, ReadOptions(leads=[f"x{i}" for i in range(12)])).channels[0] == "x0"


def test_real_cpsc_2018_is_what_scipy_reads():
    folder = real_data("ecg/cpsc2018_sample")
    paths = sorted(folder.glob("*.mat"))
    assert len(paths) == 3
    for path in paths:
        found = read_mat(path)
        struct_ = loadmat(path)["ECG"][0, 0]
        np.testing.assert_array_equal(found.values, struct_["data"].astype(np.float32))
        assert found.labels["age"] == int(struct_["age"][0, 0])
        assert found.labels["sex"] == str(struct_["sex"][0]).lower()
        assert found.rate_hz == 500.0


def test_the_matrix_of_a_wfdb_record_is_what_scipy_reads():
    path = sorted(real_data("ecg/cinc2021_sample").glob("*.mat"))[0]
    options = ReadOptions(leads=STANDARD_12, rate_hz=500, unit="arbitrary")
    np.testing.assert_array_equal(read_mat(path, options).values, loadmat(path)["val"])


def mat5(tmp_path):
    return write_mat(tmp_path / "x.mat", {"data": ECG, "fs": 500.0}, compressed=False)


def patch(at, new):
    return lambda raw: raw[:at] + new + raw[at + len(new) :]


def compressed(size):
    body = zlib.compress(bytes(size))
    return lambda raw: raw[:128] + struct.pack("<2I", 15, len(body)) + body


# in the uncompressed file: tag 128, flags 136, dims 152 (tag) and 160, name, then the numbers
REFUSED = {
    "empty": lambda raw: b"",
    "header only half": lambda raw: raw[:100],
    "random": lambda raw: np.random.default_rng(0).bytes(2000),
    "cut": lambda raw: raw[: len(raw) // 2],
    "cut in a tag": lambda raw: raw[:-5],
    "huge element": patch(132, b"\xff\xff\xff\x7f"),
    "huge dimension": patch(160, b"\xff\xff\xff\x7f"),
    "negative dimension": patch(160, b"\xff\xff\xff\xff"),
    "other dimension": patch(160, struct.pack("<i", 13)),
    "type without size": patch(176, struct.pack("<I", 200)),
    "bomb": compressed(400 << 20),
    "compressed nothing": compressed(16),
    "damaged zlib": lambda raw: raw[:128] + struct.pack("<2I", 15, 8) + b"x" * 8,
    "two signals": lambda raw: raw + raw[128:],
}


@pytest.mark.parametrize("row", REFUSED)
def test_bad_files_are_refused(tmp_path, row):
    path = mat5(tmp_path)
    raw = path.read_bytes()
    path.write_bytes(REFUSED[row](raw))
    if row == "two signals":  # of one name: the last counts, as in MATLAB
        assert read_mat(path, LEADS).values.shape == ECG.shape
        return
    with pytest.raises(DataError):
        read_mat(path, LEADS)


def test_several_matrices_are_refused_unless_one_is_named(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"first": ECG, "second": ECG, "fs": 500.0})
    with pytest.raises(FormatError, match="got 2 among first .*second"):
        read_mat(path, LEADS)
    write_mat(path, {"ecg": ECG, "filtered": ECG, "fs": 500.0})
    assert read_mat(path, LEADS).values.shape == ECG.shape


def test_complex_sparse_and_object_variables_are_passed_over(tmp_path):
    from scipy.sparse import eye

    variables = {"data": ECG, "fs": 500.0, "z": ECG + 1j, "s": eye(40), "st": {"x": "text"}}
    assert read_mat(write_mat(tmp_path / "x.mat", variables), LEADS).rate_hz == 500.0


def test_version_4_is_compared_with_its_size(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"val": ECG, "fs": 500.0}, version="4")
    raw = path.read_bytes()
    for damaged in (raw[:-900], raw[:1000], patch(4, b"\xff\xff\xff\x7f")(raw), raw + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            read_mat(path, LEADS)


def hdf5(path, fill):
    with h5py.File(path, "w") as file:
        fill(file)
    return path


@pytest.mark.parametrize("kind", ["external link", "soft link", "external storage", "huge"])
def test_h1_h2_an_hdf5_file_that_leads_elsewhere_is_refused(tmp_path, kind):
    secret = hdf5(tmp_path / "secret.h5", lambda f: f.create_dataset("data", data=ECG))
    np.save(tmp_path / "raw.bin", ECG)

    def fill(file):
        if kind == "external link":
            file["data"] = h5py.ExternalLink(str(secret), "data")
        elif kind == "soft link":
            file["data"] = h5py.SoftLink("/elsewhere")
        elif kind == "external storage":
            place = [(str(tmp_path / "raw.bin.npy"), 0, ECG.nbytes)]
            file.create_dataset("data", ECG.shape, "f8", external=place)
        else:
            file.create_dataset("data", (12, 500_000_000), "f8", chunks=(1, 1000))

    with pytest.raises(DataError, match="link|another file|declares"):
        read_mat(hdf5(tmp_path / "x.mat", fill), LEADS)


def test_a_name_that_is_no_text_is_refused(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"data": ECG, "fs": 500.0}, version="7.3")
    path.write_bytes(path.read_bytes().replace(b"data\0", b"d\xff\xfea\0"))
    with pytest.raises(FormatError, match="damaged"):
        read_mat(path, LEADS)


def test_a_damaged_hdf5_file_is_refused(tmp_path):
    path = write_mat(tmp_path / "x.mat", {"data": ECG, "fs": 500.0}, version="7.3")
    raw = path.read_bytes()
    for damaged in (raw[:3000], raw[:600], raw[:520] + bytes(2000)):
        path.write_bytes(damaged)
        with pytest.raises(FormatError):
            read_mat(path, LEADS)


def test_a_whole_file_is_read_with_its_arrays_of_structs_and_nothing_passed_over(tmp_path):
    places = np.array([("Fz", 0.1), ("Cz", 0.2)], dtype=[("labels", object), ("X", object)])
    savemat(tmp_path / "x.mat", {"EEG": {"chanlocs": places, "power": np.ones((2, 3)) + 1j}})
    raw = (tmp_path / "x.mat").read_bytes()
    assert read_mat5(raw, max_bytes=1 << 20, where="x.mat")["EEG"] == {}
    found = read_mat5(raw, max_bytes=1 << 20, where="x.mat", whole=True)["EEG"]
    assert [row["labels"] for row in found["chanlocs"]] == ["Fz", "Cz"]
    assert "power" not in found
    savemat(tmp_path / "y.mat", {"W": csc_array(np.eye(3))})
    raw = (tmp_path / "y.mat").read_bytes()
    assert read_mat5(raw, max_bytes=1 << 20, where="y.mat") == {}
    with pytest.raises(FormatError, match="sparse"):
        read_mat5(raw, max_bytes=1 << 20, where="y.mat", whole=True)
