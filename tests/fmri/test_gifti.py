"""Series of vertices in GIFTI files, and row N6 of the catalogue of faults."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from biojepa.errors import DataError, FormatError
from biojepa.fmri.gifti import read_gifti
from biojepa.fmri.surface import read_parcels

nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
DATA = np.random.default_rng(0).standard_normal((5, 6)).astype(np.float32)
TYPES = {"uint8": "NIFTI_TYPE_UINT8", "int32": "NIFTI_TYPE_INT32", "float32": "NIFTI_TYPE_FLOAT32"}


def write(
    path: Path,
    data: np.ndarray = DATA,
    *,
    encoding: str = "GZipBase64Binary",
    dtype: str = "float32",
    whole: bool = False,
    **options: str,
) -> Path:
    """One array a frame, or one of vertices x frames."""
    arrays = [
        nibabel.gifti.GiftiDataArray(
            np.ascontiguousarray(array, dtype=dtype),
            intent="NIFTI_INTENT_TIME_SERIES",
            datatype=dtype,
            encoding=encoding,
            **options,
        )
        for array in ([data.T] if whole else data)
    ]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    return path


@pytest.mark.parametrize("encoding", ["ASCII", "Base64Binary", "GZipBase64Binary"])
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("whole", [False, True])
def test_every_encoding_and_type_is_read_as_nibabel_reads_it(
    tmp_path, encoding, dtype, whole
) -> None:
    data = DATA if dtype == "float32" else np.arange(30).reshape(5, 6)
    path = write(tmp_path / "a.func.gii", data, encoding=encoding, dtype=dtype, whole=whole)
    found = read_gifti(path, max_bytes=1 << 20)
    arrays = [array.data for array in nibabel.load(path).darrays]
    expected = arrays[0].T if whole else np.stack(arrays)
    assert (found.shape, found.dtype) == ((5, 6), np.float32)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_columns_first_and_big_ends_are_read(tmp_path) -> None:
    path = write(tmp_path / "a.func.gii", whole=True, encoding="Base64Binary")
    turned = np.ascontiguousarray(DATA)  # vertices x frames with columns first
    text = path.read_text()

    data = base64.b64encode(turned.astype(">f4").tobytes()).decode()
    text = re.sub("<Data>.*?</Data>", f"<Data>{data}</Data>", text, flags=re.DOTALL)
    text = text.replace("RowMajorOrder", "ColumnMajorOrder")
    text = text.replace("LittleEndian", "BigEndian")
    path.write_text(text)
    np.testing.assert_array_equal(read_gifti(path, max_bytes=1 << 20), DATA)


def test_vertices_are_averaged_by_label(tmp_path) -> None:
    path = write(tmp_path / "a.func.gii")
    table, names, tr = read_parcels(path, labels=[1, 1, 0, 2, 2, 2])
    np.testing.assert_allclose(table[:, 0], DATA[:, :2].mean(axis=1), rtol=1e-6)
    assert (table.shape, names, tr) == ((5, 2), ["label-1", "label-2"], None)
    with pytest.raises(DataError, match="needs labels="):
        read_parcels(path)


DAMAGE = {
    "external": (('ExternalFileName=""', 'ExternalFileName="../secret.bin"'), "in another file"),
    "entity": (
        ("<!DOCTYPE GIFTI", '<!DOCTYPE g [<!ENTITY a "aaaa">]>\n<!DOCTYPE x'),
        "document type",
    ),
    "other type": (("gifti.dtd", "evil.dtd"), "document type"),
    "size": (('Dim0="6"', 'Dim0="900000000"'), "max_bytes allows"),
    "small": (('Dim0="6"', 'Dim0="5"'), "20 bytes for shape"),
    "large": (('Dim0="6"', 'Dim0="7"'), "28 bytes for shape"),
    "axes": (('Dimensionality="1"', 'Dimensionality="9"'), "expected an array of numbers"),
    "no size": (('Dim0="6"', 'Dim0="-6"'), "expected an array of numbers"),
    "kind": (("NIFTI_TYPE_FLOAT32", "NIFTI_TYPE_RGB24"), "expected an array of numbers"),
    "encoding": (("GZipBase64Binary", "Rot13"), "expected an array of numbers"),
    "root": (("GIFTI Version", "G Version"), "well-formed"),
    "base64": (("<Data>", "<Data>###"), "Base64"),
    "not packed": (("<Data>", "<Data>AAAA"), "compression of an array is damaged"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_hostile_or_damaged_file_is_refused(tmp_path, kind) -> None:
    path = write(tmp_path / "a.func.gii")
    (old, new), message = DAMAGE[kind]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (tmp_path.parent / "secret.bin").write_bytes(bytes(24))
    with pytest.raises(FormatError, match=message) as caught:
        read_gifti(path, max_bytes=1 << 20)
    assert "a.func.gii" in str(caught.value)


def test_a_cut_file_a_surface_and_words_are_refused(tmp_path) -> None:
    path = write(tmp_path / "a.func.gii", encoding="ASCII")
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(FormatError, match="well-formed"):
        read_gifti(path, max_bytes=1 << 20)
    path.write_text(re.sub("<Data>.*?</Data>", "<Data>a b c d e f</Data>", text, flags=re.DOTALL))
    with pytest.raises(FormatError, match="expected numbers in an array"):
        read_gifti(path, max_bytes=1 << 20)
    path.write_text(re.sub("<Data>.*?</Data>", "<Data>1</Data>", text, flags=re.DOTALL))
    with pytest.raises(FormatError, match="declares more data"):
        read_gifti(path, max_bytes=1 << 20)
    with pytest.raises(FormatError, match="more than max_bytes=100"):
        read_gifti(path, max_bytes=100)
    path.write_text("<GIFTI/>")
    with pytest.raises(FormatError, match="with data arrays"):
        read_gifti(path, max_bytes=1 << 20)
    points = np.zeros((4, 3), np.float32)
    arrays = [nibabel.gifti.GiftiDataArray(points), nibabel.gifti.GiftiDataArray(points)]
    nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    with pytest.raises(FormatError, match="a surface is no series"):
        read_gifti(path, max_bytes=1 << 20)
