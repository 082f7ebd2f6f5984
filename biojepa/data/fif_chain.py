"""The chain of tags in a FIF file, walked before MNE walks it.

A tag is four big-endian 32-bit numbers (kind, type, size of its data, place of the next) and the
data. `next` is 0 where the next tag follows, a place in the file, or below 0 at the end. A damaged
place may lead back, and MNE then follows the circle until memory is full.
"""

from __future__ import annotations

import glob
import gzip
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, cast

from biojepa.data._paths import file_size, shown
from biojepa.errors import FormatError

HEADER = struct.Struct(">4i")
MAX_TAGS = 2_000_000  # ours: a day in buffers of a tenth of a second has 864,000
MAX_BACK = 100  # ours: writers append, and each step back in a packed file unpacks it anew
_POINTER, _DIRECTORY = 101, 102  # kinds of tags
MAX_RATIO, RATIO_FREE_BYTES = 200, 64 << 20  # ours: recordings compress up to about 5 times


def check_fif_file(path: Path) -> None:
    """`check_fif_chain` of a file and of the further parts of its recording, which MNE reads along.

    Parts are beside the first: `x_raw-1.fif` of `x_raw.fif`, `x_split-02_eeg.fif` of
    `x_split-01_eeg.fif`.

    Raises
    ------
    FormatError
    """
    stem, _, suffix = glob.escape(path.name).partition(".")
    patterns = [f"{stem}-[0-9]*.{suffix}"]
    before, split, after = stem.partition("split-")
    if split:
        patterns.append(f"{before}{split}[0-9]*{after.lstrip('0123456789')}.{suffix}")
    further = {part for pattern in patterns for part in path.parent.glob(pattern)}
    for part in [path, *sorted(further - {path})]:
        check_fif_chain(part)


def check_fif_chain(path: Path) -> None:
    """Refuse a FIF file whose tags do not come to an end, or say that they hold more than there is.

    Raises
    ------
    FormatError
        If the chain runs in a circle, a tag is cut or has a size below 0, there are more tags than
        a recording has, or a packed file is damaged or unpacks to far more than a recording does.
    """
    where, size = shown(path), file_size(path)
    packed = path.name.lower().endswith(".gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as stream:
            limit = max(RATIO_FREE_BYTES, MAX_RATIO * size) if packed else size
            _Chain(cast(BinaryIO, stream), limit, packed=packed, where=where).walk()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{where}: its compression is damaged ({error})") from None


class _Chain:
    """The tags of one file; `limit` is its size, or the most that it may unpack to."""

    def __init__(self, stream: BinaryIO, limit: int, *, packed: bool, where: str) -> None:
        self.stream, self.limit, self.packed = stream, limit, packed
        self.bad = f"{where} is damaged or not fif"
        self.seen: set[int] = set()

    def walk(self) -> None:
        """Follow the chain to its end, then look where its directory leads."""
        at = n_back = directory = 0
        while True:
            if at in self.seen:
                raise FormatError(
                    f"{self.bad}: its chain of tags runs in a circle (back to byte "
                    f"{at} after {len(self.seen)} tags)"
                )
            if len(self.seen) >= MAX_TAGS or n_back > MAX_BACK:
                raise FormatError(
                    f"{self.bad}: its chain of tags has more than {MAX_TAGS} tags, or "
                    f"leads back more than {MAX_BACK} times"
                )
            self.seen.add(at)
            tag = self.tag(at)
            if tag is None:
                break
            kind, n_bytes, following = tag
            if kind == _POINTER and n_bytes == 4 and not directory:
                directory = struct.unpack(">i", self.stream.read(4).ljust(4, b"\0"))[0]
            if following < 0:
                break
            before, at = at, following or at + HEADER.size + n_bytes
            n_back += at < before
        if directory > 0:
            self.check_directory(directory)

    def tag(self, at: int) -> tuple[int, int, int] | None:
        """Kind, size and next place of the tag at a byte; None where the file has ended."""
        if at > self.limit and self.packed:
            raise FormatError(
                f"{self.bad}: its tags reach to byte {at} unpacked; that is no recording, it is "
                "not unpacked"
            )
        self.stream.seek(at)
        header = self.stream.read(HEADER.size)
        if len(header) < HEADER.size:
            return None
        kind, _, n_bytes, following = HEADER.unpack(header)
        if n_bytes < 0:
            raise FormatError(f"{self.bad}: a tag at byte {at} has a size of {n_bytes}")
        if at + HEADER.size + n_bytes > self.limit:
            there = "a recording of its size unpacks to" if self.packed else "there are"
            raise FormatError(
                f"{self.bad}: a tag at byte {at} declares {n_bytes} bytes, more than {there}: "
                "the file is cut"
            )
        return kind, n_bytes, following

    def check_directory(self, at: int) -> None:
        """Refuse a directory that leads to a tag which says that it holds more than there is."""
        tag = self.tag(at)
        if tag is None or tag[0] != _DIRECTORY:
            return  # the reader then walks the chain
        entries = self.stream.read(tag[1])
        for _, _, _, place in HEADER.iter_unpack(entries[: len(entries) // 16 * 16]):
            if place > 0 and place not in self.seen:
                self.tag(place)
