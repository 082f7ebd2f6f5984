"""The published arrays, and files in the published layout made of them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import PARITY

HEADS = 4


def reference() -> dict[str, np.ndarray]:
    """All arrays of the tiny published model."""
    with np.load(PARITY / "fmri" / "brainjepa_tiny.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def settings(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    """Its settings."""
    return json.loads(arrays["config_json"].tobytes())


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """Arrays whose key starts with `prefix/`, as tensors, without it."""
    found = {k: v for k, v in arrays.items() if k.startswith(f"{prefix}/")}
    return {k[len(prefix) + 1 :]: torch.from_numpy(v.copy()) for k, v in found.items()}


def content() -> dict[str, Any]:
    """What a published file holds."""
    arrays = reference()
    parts = {name: under(arrays, f"sd/{name}") for name in ("encoder", "predictor")}
    parts["target_encoder"] = under(arrays, "sd/target_encoder")
    rest = {"opt": {}, "scaler": None, "epoch": 300, "loss": 0.1, "batch_size": 16}
    return parts | rest | {"world_size": 4, "lr": 1e-3}


def write(content: Any, path: Path) -> Path:
    """Write a torch file."""
    torch.save(content, path)
    return path


def downstream(*, probe: bool, n_outputs: int = 3) -> dict[str, Any]:
    """What a published file of a fine-tuned network or a linear probe holds."""
    draw = np.random.default_rng(5).standard_normal
    encoder = under(reference(), "sd/target_encoder")
    model = {f"encoder.{k.removeprefix('module.')}": v for k, v in encoder.items()}
    dim = len(model["encoder.norm.weight"])
    model |= {"fc_norm.weight": _tensor(1 + draw(dim)), "fc_norm.bias": _tensor(draw(dim))}
    where = "head.1" if probe else "head"
    model[f"{where}.weight"] = _tensor(draw((n_outputs, dim)))
    model[f"{where}.bias"] = _tensor(draw(n_outputs))
    if probe:
        model["head.0.running_mean"] = _tensor(draw(dim))
        model["head.0.running_var"] = _tensor(draw(dim) ** 2 + 0.1)
        model["head.0.num_batches_tracked"] = torch.tensor(700)
    options = argparse.Namespace(lr=1e-3, add_w="mapping")
    return {"model": model, "optimizer": {}, "epoch": 49, "scaler": {}, "args": options}


def _tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array, dtype=np.float32))
