"""Files that are either whole or absent: temporary name, fsync, rename; and their hashes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from biojepa.errors import CheckpointError, RunError

SUMS = "SHA256SUMS"
MAX_JSON_BYTES = 64 * 2**20


def write_folder(
    folder: Path, tensors: Mapping[str, Mapping[str, Tensor]], texts: Mapping[str, Any]
) -> None:
    """Write a folder of safetensors and JSON files that appears at once or not at all.

    Parameters
    ----------
    folder : Path
        Replaced if it exists.
    tensors : mapping of file stem to (name -> Tensor)
    texts : mapping of file name to JSON-able value

    Raises
    ------
    RunError
        If the disk is full or not writable; nothing is left behind, what was there stays.
    """
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    old = folder.with_name(f".old-{folder.name}-{os.getpid()}")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for stem, state in tensors.items():
            save_file(_separate(state), temporary / f"{stem}.safetensors")
        for name, value in texts.items():
            text = json.dumps(value, indent=1, allow_nan=False)
            (temporary / name).write_text(text, encoding="utf-8")
        names = sorted(p.name for p in temporary.iterdir())
        sums = "".join(f"{sha256(temporary / name)}  {name}\n" for name in names)
        (temporary / SUMS).write_text(sums)
        for name in [*names, SUMS]:
            _sync(temporary / name)
        _sync(temporary)
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
        _sync(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        needed = sum(t.numel() * t.element_size() for s in tensors.values() for t in s.values())
        raise RunError(
            f"cannot write {folder} (about {needed:,} bytes): {error}; free space or choose "
            "another place, what was saved before is untouched"
        ) from error


def write_text(path: Path, text: str) -> None:
    """Replace a text file at once.

    Raises
    ------
    RunError
        If it cannot be written; the old file stays.
    """
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)
        temporary.rename(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error}") from error


def check_folder(folder: Path) -> None:
    """Compare a folder's files with its SHA256SUMS.

    Raises
    ------
    CheckpointError
        If a file is missing, changed, or (weights and settings) not listed.
    """
    path = folder / SUMS
    if not path.is_file():
        raise CheckpointError(f"{folder} is damaged or not a biojepa folder: it has no {SUMS} file")
    listed = set()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        digest, _, name = line.partition("  ")
        if not name or "/" in name or "\\" in name or name.startswith("."):
            raise CheckpointError(f"{path} is damaged: cannot read the line {line[:80]!r}")
        if not (folder / name).is_file() or sha256(folder / name) != digest:
            raise CheckpointError(
                f"{folder / name} is damaged: its SHA-256 is not the one in {SUMS}; use another "
                "copy, or verify=False to load it all the same"
            )
        listed.add(name)
    present = {p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".json")}
    if not listed or present - listed:
        raise CheckpointError(
            f"{path} is damaged: it does not list {min(present - listed, default='any file')}"
        )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file.

    Raises
    ------
    CheckpointError
        If it is absent, cut or of another format.
    """
    try:
        with safe_open(path, framework="pt") as handle:
            return {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is damaged or not a biojepa file: {error or type(error).__name__}"
        ) from error


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a file.

    Raises
    ------
    CheckpointError
        If it is absent, too large, or not a JSON object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise CheckpointError(f"{path} is larger than {MAX_JSON_BYTES:,} bytes")
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is damaged or not a biojepa file: {error}") from error
    if not isinstance(value, dict):
        raise CheckpointError(f"{path} is damaged or not a biojepa file: expected a JSON object")
    return value


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _separate(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors on the CPU of which no two share memory (tied weights), as the format asks."""
    seen: set[int] = set()
    out = {}
    for name, value in state.items():
        whole = value.detach().cpu().contiguous()
        place = whole.untyped_storage().data_ptr()
        out[name] = whole.clone() if place in seen else whole
        seen.add(place)
    return out


def _sync(path: Path) -> None:
    """Force a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
