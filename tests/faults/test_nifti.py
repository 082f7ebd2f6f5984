"""Rows N1 to N7: images that lie about their size or hold nothing, and series the other way up.

Each is met under a cap of memory and processor time: what declares gigabytes, or unpacks to them,
is refused within two seconds, under 96 MB.
"""

from __future__ import annotations

import base64
import functools
import gzip
import re
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.fmri import BrainJEPA
from biojepa.fmri.files import read_table
from biojepa.fmri.images import check_nifti, read_volume
from biojepa.fmri.surface import read_parcels
from tests.faults.cage import MB
from tests.faults.rows import Row, fine, in_one_child

nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
pytest.importorskip("nilearn.maskers", reason="the extra fmri is not installed")
pytestmark = [
    # nilearn and what it imports warn about their own future
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
ROOMY = 512 * MB  # nilearn and its libraries


def header(shape: tuple[int, ...], *, datatype: int = 16, magic: bytes = b"n+1\0") -> bytes:
    """A NIfTI-1 header that declares any shape."""
    raw = bytearray(352)
    raw[0:4] = struct.pack("<i", 348)
    raw[40:56] = struct.pack("<8h", len(shape), *shape, *[1] * (7 - len(shape)))
    raw[70:72] = struct.pack("<h", datatype)
    raw[76:112] = struct.pack("<9f", 1, 4, 4, 4, 2, 0, 0, 0, 352)
    raw[344:348] = magic
    return bytes(raw)


def raw_file(data: bytes, match: str, name: str = "x.nii") -> Row:
    """Bytes in place of an image; refused by the reader of tables too."""

    def make(root: Path) -> Callable[[], Any]:
        (root / name).write_bytes(data)
        return lambda: check_nifti(root / name)

    return Row(make, match=match)


def bomb(
    meet: Callable[[Path], Callable[[], Any]], *, shape: tuple[int, ...] = (500, 500, 500, 8)
) -> Callable[[Path], Callable[[], Any]]:
    """A file of about a megabyte that unpacks to a gigabyte of zeros, whatever it declares."""

    def make(root: Path) -> Callable[[], Any]:
        (root / "bomb.nii.gz").write_bytes(packed(header(shape, datatype=2)))
        assert 5e5 < (root / "bomb.nii.gz").stat().st_size < 1.1e6
        return meet(root)

    return make


@functools.lru_cache(maxsize=8)
def packed(head: bytes, *, wbits: int = 31) -> bytes:
    """These bytes and a gigabyte of zeros as gzip (31) or zlib (15)."""
    raw, zeros = zlib.compressobj(9, wbits=-15), bytes(10**6)
    start = raw.compress(head) + raw.flush(zlib.Z_FULL_FLUSH)
    block = raw.compress(zeros) + raw.flush(zlib.Z_FULL_FLUSH)  # a piece that may be repeated
    data = start + 1000 * block + raw.flush()
    check = zlib.crc32 if wbits == 31 else zlib.adler32
    total = check(head)
    for _ in range(1000):
        total = check(zeros, total)
    if wbits == 31:
        size = len(head) + 10**9
        return b"\x1f\x8b\x08\0\0\0\0\0\2\xff" + data + struct.pack("<2I", total, size)
    return b"\x78\xda" + data + struct.pack(">I", total)


def as_part(name: str) -> Callable[[Path], Callable[[], Any]]:
    """Read a good image whose atlas or mask is the bomb, or the bomb with a good atlas."""

    def meet(root: Path) -> Callable[[], Any]:
        volume()(root)
        files = {"path": root / "bold.nii", "labels": root / "atlas.nii"}
        files[name] = root / "bomb.nii.gz"
        return lambda: read_volume(**files).values.shape  # type: ignore[arg-type]

    return meet


def packed_vertices(declared: int) -> Callable[[Path], Callable[[], Any]]:
    """A gigabyte of zeros in an array of a GIFTI file that says so, or says that it is small."""

    def change(text: str) -> str:
        start, end = text.index("<Data>") + 6, text.index("</Data>")
        data = base64.b64encode(packed(b"", wbits=15)).decode()
        return text[:start].replace('Dim0="6"', f'Dim0="{declared}"') + data + text[end:]

    return gifti(change)


def packed_table(n_rows: int) -> Callable[[Path], Callable[[], Any]]:
    """A compressed MATLAB variable of a gigabyte that says so, or says that it is small."""

    def make(root: Path) -> Callable[[], Any]:
        dims, name = struct.pack("<2i", n_rows, 1000), b"x".ljust(8, b"\0")
        numbers = n_rows * 8000
        size = 16 + 16 + 16 + 8 + numbers
        head = struct.pack("<2I", 14, size) + struct.pack("<4I", 6, 8, 6, 0)
        head += struct.pack("<2I", 5, 8) + dims + struct.pack("<2I", 1, 1) + name
        head += struct.pack("<2I", 9, numbers)
        data = packed(head, wbits=15)
        start = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
        (root / "x.mat").write_bytes(start + struct.pack("<2I", 15, len(data)) + data)
        return lambda: read_table(root / "x.mat")

    return make


def volume(
    edit: Callable[[np.ndarray], Any] = lambda data: None,
    *,
    tr: float = 2.0,
    slope: float | None = None,
    shift: float = 0.0,
    n_times: int = 20,
) -> Callable[[Path], Callable[[], Any]]:
    """An image and an atlas of three regions; which regions hold numbers is returned."""

    def make(root: Path) -> Callable[[], Any]:
        labels = np.zeros((8, 8, 8), dtype=np.int16)
        for i in range(3):
            labels[2 * i : 2 * i + 2, 2:5, 2:5] = i + 1
        moved = AFFINE.copy()
        moved[0, 3] = shift
        nibabel.save(nibabel.Nifti1Image(labels, moved), root / "atlas.nii")
        data = np.random.default_rng(0).standard_normal((8, 8, 8, n_times)).astype(np.float32)
        data += 100
        edit(data)
        image = nibabel.Nifti1Image(data if n_times > 1 else data[..., 0], AFFINE)
        if n_times > 1:
            image.header.set_zooms((4.0, 4.0, 4.0, tr))
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, root / "bold.nii")
        if slope is not None:
            raw = bytearray((root / "bold.nii").read_bytes())
            raw[112:116] = struct.pack("<f", slope)
            (root / "bold.nii").write_bytes(raw)

        def call() -> Any:
            run = read_volume(root / "bold.nii", root / "atlas.nii")
            return np.isfinite(run.values).all(axis=1).tolist()

        return call

    return make


def clear(region: int, value: float) -> Callable[[np.ndarray], None]:
    """One region constant."""

    def edit(data: np.ndarray) -> None:
        data[2 * region : 2 * region + 2, 2:5, 2:5] = value

    return edit


def gifti(change: Callable[[str], str]) -> Callable[[Path], Callable[[], Any]]:
    def make(root: Path) -> Callable[[], Any]:
        array = nibabel.gifti.GiftiDataArray(
            np.zeros(6, np.float32), intent="NIFTI_INTENT_TIME_SERIES", datatype="float32"
        )
        path = root / "x.func.gii"
        nibabel.save(nibabel.gifti.GiftiImage(darrays=[array, array]), path)
        (root.parent / "secret.bin").write_bytes(bytes(24))
        text = path.read_text()
        assert change(text) != text
        path.write_text(change(text))
        return lambda: read_parcels(path, labels=[1, 1, 0, 2, 2, 2])

    return make


def fit(runs: list[np.ndarray], **settings: Any) -> Callable[[Path], Callable[[], Any]]:
    """Pretrain two steps; whether features of the runs are finite."""

    def make(root: Path) -> Callable[[], Any]:
        def call() -> Any:
            jepa = BrainJEPA(preset="tiny", tr=2.0, steps=2, random_state=0, **settings)
            return bool(np.isfinite(jepa.fit(runs).transform(runs)).all())

        return call

    return make


def series(*lengths: int, regions: int = 10) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, regions)).astype(np.float32) for n in lengths]


def table(name: str, data: bytes, match: str) -> Row:
    def make(root: Path) -> Callable[[], Any]:
        (root / name).write_bytes(data)
        return lambda: read_table(root / name)

    return Row(make, match=match)


def npy(declared: str) -> bytes:
    """An `.npy` header that declares anything, and 80 bytes."""
    head = f"{{'descr': {declared}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + bytes(80)


HUGE = (30000,) * 4
ENTITIES = '<!DOCTYPE GIFTI [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
ROWS: dict[str, Row] = {
    "N1-huge": raw_file(header(HUGE), "max_bytes"),
    "N1-huge-gz": raw_file(gzip.compress(header(HUGE)), "max_bytes", "x.nii.gz"),
    "N2-bomb": Row(bomb(lambda root: lambda: check_nifti(root / "bomb.nii.gz")), match="unpacked"),
    "N2-bomb-image": Row(bomb(as_part("path")), match="unpacked"),
    "N2-bomb-atlas": Row(bomb(as_part("labels"), shape=(1000, 1000, 1000)), match="unpacked"),
    "N2-bomb-mask": Row(bomb(as_part("mask"), shape=(1000, 1000, 1000)), match="unpacked"),
    "N2-bomb-declared-small": Row(
        bomb(as_part("path"), shape=(8, 8, 8, 20)), match="no region has a signal"
    ),
    "N2-bomb-gifti": Row(packed_vertices(250_000_000), match="not unpacked"),
    "N2-bomb-gifti-declared-small": Row(packed_vertices(6), match="24 bytes for shape"),
    "N2-bomb-table": Row(packed_table(125_000), match="unpacks"),
    "N2-bomb-table-declared-small": Row(packed_table(10), match="unpacks"),
    "N3-cut": raw_file(header((8, 8, 8, 20)) + bytes(1000), "cut"),
    "N3-cut-header": raw_file(header((8, 8, 8, 20))[:200], "cut in its header"),
    "N3-cut-gz": raw_file(gzip.compress(header((8, 8, 8, 2)))[:40], "compression", "x.nii.gz"),
    "N3-magic": raw_file(header((8, 8, 8, 2), magic=b"xxxx") + bytes(9000), "first bytes"),
    "N3-type": raw_file(header((8, 8, 8, 2), datatype=77) + bytes(9000), "datatype 77"),
    "N3-negative": raw_file(header((8, -8, 8, 2)) + bytes(9000), "at least 1"),
    "N3-zero": raw_file(header((8, 0, 8, 2)) + bytes(9000), "at least 1"),
    "N4-tr-zero": Row(volume(tr=0.0), match="no repetition time: pass tr_s="),
    "N4-tr-huge": Row(volume(tr=2000.0), match="tr_s="),
    "N4-no-time": Row(volume(n_times=1), match="4-D image"),
    "N4-nan": Row(volume(lambda data: data.fill(np.nan)), match="no region has a signal"),
    "N4-slope": Row(volume(slope=1e38), match=r"bold\.nii"),
    "N5-elsewhere": Row(volume(shift=4000.0), match=r"bold\.nii"),
    "N5-empty": fine(volume(clear(1, 0.0)), "True, False, True", warned="label-2: kept as missing"),
    "N5-constant": fine(volume(clear(2, 7.0)), "True, True, False", warned="label-3"),
    "N6-external": Row(
        gifti(lambda t: t.replace('ExternalFileName=""', 'ExternalFileName="../secret.bin"', 1)),
        match="external|another file",
    ),
    "N6-entities": Row(
        gifti(lambda t: re.sub("<!DOCTYPE.*?>", ENTITIES, t)), match="document type"
    ),
    "N6-size": Row(
        gifti(lambda t: t.replace('Dim0="6"', 'Dim0="900000000"')), match="declares more data"
    ),
    "N7-transposed": Row(
        fit([run.T for run in series(40, 48, 56)]), match="orientation='region-time'"
    ),
    "N7-one-region": fine(fit(series(40, 48, regions=1)), "True"),
    "N7-shorter-than-a-patch": fine(fit(series(3, 40, 48)), "True"),
    "N7-unequal": fine(fit(series(40, 90, 64)), "True"),
    "H3-series-objects": table("x.npy", npy("'|O', 'fortran_order': False, 'shape': (10,)"), "npy"),
    "H3-series-huge": table(
        "x.npy", npy("'<f8', 'fortran_order': False, 'shape': (90000, 90000)"), "the file is cut"
    ),
    "H3-series-text": table("x.csv", b"1,2\n3,four\n", "row 2, column 2"),
    "H3-series-no-mat": table("x.mat", b"MATLAB 5.0 MAT-file" + bytes(200), "x.mat"),
}
ROWS = {
    name: replace(row, memory=ROOMY) if name[:2] in ("N4", "N5", "N7") else replace(row, cpu_s=2)
    for name, row in ROWS.items()
}
ROWS["N2-bomb-declared-small"] = replace(ROWS["N2-bomb-declared-small"], memory=ROOMY)
ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_an_image_or_a_series_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
