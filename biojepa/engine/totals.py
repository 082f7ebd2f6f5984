"""Sums of sums over sums of counts: a step's loss over micro-batches and ranks."""

from __future__ import annotations

import torch
from torch import Tensor

from biojepa.engine.distributed import sum_over_ranks, world_size
from biojepa.engine.objective import Objective


def global_counts(
    objective: Objective, batches: list, device: torch.device
) -> dict[str, float] | None:
    """What each part of the loss counts over the whole step; None if every forward counts alike."""
    own: dict[str, float] = {}
    for batch in batches:
        counts = objective.counts(batch)
        if counts is None:
            return None
        for name, count in counts.items():
            own[name] = own.get(name, 0.0) + float(count)
    if world_size() == 1:
        return own
    total = sum_over_ranks(torch.tensor(list(own.values()), dtype=torch.float64, device=device))
    return dict(zip(own, total.tolist(), strict=True))


def global_parts(sums: dict[str, Tensor]) -> dict[str, float]:
    """The value of each part of the loss over the whole step."""
    wide = [v.float() if v.device.type == "mps" else v.double() for v in sums.values()]
    values = torch.stack(wide)
    if world_size() > 1:
        values = sum_over_ranks(values)
    return dict(zip(sums, values.tolist(), strict=True))
