"""What the ranks of a run agree on: sums with gradients, gathered rows, flags, barriers.

Every function is the identity (or says one rank) when `torch.distributed` is not initialised, so
that losses and statistics are written once, for the global batch.

On gradients: a statistic that every rank computes from reduced sums is the same number L on every
rank. The backward passes here sum over ranks, so that each rank holds `world_size` times dL/dx of
its own rows; DDP's average over ranks then gives exactly the gradient of L.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def is_distributed() -> bool:
    """Whether several processes share this run."""
    return dist.is_available() and dist.is_initialized()


def world_size() -> int:
    """Number of processes of the run, 1 without `torch.distributed`."""
    return dist.get_world_size() if is_distributed() else 1


def rank() -> int:
    """Number of this process, 0 without `torch.distributed`."""
    return dist.get_rank() if is_distributed() else 0


def sum_over_ranks(x: Tensor) -> Tensor:
    """Sum a tensor over ranks, with gradients.

    Parameters
    ----------
    x : Tensor
        Of the same shape and dtype on every rank.

    Returns
    -------
    Tensor
        The sum, the same on every rank; `x` itself in a single process. The backward pass sums the
        gradients over ranks.
    """
    return _SumOverRanks.apply(x) if is_distributed() else x


def gather_rows(x: Tensor) -> Tensor:
    """Concatenate the rows of all ranks, with gradients.

    Parameters
    ----------
    x : Tensor, shape (n, ...)
        The number of rows may differ between ranks, the other dimensions may not.

    Returns
    -------
    Tensor, shape (sum of n over ranks, ...)
        In the order of the ranks; `x` itself in a single process.
    """
    return _GatherRows.apply(x, rows_of_ranks(x.shape[0])) if is_distributed() else x


def rows_of_ranks(n_rows: int) -> list[int]:
    """Number of rows that each rank holds, in the order of the ranks."""
    if not is_distributed():
        return [n_rows]
    mine = torch.tensor([n_rows], device=_device())
    counts = [torch.empty_like(mine) for _ in range(world_size())]
    dist.all_gather(counts, mine)
    return [int(count) for count in counts]


def agree_any(flag: bool) -> bool:
    """Whether the flag is set on any rank: the same answer on all of them."""
    if not is_distributed():
        return flag
    raised = torch.tensor([int(flag)], device=_device())
    dist.all_reduce(raised, op=dist.ReduceOp.MAX)
    return bool(raised.item())


def from_rank_zero(value: float) -> float:
    """Rank 0's value, on every rank."""
    if not is_distributed():
        return value
    tensor = torch.tensor([value], dtype=torch.float64, device=_device())
    dist.broadcast(tensor, src=0)
    return float(tensor.item())


def barrier() -> None:
    """Wait until every rank is here."""
    if is_distributed():
        dist.barrier()


class _SumOverRanks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.detach().clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, counts: list[int]) -> Tensor:
        ctx.counts = counts
        # all_gather wants one shape: pad to the longest rank, cut afterwards
        padded = x.new_zeros((max(counts), *x.shape[1:]))
        padded[: x.shape[0]] = x.detach()
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:n] for part, n in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        total = grads[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        start = sum(ctx.counts[: rank()])
        return total[start : start + ctx.counts[rank()]], None


def _device() -> torch.device:
    """Where collectives of this backend want their tensors."""
    if "nccl" in str(dist.get_backend()):
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")
