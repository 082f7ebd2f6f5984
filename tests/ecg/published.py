"""Published-layout files for the tests, made of the reference arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.conftest import PARITY


def reference(name: str) -> dict[str, np.ndarray]:
    """All arrays of one reference file."""
    with np.load(PARITY / "ecg" / f"{name}.npz", allow_pickle=False) as arrays:
        return {key: arrays[key] for key in arrays.files}


def under(arrays: dict[str, np.ndarray], prefix: str) -> dict[str, torch.Tensor]:
    """Arrays whose key starts with `prefix/`, as tensors, without it."""
    found = {k: v for k, v in arrays.items() if k.startswith(f"{prefix}/")}
    return {k[len(prefix) + 1 :]: torch.from_numpy(v.copy()) for k, v in found.items()}


def full_content() -> dict[str, Any]:
    """What a full published file holds."""
    arrays = reference("jepa_tiny_default")
    return {
        "model": under(arrays, "state"),
        "optimizer": {"state": {}, "param_groups": []},
        "config": json.loads(str(arrays["config"])),
        "step": 70,
    }


def minified_content() -> dict[str, Any]:
    """What a minified published file holds."""
    full = full_content()
    weights = {k: v for k, v in full["model"].items() if k.startswith("target_encoder.")}
    return {"model": weights, "config": full["config"]}


def classifier_content() -> dict[str, Any]:
    """What a published classifier file with head A holds."""
    arrays = reference("clf_linear_attnpool")
    return {
        "model": under(arrays, "state"),
        "config": full_content()["config"],
        "eval_config": json.loads(str(arrays["eval_config"])),
        "preprocess": {
            "mean": np.zeros(12, dtype=np.float32),
            "std": np.full(12, 0.2, dtype=np.float32),
        },
        "task": "superdiagnostic",
    }


def write(content: Any, path: Path) -> Path:
    """Save it as the published code does."""
    torch.save(content, path)
    return path
