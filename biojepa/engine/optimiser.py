"""AdamW over an objective's parameter groups."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from biojepa.engine.config import TrainConfig
from biojepa.engine.objective import Objective

FUSED_DEVICES = ("cpu", "cuda", "mps")


def make_optimizer(objective: Objective, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW, fused where the device has it; weights and norms are told apart by the objective."""
    groups: list[dict[str, Any]] = [
        {
            "params": group.params,
            "decay": group.decay,
            "lr_scale": group.lr_scale,
            "clip_group": group.clip_group,
            "frozen_until": group.frozen_until,
        }
        for group in objective.param_groups(config)
    ]
    first = groups[0]["params"][0]
    fused = first.device.type in FUSED_DEVICES and not hasattr(first, "device_mesh")
    return torch.optim.AdamW(
        groups,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=fused,
    )


def set_rates(optimizer: Any, config: TrainConfig, step: int) -> tuple[float, float]:
    """Set learning rate and weight decay of a step; returns the two before group factors."""
    lr, decay = config.lr_at(step), config.weight_decay_at(step)
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]
        group["weight_decay"] = decay if group["decay"] else 0.0
    return lr, decay


def clip_groups(optimizer: Any, step: int) -> dict[str, list[nn.Parameter]]:
    """Parameters with a gradient, by clip group; those still frozen lose theirs."""
    groups: dict[str, list[nn.Parameter]] = {}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if step < group["frozen_until"]:
                parameter.grad = None
            if parameter.grad is not None:
                groups.setdefault(group["clip_group"], []).append(parameter)
    return groups


def gradients(groups: dict[str, list[nn.Parameter]]) -> list[Tensor]:
    """All gradients of these groups."""
    return [p.grad for group in groups.values() for p in group if p.grad is not None]
