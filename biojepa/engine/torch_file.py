"""Opening a published torch file from anywhere: nothing in it is executed, nothing is believed.

The file must be a torch zip archive whose checksums hold and whose parts are as large as they say;
the pickle in it may name tensors, numbers, text, plain numpy arrays and the options of a command
line only (`weights_only=True`).
"""

from __future__ import annotations

import _codecs
import argparse
import os
import pickle
import re
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.serialization import safe_globals

from biojepa.errors import CheckpointError, RunError

# what plain numpy arrays need: classifier files may hold mean and std as arrays; and the options
# that a script was called with, which are names and values without behaviour
_RECONSTRUCT, _SCALAR = np.array(0.0).__reduce__()[0], np.float64(0).__reduce__()[0]
_PLAIN: list[Any] = [
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in ("f2", "f4", "f8", "i4", "i8")),
    (_RECONSTRUCT, "numpy._core.multiarray._reconstruct"),
    (_RECONSTRUCT, "numpy.core.multiarray._reconstruct"),  # written with numpy 1
    (_SCALAR, "numpy._core.multiarray.scalar"),
    (_SCALAR, "numpy.core.multiarray.scalar"),
    (_codecs.encode, "_codecs.encode"),  # bytes under pickle protocol 2
    argparse.Namespace,
]
_END_BYTES = 22  # of the record that ends a zip archive; torch writes no comment after it
_UNREADABLE = (
    RuntimeError,
    EOFError,
    ValueError,
    KeyError,
    IndexError,
    TypeError,
    AttributeError,
    OSError,
    AssertionError,
    MemoryError,
)  # what torch's reader raises on archives that are sound as zip files but not as checkpoints


def read_torch_file(path: Path, *, of: str) -> dict[str, Any]:
    """The dict in a published file, with its tensors on the CPU.

    Parameters
    ----------
    path : Path
    of : str
        Whose checkpoint is expected, for the messages (`"ECG-JEPA"`).

    Returns
    -------
    dict
        Of tensors, numbers, text and plain arrays; check the weights with `check_weights`.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile or not a dict.
    """
    _check_archive(path)
    try:
        with safe_globals(_PLAIN):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        what = found.group(1) if found else "something that is no tensor, number or text"
        raise CheckpointError(
            f"{path} is refused: it holds {what}, which could run code; expected a published "
            f"{of} checkpoint of tensors and settings"
        ) from error
    except _UNREADABLE as error:
        raise CheckpointError(
            f"{path} is damaged or no torch checkpoint: {str(error).splitlines()[:1]}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a dict of a published {of} checkpoint, got {type(content).__name__}"
        )
    return content


def check_weights(state: dict[Any, Any], path: Path) -> None:
    """Refuse what is no finite floating-point weight, or larger than the file it came from.

    Raises
    ------
    CheckpointError
    """
    n_bytes = 0
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path}: expected named tensors in model, got {name!r}: {type(value).__name__}"
            )
        if not value.is_floating_point() or value.layout != torch.strided:
            raise CheckpointError(f"{path}: expected floating-point weights, {name} is not")
        n_bytes += value.numel() * value.element_size()
        if n_bytes > 4 * path.stat().st_size:  # tensors may share storage, but not without end
            raise CheckpointError(f"{path} is refused: its tensors are larger than the file")
        if not bool(torch.isfinite(value).all()):
            raise CheckpointError(f"{path}: {name} holds NaN or infinite weights")


def write_torch_file(content: Mapping[str, Any], path: Path) -> None:
    """Write a `.pt` file that appears at once or not at all.

    Raises
    ------
    RunError
        If it cannot be written; an old file of that name stays.
    """
    temporary = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as handle:
            torch.save(dict(content), handle)
            handle.flush()
            os.fsync(handle.fileno())
        temporary.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer reports a full disk as the latter
        temporary.unlink(missing_ok=True)
        raise RunError(f"cannot write {path}: {error}; what was there is untouched") from error


def _check_archive(path: Path) -> None:
    if not path.is_file():
        raise CheckpointError(f"expected a checkpoint file, found none at {path}")
    try:
        with open(path, "rb") as file:
            file.seek(-min(_END_BYTES, path.stat().st_size), os.SEEK_END)
            if not file.read(4).startswith(b"PK\5\6") and zipfile.is_zipfile(path):
                raise CheckpointError(
                    f"{path} is damaged: bytes follow the end of the archive; download it again"
                )
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
            if not any(info.filename.endswith("/data.pkl") for info in infos):
                raise CheckpointError(
                    f"{path} is a zip archive but no torch checkpoint: expected a .pt file "
                    "written by torch.save"
                )
            if sum(info.file_size for info in infos) > path.stat().st_size:
                raise CheckpointError(
                    f"{path} is refused: it unpacks to more than its size, a torch checkpoint "
                    "does not"
                )
            bad = archive.testzip()
    except zipfile.BadZipFile as error:
        raise CheckpointError(
            f"{path} is damaged or no torch checkpoint ({error}): expected a .pt file written by "
            "torch 1.6 or later; download it again if it was cut or is a web page"
        ) from error
    except CheckpointError:
        raise
    except (OSError, RuntimeError, EOFError, NotImplementedError, zlib.error) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    if bad is not None:
        raise CheckpointError(f"{path} is damaged: the checksum of {bad} does not hold")
