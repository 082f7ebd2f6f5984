"""Rows H1 to H3: HDF5 that points elsewhere or lacks what it declares, arrays that are none."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from biojepa.data.files import read_ecg
from biojepa.data.store import SignalStore
from tests.data.store_factory import write_store
from tests.faults.cage import MB, Watch
from tests.faults.rows import Row, fine, in_one_child

LEADS = ["I", "II"]
GOOD = np.random.default_rng(0).normal(0, 0.3, (3, 2, 400)).astype(np.float32)


def shard(change: Callable[[h5py.File, np.ndarray, Path], Any]) -> Callable[[Path], Callable]:
    """A store whose first shard has other samples; the manifest agrees with the new file."""

    def make(root: Path) -> Callable:
        folder = write_store(root / "store", 4)
        path = folder / "shard-00000.h5"
        bait = root.parent / "bait"
        bait.mkdir()
        with h5py.File(bait / "other.h5", "w") as file:
            file["samples"] = np.full(600, 7, "<i2")
        (bait / "raw.bin").write_bytes(b"\7" * 4000)
        with h5py.File(path, "r+") as file:
            old = file["samples"][:]
            del file["samples"]
            change(file, old, bait)
        agree(folder, path)
        return lambda: SignalStore(folder).read(0).shape

    return make


def agree(folder: Path, path: Path) -> None:
    """Write the size and hash of a shard into the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["shards"][0]["n_bytes"] = path.stat().st_size
    manifest["shards"][0]["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def external_link(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """An absolute path to another file."""
    file["samples"] = h5py.ExternalLink(str(bait / "other.h5"), "/samples")


def relative_link(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """The same, relative to the shard."""
    file["samples"] = h5py.ExternalLink("../../bait/other.h5", "/samples")


def raw_storage(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """Samples that lie in any file."""
    storage = [(str(bait / "raw.bin"), 0, old.nbytes)]
    file.create_dataset("samples", old.shape, "<i2", external=storage)


def virtual(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """A virtual dataset over another file."""
    layout = h5py.VirtualLayout(old.shape, "<i2")
    layout[:] = h5py.VirtualSource(str(bait / "other.h5"), "samples", old.shape)
    file.create_virtual_dataset("samples", layout)


def to_nothing(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """A soft link to nothing."""
    file["samples"] = h5py.SoftLink("/nothing")


def to_itself(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """A soft link to itself."""
    file["samples"] = h5py.SoftLink("/samples")


def declared_only(file: h5py.File, old: np.ndarray, bait: Path) -> None:
    """4 GB that are not in the file of some kilobytes."""
    file.create_dataset("samples", (2**31,), "<i2")


def cut_shard(share: float, *, told: bool) -> Callable[[Path], Callable]:
    """A shard that was cut, with or without a manifest that agrees."""

    def make(root: Path) -> Callable:
        folder = write_store(root / "store", 4)
        path = folder / "shard-00000.h5"
        path.write_bytes(path.read_bytes()[: max(8, int(share * path.stat().st_size))])
        if told:
            agree(folder, path)
        return lambda: SignalStore(folder).read(0).shape

    return make


def killed_writer(root: Path) -> Callable:
    """What HDF5 leaves of a file whose writer was killed before it flushed."""
    folder = write_store(root / "store", 4)
    path = folder / "shard-00000.h5"
    with h5py.File(root / "new.h5", "w", libver="latest") as file:
        file["samples"] = np.zeros(1000, "<i2")
        file.flush()
        unfinished = bytearray((root / "new.h5").read_bytes())
    unfinished[48:] = bytes(len(unfinished) - 48)
    path.write_bytes(unfinished)
    agree(folder, path)
    return lambda: SignalStore(folder).read(0).shape


def npy_bytes(array: np.ndarray) -> bytes:
    """An array as a file."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def header(text: str, data: bytes = b"") -> bytes:
    """An `.npy` file with any header."""
    raw = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(raw)) + raw + data


def array_file(raw: bytes | Callable[[], bytes], name: str = "x.npy") -> Callable[[Path], Callable]:
    """Read a file of these bytes."""

    def make(root: Path) -> Callable:
        (root / name).write_bytes(raw if isinstance(raw, bytes) else raw())
        return lambda: len(read_ecg(root / name, leads=LEADS, rate_hz=100))

    return make


def archive(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, raw in members:
            file.writestr(name, raw)
    return buffer.getvalue()


def encrypted(raw: bytes) -> bytes:
    """The flag of an encrypted member, in both places where it stands."""
    changed = bytearray(raw)
    changed[6] |= 1
    changed[raw.rindex(b"PK\1\2") + 8] |= 1
    return bytes(changed)


def smaller_declared(raw: bytes) -> bytes:
    """The directory says that the member unpacks to less than it does."""
    changed = bytearray(raw)
    place = raw.rindex(b"PK\1\2") + 24
    changed[place : place + 4] = struct.pack("<I", 4000)
    return bytes(changed)


PLAIN = npy_bytes(GOOD)
ZEROS = header("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 134217728), }") + bytes(
    64 * MB
)
SHAPE = "{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}"


def bad(raw: bytes | Callable[[], bytes], match: str, name: str = "x.npy") -> Row:
    """A file that is refused within 32 MB and two seconds of processor time."""
    return Row(array_file(raw, name), "refused", match, memory=32 * MB, cpu_s=2)


ROWS: dict[str, Row] = {
    "H1-external-link": Row(shard(external_link), "refused", "ExternalLink"),
    "H1-relative-link": Row(shard(relative_link), "refused", "ExternalLink"),
    "H1-raw-storage": Row(shard(raw_storage), "refused", "stored in another file"),
    "H1-virtual": Row(shard(virtual), "refused", "virtual"),
    "H1-link-to-nothing": Row(shard(to_nothing), "refused", "SoftLink"),
    "H1-link-to-itself": Row(shard(to_itself), "refused", "SoftLink"),
    "H2-declared-only": Row(shard(declared_only), "refused", "not in the file", memory=32 * MB),
    **{
        f"H2-cut-{share}{'-told' if told else ''}": Row(
            cut_shard(share, told=told), "refused", "killed|declares"
        )
        for share in (0.0, 0.5, 0.99)
        for told in (False, True)
    },
    "H2-killed-writer": Row(killed_writer, "refused", "its writer was killed"),
    "H3-object": bad(npy_bytes(np.array([{"a": 1}, None], dtype=object)), "object"),
    "H3-record": bad(npy_bytes(np.zeros(4, dtype=[("a", "f4"), ("b", "i2")])), "record arrays"),
    "H3-huge": bad(header(SHAPE.format("<f8", "(2, 100000000000)")), "is cut"),
    "H3-overflow": bad(header(SHAPE.format("<f8", "(4294967296, 4294967296)")), "is cut"),
    "H3-negative": bad(header(SHAPE.format("<f4", "(-1, 400)")), "plain array"),
    "H3-expression": bad(header("{'descr': __import__('os').getcwd(), }"), "plain array"),
    "H3-deep": bad(header("(" * 100), "plain array"),
    "H3-cut": bad(PLAIN[:-1], "is cut"),
    "H3-cut-header": bad(PLAIN[:40], "header is cut"),
    "H3-empty": bad(b"", "first bytes"),
    "H3-html": bad(b"<!DOCTYPE html>" * 20, "first bytes"),
    "H3-no-data": bad(header(SHAPE.format("<f4", "(0, 2, 400)")), "none of them 0"),
    "H3-infinite": bad(npy_bytes(np.where(GOOD > 0.9, np.inf, GOOD)), "infinite"),
    "H3-complex": bad(npy_bytes(GOOD.astype(complex)), "integers or floats"),
    "H3-other-order": fine(array_file(npy_bytes(np.asfortranarray(GOOD.astype(">f8")))), "^3$"),
    "H3-npz": fine(array_file(archive(("x.npy", PLAIN)), "x.npz"), "^3$"),
    "H3-npz-bomb": bad(lambda: archive(("x.npy", ZEROS)), "would grow", "x.npz"),
    "H3-npz-hidden-bomb": bad(
        lambda: smaller_declared(archive(("x.npy", ZEROS))), "x.npz", "x.npz"
    ),
    "H3-npz-many": bad(
        lambda: archive(*[(f"{i}.npy", b"") for i in range(1001)]), "at most 1000", "x.npz"
    ),
    "H3-npz-object": bad(archive(("x.npy", npy_bytes(np.array([None])))), "object", "x.npz"),
    "H3-npz-cut": bad(archive(("x.npy", PLAIN))[:-30], "damaged", "x.npz"),
    "H3-npz-flipped": bad(
        archive(("x.npy", PLAIN), method=0)[:500]
        + b"\0\0"
        + archive(("x.npy", PLAIN), method=0)[502:],
        "damaged",
        "x.npz",
    ),
    "H3-npz-text": bad(archive(("readme.txt", b"hello")), "only arrays", "x.npz"),
    "H3-npz-encrypted": bad(encrypted(archive(("x.npy", PLAIN))), "cannot be unpacked", "x.npz"),
    "H3-npz-names": bad(
        archive(("../x.npy", PLAIN), ("/etc/x.npy", PLAIN)), "one array of signals", "x.npz"
    ),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_file_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])


@pytest.mark.parametrize("row", [r for r in ROWS if r.startswith("H1")])
def test_the_c_library_opens_nothing_outside_either(tmp_path, row) -> None:
    (tmp_path / "root").mkdir()
    call = ROWS[row].make(tmp_path / "root")
    from biojepa.errors import FormatError

    with Watch(tmp_path / "bait") as watch, pytest.raises(FormatError):
        call()
    assert watch.opened == set()
