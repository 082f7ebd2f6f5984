"""Blank leads at random in pretraining, so that a model serves people with fewer leads.

Ours: the published method always sees all leads.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError


@dataclass(frozen=True)
class LeadDropout:
    """Set each lead of each record to zero with probability `p`, but never all of a record.

    Parameters
    ----------
    p : float
        In [0, 1).

    Raises
    ------
    ConfigError
        If `p` is out of range.
    """

    p: float

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ConfigError(f"expected a probability 0 <= p < 1, got {self.p}")

    def __call__(self, x: Signals, key: BatchKey) -> Signals:
        """Blank leads.

        Parameters
        ----------
        x : Signals
            Values (B, C, T); `valid` (B, C), (B, C, T) or None.
        key : BatchKey
            The draws fill a table for the global batch: a record's do not depend on its rank.

        Returns
        -------
        Signals
            New values; `valid` False where a lead was blanked. A record keeps at least one of the
            leads that it has. The input is not changed.
        """
        n_leads = x.values.shape[1]
        table = key.generator("lead_dropout").random((key.size, n_leads))[key.rows]
        u = torch.from_numpy(table)
        there = torch.ones_like(u, dtype=torch.bool)
        if x.valid is not None:
            there = x.valid if x.valid.ndim == 2 else x.valid.any(dim=-1)
        dropped = u < self.p
        last = u.masked_fill(~there, -1.0).argmax(dim=1, keepdim=True)
        dropped.scatter_(1, last, False)
        values = x.values.masked_fill(dropped[..., None], 0.0)
        if x.valid is not None and x.valid.ndim == 3:
            return Signals(values, x.positions, x.valid & ~dropped[..., None])
        return Signals(values, x.positions, there & ~dropped)
