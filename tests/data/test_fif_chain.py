"""Chains of FIF tags, and row E8 of the catalogue of faults."""

from __future__ import annotations

import functools
import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from biojepa.data.eeg_reader import read_eeg
from biojepa.data.fif_chain import check_fif_chain, check_fif_file
from biojepa.errors import FormatError
from tests.conftest import real_data
from tests.data.eeg_factory import write_fif
from tests.eeg.published import needs_eeg
from tests.faults.cage import MB, run_many
from tests.faults.test_fuzz import mutant


def tag(kind: int, data: bytes = b"", *, following: int = 0, size: int | None = None) -> bytes:
    return struct.pack(">4i", kind, 3, len(data) if size is None else size, following) + data


def chain(*following: int) -> bytes:
    """Tags of 20 bytes each; the file id and directory pointer that MNE wants to see first."""
    first = tag(100, bytes(20)).replace(struct.pack(">i", 3), struct.pack(">i", 31), 1)
    first += tag(101, struct.pack(">i", -1))
    return first + b"".join(tag(200, b"\0\0\0\1", following=place) for place in following)


START = len(chain())


def with_directory(place: int) -> bytes:
    """A chain with a directory at its end, whose one entry leads to a byte."""
    body = chain(0) + tag(7, struct.pack(">4i", 7, 3, 2 * 10**9, 0))  # whose data looks like a tag
    entry = struct.pack(">4i", 7, 3, 4, place)
    body = body.replace(struct.pack(">i", -1), struct.pack(">i", len(body)), 1)
    return body + tag(102, entry, following=-1)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ((0, 0, START), rf"runs in a circle .back to byte {START} after 5 tags"),
        ((START,), "circle"),
        ((0, 0, 0, START + 20), "circle"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_chain_that_runs_in_a_circle_is_refused(tmp_path, places, message, packed) -> None:
    path = tmp_path / ("x_raw.fif.gz" if packed else "x_raw.fif")
    data = chain(*places)
    path.write_bytes(gzip.compress(data) if packed else data)
    with pytest.raises(FormatError, match=message):
        check_fif_chain(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (chain() + tag(200, size=-30), "size of -30"),
        (chain() + tag(200, size=-(START + 16)), "has a size of"),
        (chain() + tag(300, size=10**9), "declares 1000000000 bytes, more than there are"),
        (chain(0) + tag(300, bytes(10), size=11, following=-1), "declares 11 bytes"),
        (with_directory(START + 36), "byte 92 declares 2000000000 bytes"),
        (chain(START + 20 * 149, -1, *[START + 20 * k for k in range(1, 149)]), "back more than"),
    ],
)
def test_sizes_that_cannot_be_and_a_chain_that_only_leads_back_are_refused(
    tmp_path, data, message
) -> None:
    path = tmp_path / "x_raw.fif"
    path.write_bytes(data)
    with pytest.raises(FormatError, match=message):
        check_fif_chain(path)


def test_a_chain_that_ends_jumps_or_is_cut_is_left_to_the_reader(tmp_path) -> None:
    path = tmp_path / "x_raw.fif"
    for data in (chain(0, 0, -1), chain(START + 40, 0, -1), chain(0, 10**6), chain()[:10], b""):
        path.write_bytes(data)
        check_fif_chain(path)
    path.write_bytes(with_directory(START))
    check_fif_chain(path)
    real = real_data("eeg")
    files = [p for p in sorted(real.rglob("*")) if p.name.endswith((".fif", ".fif.gz"))]
    assert files
    for file in files:
        check_fif_chain(file)


def test_a_packed_file_that_is_damaged_or_a_bomb_is_refused(tmp_path) -> None:
    path = tmp_path / "x_raw.fif.gz"
    whole = gzip.compress(chain(0, 0, -1) + np.random.default_rng(0).bytes(9000))
    for data in (whole[:40], b"no gzip at all", whole[:20] + b"\xff" * 30 + whole[50:]):
        path.write_bytes(data)
        with pytest.raises(FormatError, match="compression is damaged"):
            check_fif_chain(path)
    zeros = 80 * MB
    path.write_bytes(gzip.compress(chain() + tag(300, size=zeros) + bytes(zeros) + tag(108)))
    with pytest.raises(FormatError, match="more than a recording of its size unpacks to"):
        check_fif_chain(path)
    path.write_bytes(gzip.compress(chain(70 * MB)))
    with pytest.raises(FormatError, match="is not unpacked"):
        check_fif_chain(path)


@pytest.mark.parametrize(
    ("first", "second"),
    [("x_raw.fif", "x_raw-1.fif"), ("s_split-01_eeg.fif", "s_split-02_eeg.fif")],
)
def test_further_parts_of_a_recording_are_walked_too(tmp_path, first, second) -> None:
    for name in (first, "other_raw.fif", "x_raw-eve.fif"):
        (tmp_path / name).write_bytes(chain(0, -1))
    (tmp_path / "other_raw-1.fif").write_bytes(chain(START))
    check_fif_file(tmp_path / first)
    (tmp_path / second).write_bytes(chain(START))
    with pytest.raises(FormatError, match=f"{second}.*circle"):
        check_fif_file(tmp_path / first)


@needs_eeg
def test_a_circle_does_not_fill_the_memory_through_mne(tmp_path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    good = write_fif(root / "good_raw.fif", n_times=200)
    raw = good.read_bytes()
    read_eeg(good)  # MNE is loaded here, not in the child
    circle = root / "circle_raw.fif"
    place, at = 0, []
    while place < len(raw):
        at.append(place)
        size, following = struct.unpack(">2i", raw[place + 8 : place + 16])
        if following < 0:
            break
        place = following or place + 16 + size
    changed = bytearray(raw)
    changed[at[-2] + 12 : at[-2] + 16] = struct.pack(">i", at[2])
    circle.write_bytes(changed)

    def meet(k: int) -> int:
        path: Path = root / f"m{k}_raw.fif"
        path.write_bytes(mutant(raw, np.random.default_rng(k)))
        return read_eeg(path, allow_truncated=k % 3 == 0).n_times

    calls = [lambda: read_eeg(circle).n_times, *(functools.partial(meet, k) for k in (67, 383))]
    found = run_many(calls, root=root, memory=128 * MB, cpu_s=4)
    found[0].check("refused", "runs in a circle")
    for outcome in found[1:]:
        assert outcome.ended in ("refused", "returned"), outcome
