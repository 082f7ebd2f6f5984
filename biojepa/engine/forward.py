"""One forward pass as the loop wraps it for several processes.

Fabric, DDP and FSDP2 hook into the arguments and results of the module they wrap: they convert or
copy dataclasses, and look through what comes out, which they convert to single precision. So the
batch goes in inside a plain object, on which the values are left, and one tensor comes out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from biojepa.engine.distributed import world_size
from biojepa.engine.objective import Objective


class Micro:
    """One micro-batch on its way through the wrapped module.

    Parameters
    ----------
    batch
    rng : torch.Generator
    counts : mapping or None
        What each part of the loss counts over the whole step; None: as often as here in every
        micro-batch on every rank.
    accumulate : int

    Attributes
    ----------
    value : Tensor, scalar
        This micro-batch's share of the step's loss on this rank, detached.
    parts : dict of str to Tensor
        Its shares of the named parts.
    """

    value: Tensor
    parts: dict[str, Tensor]

    def __init__(
        self,
        batch: Any,
        rng: torch.Generator,
        counts: Mapping[str, float] | None,
        accumulate: int,
    ) -> None:
        self.batch, self.rng, self.counts, self.accumulate = batch, rng, counts, accumulate


class ForwardPass(nn.Module):
    """An objective, called with a `Micro`, giving the total to differentiate.

    The total is multiplied by the number of ranks, since gradients are averaged over them.
    """

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.objective = objective

    def forward(self, micro: Micro) -> Tensor:
        """Total times ranks; leaves the values on `micro`."""
        losses = self.objective(micro.batch, micro.rng)
        n_ranks = world_size()
        shares = micro.counts or {
            name: count * micro.accumulate * n_ranks for name, (_, count) in losses.parts.items()
        }
        total = losses.total(shares)
        micro.value = total.detach()
        micro.parts = {n: part.detach() / shares[n] for n, (part, _) in losses.parts.items()}
        return total * n_ranks

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Eval mode, with the weights that FSDP2 shards put together; then back to training."""
        shards: Any = self if hasattr(self, "unshard") else None
        self.objective.eval()
        if shards is not None:
            shards.unshard()
        try:
            yield
        finally:
            if shards is not None:
                shards.reshard()
            self.objective.train()
