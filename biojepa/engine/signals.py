"""What goes into an encoder, and which of its tokens are seen and predicted.

Shapes: B batch, C channels, T samples, N tokens, K context tokens, M target tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Signals:
    """A batch of signals of one layout.

    Parameters
    ----------
    values : Tensor, shape (B, C, T) or as the encoder expects
    positions : Tensor or None
        Where the channels are: electrode xyz, brain gradients; shape (C, P) or (B, C, P).
    valid : Tensor of bool or None
        False where there is nothing to see: padding, missing leads, flat regions;
        shape (B, C), (B, N) or (B, C, T), as the encoder says.
    """

    values: Tensor
    positions: Tensor | None = None
    valid: Tensor | None = None

    def __len__(self) -> int:
        return self.values.shape[0]

    def to(self, device: torch.device | str) -> Signals:
        """The same signals on another device."""
        return move(self, device)

    def batched(self) -> Signals:
        """A single sample as a batch of one."""
        valid = None if self.valid is None else self.valid[None]
        return Signals(self.values[None], self.positions, valid)

    def rows(self, index: slice) -> Signals:
        """Only some samples of the batch."""
        positions = self.positions
        if positions is not None and positions.ndim == 3:
            positions = positions[index]
        valid = None if self.valid is None else self.valid[index]
        return Signals(self.values[index], positions, valid)


@dataclass(frozen=True)
class MaskPlan:
    """One context and the target sets that are predicted from it, in separate passes.

    Parameters
    ----------
    context : LongTensor, shape (B, K)
        Token positions that the context encoder sees.
    targets : tuple of LongTensor, shapes (B, M)
        Token positions to predict.
    kind : int
        Which mask token stands for the targets (V-JEPA has two).
    context_valid, target_valid : BoolTensor (B, K), tuple of BoolTensor (B, M), or None
        False where a ragged set was padded.
    groups : tuple of LongTensor, shapes (B, M), optional
        Kind of each target, from 0: what is averaged first with `average="groups"`.
    """

    context: Tensor
    targets: tuple[Tensor, ...]
    kind: int = 0
    context_valid: Tensor | None = None
    target_valid: tuple[Tensor, ...] | None = None
    groups: tuple[Tensor, ...] | None = None

    def to(self, device: torch.device | str) -> MaskPlan:
        """The same plan on another device."""
        return move(self, device)

    def rows(self, index: slice | np.ndarray) -> MaskPlan:
        """The plan of some samples of the batch."""

        def pick(t: Tensor | None) -> Tensor | None:
            return None if t is None else t[index]

        def pick_all(sets: tuple[Tensor, ...] | None) -> tuple[Tensor, ...] | None:
            return None if sets is None else tuple(t[index] for t in sets)

        return replace(
            self,
            context=self.context[index],
            targets=tuple(t[index] for t in self.targets),
            context_valid=pick(self.context_valid),
            target_valid=pick_all(self.target_valid),
            groups=pick_all(self.groups),
        )

    def valid_targets(self, i: int) -> Tensor | None:
        """Which entries of target set `i` are not padding; None if all."""
        return None if self.target_valid is None else self.target_valid[i]

    def n_targets(self) -> list[int]:
        """Number of tokens to predict in each target set, padding not counted."""
        if self.target_valid is None:
            return [t.numel() for t in self.targets]
        return [int(v.sum()) for v in self.target_valid]


def move(value: Any, device: torch.device | str) -> Any:
    """Move every tensor of a dataclass, tuple, list or dict to a device."""
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=True)
    if isinstance(value, tuple):
        return tuple(move(v, device) for v in value)
    if isinstance(value, list):
        return [move(v, device) for v in value]
    if isinstance(value, dict):
        return {k: move(v, device) for k, v in value.items()}
    if hasattr(value, "__dataclass_fields__"):
        return replace(
            value, **{f.name: move(getattr(value, f.name), device) for f in fields(value)}
        )
    return value
