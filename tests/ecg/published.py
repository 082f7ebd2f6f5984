"""Published-layout files for the tests, made of the reference arrays."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biojepa.ecg.config import ECGModelConfig
from tests.conftest import PARITY

TINY = ECGModelConfig(
    n_times=500, dim=32, depth=2, heads=4, pred_dim=16, pred_depth=2, pred_heads=4, min_block=3
)
CONFIGS = {
    "default": TINY,
    "bias, layer scale, 2 registers": replace(
        TINY, bias=True, qkv_bias=True, layer_scale=0.1, registers=2
    ),
    "no register": replace(TINY, registers=0),
    "first release": replace(TINY, norm_bias=True),
}


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


def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """No weight at its start, the target unlike the encoder."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def same_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether the state dicts agree: names, order and every value."""
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)
