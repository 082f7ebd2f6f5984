"""Region series from images, and rows N1 to N6 of the catalogue of faults."""

from __future__ import annotations

import gzip
import struct

import numpy as np
import pytest

from biojepa.errors import DataError, FormatError, PlausibilityWarning
from biojepa.fmri.files import open_paths
from biojepa.fmri.images import check_nifti, read_volume, region_centres

nibabel = pytest.importorskip("nibabel", reason="the extra fmri is not installed")
pytest.importorskip("nilearn", reason="the extra fmri is not installed")
pytestmark = [
    # nilearn and what it imports warn about their own future
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]

AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])


def atlas(path, values=(3, 7, 9), affine=AFFINE):
    """A label image of small cubes."""
    labels = np.zeros((8, 8, 8), dtype=np.int16)
    for i, value in enumerate(values):
        labels[2 * i : 2 * i + 2, 2:5, 2:5] = value
    nibabel.save(nibabel.Nifti1Image(labels, affine), path)
    return labels


def image(path, labels, *, n_times=20, tr=2.0, dtype=np.float32, edit=None):
    """A series whose regions follow waves of their own."""
    rng = np.random.default_rng(0)
    data = 100 + rng.standard_normal((*labels.shape, n_times)).astype(dtype)
    waves = {}
    for k, value in enumerate(np.unique(labels[labels > 0])):
        waves[int(value)] = 10 * np.sin(np.arange(n_times) * (k + 1) / 3)
        data[labels == value] += waves[int(value)].astype(dtype)
    if edit is not None:
        edit(data)
    volume = nibabel.Nifti1Image(data, AFFINE)
    volume.header.set_zooms((4.0, 4.0, 4.0, tr))
    volume.header.set_xyzt_units("mm", "sec")
    nibabel.save(volume, path)
    return waves


@pytest.fixture
def files(tmp_path):
    labels = atlas(tmp_path / "atlas.nii.gz")
    return tmp_path / "bold.nii.gz", tmp_path / "atlas.nii.gz", labels


def test_a_volume_gives_the_mean_of_each_region_by_its_label(files) -> None:
    path, labels_path, labels = files
    waves = image(path, labels)
    run = read_volume(path, labels_path, names={9: "C", 3: "A"})
    assert run.channels == ("C", "A")
    assert run.values.shape == (2, 20)
    assert run.rate_hz == 0.5
    for row, value in zip(run.values, (9, 3), strict=True):
        assert np.corrcoef(row, waves[value])[0, 1] > 0.99
    assert read_volume(path, labels_path).channels == ("label-3", "label-7", "label-9")


def test_a_label_that_the_image_does_not_reach_is_kept_as_missing(files, tmp_path) -> None:
    path, labels_path, labels = files
    waves = image(path, labels)
    mask = np.ones(labels.shape, dtype=np.uint8)
    mask[labels == 7] = 0
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    with pytest.warns(PlausibilityWarning, match="1 of 3 regions missing or flat: label-7"):
        run = read_volume(path, labels_path, mask=tmp_path / "mask.nii.gz")
    assert np.isnan(run.values[1]).all()
    assert np.corrcoef(run.values[2], waves[9])[0, 1] > 0.99  # not moved up a row


def test_a_constant_region_is_missing_and_an_empty_image_refused(files) -> None:
    path, labels_path, labels = files
    image(path, labels, edit=lambda data: data.__setitem__(labels == 3, 5.0))
    with pytest.warns(PlausibilityWarning, match="label-3"):
        assert np.isnan(read_volume(path, labels_path).values[0]).all()
    image(path, labels, edit=lambda data: data.fill(0.0))
    with pytest.raises(DataError, match="no region has a signal"):
        read_volume(path, labels_path)
    image(path, labels, edit=lambda data: data.fill(np.nan))
    with pytest.raises((DataError, FormatError)):
        read_volume(path, labels_path)


def test_an_atlas_elsewhere_is_refused(files, tmp_path) -> None:
    path, _, labels = files
    image(path, labels)
    far = AFFINE.copy()
    far[:3, 3] = 5000.0
    atlas(tmp_path / "far.nii.gz", affine=far)
    with pytest.raises((DataError, FormatError), match=r"bold\.nii\.gz"):
        read_volume(path, tmp_path / "far.nii.gz")


@pytest.mark.parametrize(("tr", "message"), [(2000.0, "milliseconds"), (0.0, "no repetition time")])
def test_an_impossible_repetition_time_is_refused_and_can_be_given(files, tr, message) -> None:
    path, labels_path, labels = files
    image(path, labels, tr=tr)
    with pytest.raises(DataError, match=message):
        read_volume(path, labels_path)
    assert read_volume(path, labels_path, tr_s=2.0).rate_hz == 0.5


def test_a_header_in_milliseconds_is_converted(files) -> None:
    path, labels_path, labels = files
    image(path, labels)
    volume = nibabel.load(path)
    volume.header.set_zooms((4.0, 4.0, 4.0, 1500.0))
    volume.header.set_xyzt_units("mm", "msec")
    nibabel.save(volume, path.with_name("ms.nii.gz"))
    assert read_volume(path.with_name("ms.nii.gz"), labels_path).rate_hz == pytest.approx(1 / 1.5)


def test_an_image_without_time_is_refused(files) -> None:
    _, labels_path, _ = files
    with pytest.raises(FormatError, match="4-D image"):
        read_volume(labels_path, labels_path)


def test_centres_of_regions_are_millimetres_in_the_order_of_the_labels(files) -> None:
    _, labels_path, _ = files
    centres = region_centres(labels_path)
    np.testing.assert_allclose(centres, [[2, 12, 12], [10, 12, 12], [18, 12, 12]])
    turned = region_centres(labels_path, values=[9, 5, 3])
    np.testing.assert_allclose(turned, [[18, 12, 12], [np.nan] * 3, [2, 12, 12]])
    data = labels_path.read_bytes()
    labels_path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"atlas\.nii\.gz"):
        region_centres(labels_path)


def header(shape, datatype=16, magic=b"n+1\0", offset=352.0) -> bytes:
    """A NIfTI-1 header that declares any shape."""
    raw = bytearray(352)
    raw[0:4] = struct.pack("<i", 348)
    raw[40:56] = struct.pack("<8h", len(shape), *shape, *[1] * (7 - len(shape)))
    raw[70:72] = struct.pack("<h", datatype)
    raw[76:108] = struct.pack("<8f", 1, 4, 4, 4, 2, 0, 0, 0)
    raw[108:112] = struct.pack("<f", offset)
    raw[344:348] = magic
    return bytes(raw)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("huge.nii", header((30000,) * 4), "max_bytes"),
        ("huge.nii.gz", gzip.compress(header((30000,) * 4)), "max_bytes"),
        ("bomb.nii.gz", gzip.compress(header((500, 500, 500, 8), 2) + bytes(10**6)), "unpacked"),
        ("cut.nii", header((8, 8, 8, 20)) + bytes(1000), "cut"),
        ("header.nii", header((8, 8, 8, 20))[:200], "cut in its header"),
        ("magic.nii", header((8, 8, 8, 2), magic=b"xxxx") + bytes(9000), "first bytes"),
        ("type.nii", header((8, 8, 8, 2), datatype=77) + bytes(9000), "datatype 77"),
        ("negative.nii", header((8, -8, 8, 2)) + bytes(9000), "at least 1"),
        ("zero.nii", header((8, 0, 8, 2)) + bytes(9000), "at least 1"),
        ("damaged.nii.gz", gzip.compress(header((8, 8, 8, 2)))[:40], "compression"),
        ("empty.nii", b"", "cut in its header"),
    ],
)
def test_a_hostile_volume_is_refused_from_its_header(tmp_path, name, data, message) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message) as caught:
        check_nifti(path)
    assert name in str(caught.value)


def test_a_cut_compressed_volume_and_a_huge_slope_are_refused(files) -> None:
    path, labels_path, labels = files
    image(path, labels)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FormatError, match=r"bold\.nii\.gz"):
        read_volume(path, labels_path)
    image(path.with_name("a.nii"), labels)
    raw = bytearray(path.with_name("a.nii").read_bytes())
    raw[112:116] = struct.pack("<f", 1e38)
    path.with_name("slope.nii").write_bytes(raw)
    with pytest.raises((FormatError, DataError), match=r"slope\.nii"):
        read_volume(path.with_name("slope.nii"), labels_path)


def test_a_volume_without_an_atlas_says_what_to_do(files) -> None:
    path, _, labels = files
    image(path, labels)
    with pytest.raises(FormatError, match="a volume needs an atlas"):
        open_paths(path, tr_s=2.0, regions=None, orientation="auto")
