"""What a published ECG-JEPA file must hold, before anything of it is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from biojepa.engine.torch_file import check_weights, read_torch_file
from biojepa.errors import CheckpointError


def read_official(path: Path) -> dict[str, Any]:
    """The dict in a published file, with its tensors on the CPU.

    Parameters
    ----------
    path : Path

    Returns
    -------
    dict
        With at least `model`, a dict of finite floating-point tensors, and `config`, a dict.

    Raises
    ------
    CheckpointError
        If the file is absent, damaged, hostile or of another kind.
    """
    content = read_torch_file(path, of="ECG-JEPA")
    if {"encoder", "epoch"} <= content.keys():
        raise CheckpointError(
            f"{path} looks like a checkpoint of another ECG_JEPA (Kim et al.: 8 leads, 250 Hz, "
            "keys encoder and epoch), which this package does not read"
        )
    for key in ("model", "config"):
        if not isinstance(content.get(key), dict):
            raise CheckpointError(
                f"{path}: expected a dict with model and config, got the keys "
                f"{sorted(map(str, content))[:8]}: is it a checkpoint of another method?"
            )
    check_weights(content["model"], path)
    return content
