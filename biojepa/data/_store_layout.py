"""What a signal store looks like on disk; shared by the one that writes and the one that reads.

A store is a folder: `manifest.json` and one HDF5 file per shard. A shard holds flat contiguous
datasets only, so that each can be memory-mapped at its offset in the file:

- `samples` (int16): record after record, each a block (n_channels, n_times)
- one number per record: `start` (of its block in `samples`), `n_times`, `rate_hz`, `n_missing`;
  one per record and channel: `gain`, `offset`
- texts: `record_id`, `subject_id`, `labels` (JSON), `source`, `source_sha256`, `notes`, as UTF-8
  bytes end to end, with `<name>_end` saying where each record's text ends

Little-endian throughout. The manifest holds a SHA-256 of each shard.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from biojepa.errors import FormatError

FORMAT = "biojepa-signal-store"
VERSION = 1
MANIFEST = "manifest.json"
SHARD_PATTERN = re.compile(r"shard-\d{5,9}\.h5")
NUMBERS = {
    "samples": "<i2",
    "start": "<i8",
    "n_times": "<i8",
    "rate_hz": "<f8",
    "n_missing": "<i8",
    "gain": "<f4",
    "offset": "<f4",
}
TEXTS = ("record_id", "subject_id", "labels", "source", "source_sha256", "notes")
COLUMNS = NUMBERS | {name: "|u1" for name in TEXTS} | {f"{name}_end": "<i8" for name in TEXTS}
_LARGEST_MANIFEST_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ShardEntry:
    """One finished shard, as the manifest lists it."""

    file: str
    sha256: str
    n_bytes: int
    n_records: int


@dataclass(frozen=True)
class Manifest:
    """The contents of `manifest.json`."""

    channels: tuple[str, ...]
    unit: str
    recipe: dict
    shards: tuple[ShardEntry, ...] = ()

    def with_shard(self, entry: ShardEntry) -> Manifest:
        """The manifest with one more shard."""
        return replace(self, shards=(*self.shards, entry))

    def fingerprint(self) -> str:
        """SHA-256 over channels, unit and the shard hashes: the identity of the data."""
        parts = [FORMAT, str(VERSION), self.unit, *self.channels, *(s.sha256 for s in self.shards)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def to_json(self) -> str:
        """The text of `manifest.json`."""
        content = {
            "format": FORMAT,
            "version": VERSION,
            "channels": list(self.channels),
            "unit": self.unit,
            "recipe": self.recipe,
            "shards": [vars(entry) for entry in self.shards],
        }
        return json.dumps(content, indent=1) + "\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; OSError is the caller's to translate."""
    temporary = folder / f"{MANIFEST}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(manifest.to_json())
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / MANIFEST)
    sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut (where folders can be opened)."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_manifest(folder: Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises
    ------
    FormatError
        If it is missing, not a plain file, over 64 MB, or not what `Manifest.to_json` writes.
    """
    path = folder / MANIFEST
    try:
        if path.is_symlink() or not path.is_file():
            raise FormatError(
                f"expected a signal store, found no file {MANIFEST} in {folder}: "
                "pass the folder that `biojepa prepare` wrote"
            )
        if path.stat().st_size > _LARGEST_MANIFEST_BYTES:
            raise FormatError(f"{path} is larger than 64 MB: it is no manifest")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FormatError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise FormatError(f"{path} cannot be read as JSON ({error}): prepare it anew") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise FormatError(f'{path} does not say "format": "{FORMAT}": it is no signal store')
    if content.get("version") != VERSION:
        raise FormatError(
            f"{path} has version {content.get('version')!r}, this biojepa reads {VERSION}: "
            "prepare the store anew or update biojepa"
        )
    channels, unit, recipe = content.get("channels"), content.get("unit"), content.get("recipe")
    if (
        not isinstance(channels, list)
        or not 0 < len(channels) <= 100_000
        or not all(isinstance(name, str) for name in channels)
        or not isinstance(unit, str)
        or not isinstance(recipe, dict)
        or not isinstance(content.get("shards"), list)
    ):
        raise FormatError(f"{path}: channels, unit, recipe or shards is missing or of another type")
    entries = tuple(_entry(path, item) for item in content["shards"])
    if len({entry.file for entry in entries}) != len(entries):
        raise FormatError(f"{path} lists a shard twice")
    return Manifest(tuple(channels), unit, recipe, entries)


def _entry(path: Path, item: object) -> ShardEntry:
    """One shard of the manifest; its file can only be a name inside the folder."""
    if isinstance(item, dict) and set(item) == {"file", "sha256", "n_bytes", "n_records"}:
        name, digest = item["file"], item["sha256"]
        counts = (item["n_bytes"], item["n_records"])
        if (
            isinstance(name, str)
            and SHARD_PATTERN.fullmatch(name)
            and isinstance(digest, str)
            and re.fullmatch(r"[0-9a-f]{64}", digest)
            and all(type(count) is int and 0 < count < 2**62 for count in counts)
        ):
            return ShardEntry(name, digest, *counts)
    raise FormatError(f"{path}: not the entry of a shard: {str(item)[:200]}")
