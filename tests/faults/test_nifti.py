"""Rows N1 to N7: images that lie about their size or hold nothing, and series the other way up.

Each is met under a cap of memory and processor time: what declares gigabytes is refused from its
header, before anything is unpacked.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.fmri import BrainJEPA
from biojepa.fmri.files import read_table
from biojepa.fmri.images import check_nifti, read_parcels, read_volume
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


def bomb(root: Path) -> Callable[[], Any]:
    """A file of about a megabyte that unpacks to a gigabyte of zeros, as it says."""
    shape = (500, 500, 500, 8)
    with gzip.open(root / "bomb.nii.gz", "wb", compresslevel=9) as file:
        file.write(header(shape, datatype=2))
        for _ in range(1000):
            file.write(bytes(10**6))
    assert (root / "bomb.nii.gz").stat().st_size < 1.1e6
    return lambda: check_nifti(root / "bomb.nii.gz")


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
ENTITIES = '<!DOCTYPE g [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>\n<GIFTI'
ROWS: dict[str, Row] = {
    "N1-huge": raw_file(header(HUGE), "max_bytes"),
    "N1-huge-gz": raw_file(gzip.compress(header(HUGE)), "max_bytes", "x.nii.gz"),
    "N2-bomb": Row(bomb, match="unpacked"),
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
    "N6-entities": Row(gifti(lambda t: t.replace("<GIFTI", ENTITIES, 1)), match="entities"),
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
    name: replace(row, memory=ROOMY) if name[:2] in ("N4", "N5", "N7") else row
    for name, row in ROWS.items()
}
ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_an_image_or_a_series_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
