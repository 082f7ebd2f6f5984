"""Predicting the whole record from its context: an optional second term of `MaskedJEPA`.

Token targets ask what a hidden piece looks like; this one asks what the record is like. The mean of
the context tokens goes through a small network and is compared with the mean of all target tokens,
standardised over the batch so that what all records share asks for nothing:

    mean square of ( head(mean of context tokens) - standardise(mean of target tokens) )

Ours; the idea of a target for the whole view beside those of its parts is that of DINO and BYOL.
What a preset with it reaches is in docs/measurements.md; what it adds by itself was not measured by
a committed command.

Shapes: B batch, K context tokens, N tokens, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from biojepa.engine.distributed import sum_over_ranks
from biojepa.engine.losses import full_precision
from biojepa.errors import ConfigError
from biojepa.layers.pooling import pool_tokens

FLOOR = 1e-4  # of a standard deviation: a dimension stiller than this stays still


class RecordHead(nn.Module):
    """From pooled context tokens to the record's pooled target.

    The statistics are those of the global batch; under gradient accumulation, of each micro-batch.

    Parameters
    ----------
    dim : int
        Width D of the tokens.
    weight : float
        Of the term in the loss.
    hidden : int, optional
        Of the one hidden layer; 2 D by default.

    Raises
    ------
    ConfigError
        If the weight is not positive.
    """

    def __init__(self, dim: int, *, weight: float = 1.0, hidden: int | None = None) -> None:
        super().__init__()
        if not 0 < weight < float("inf"):
            raise ConfigError(f"expected a finite weight > 0, got {weight}")
        self.weight = weight
        hidden = hidden or 2 * dim
        self.mlp = nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(
        self,
        context: Tensor,
        target: Tensor,
        *,
        context_valid: Tensor | None = None,
        target_valid: Tensor | None = None,
    ) -> Tensor:
        """Sum over the records of their losses.

        Parameters
        ----------
        context : Tensor, shape (B, K, D)
        target : Tensor, shape (B, N, D)
            Of the target encoder; gets no gradient.
        context_valid, target_valid : BoolTensor, shape (B, K) and (B, N), optional
            Tokens that count.

        Returns
        -------
        Tensor, scalar
            Divide by B for the mean.
        """
        pred = self.mlp(pool_tokens(context, pool="mean", valid=context_valid))
        with torch.autocast(context.device.type, enabled=False):
            pooled = pool_tokens(full_precision(target.detach()), pool="mean", valid=target_valid)
            return (full_precision(pred) - standardise(pooled)).square().mean(dim=1).sum()


def standardise(rows: Tensor) -> Tensor:
    """Rows (B, D) with mean 0 and standard deviation 1 over the global batch, by dimension."""
    n = sum_over_ranks(rows.new_tensor(float(len(rows))))
    mean = sum_over_ranks(rows.sum(0)) / n
    centred = rows - mean
    variance = sum_over_ranks(centred.square().sum(0)) / n
    return centred / (variance.sqrt() + FLOOR)
