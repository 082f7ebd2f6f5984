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


def norms_of_groups(groups: dict[str, list[nn.Parameter]]) -> Tensor:
    """Gradient norm of each clip group, shape (n_groups,); of the whole group if it is sharded."""
    norms = []
    for parameters in groups.values():
        each = torch._foreach_norm([p.grad for p in parameters if p.grad is not None])
        norm: Any = torch.stack(each).norm()
        norms.append(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)
    return torch.stack(norms) if norms else torch.zeros(0)


def clip(groups: dict[str, list[nn.Parameter]], norms: Tensor, limit: float) -> None:
    """Scale the gradients of each group down to norm `limit` in place; 0 leaves them."""
    if limit:
        for parameters, norm in zip(groups.values(), norms, strict=True):
            torch.nn.utils.clip_grads_with_norm_(parameters, limit, norm)
