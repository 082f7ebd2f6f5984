"""Losses between predicted and target tokens, as a sum and a count.

Sums and counts, not means: the gradient of a global batch is (sum of sums) / (sum of counts) over
ranks and micro-batches, also when ragged sets make the counts differ.
Shapes: B records, M target tokens, D width.

L1: ECG-JEPA (arXiv 2410.13867), V-JEPA (2404.08471), Signal-JEPA. Smooth L1 with beta 1: I-JEPA
(2301.08243), Brain-JEPA. Cosine: an option, 1 - cos per token.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from biojepa.errors import ConfigError, DataError

LossKind = Literal["l1", "smooth_l1", "mse", "cosine"]
Unit = Literal["token", "record", "group"]


def token_loss(
    pred: Tensor,
    target: Tensor,
    *,
    kind: LossKind,
    valid: Tensor | None = None,
    unit: Unit = "token",
    group: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Loss of predicted tokens, summed over tokens or over records.

    Parameters
    ----------
    pred, target : Tensor, shape (B, M, D)
        Half precision is compared in float32, also inside autocast; float64 stays float64.
    kind : {"l1", "smooth_l1", "mse", "cosine"}
        The first three are averaged over D within a token; "cosine" is 1 - cos of the token.
    valid : BoolTensor, shape (B, M), optional
        False where a token is padding. Such tokens count nowhere and get no gradient, whatever
        they hold (NaN included).
    unit : {"token", "record", "group"}
        What is summed and counted: tokens; records, each with the mean of its tokens; or records,
        each with the mean over the groups it has of the mean of their tokens.
    group : LongTensor, shape (B, M), optional
        Of each token, from 0, for `unit="group"`.

    Returns
    -------
    total : Tensor, scalar
        Sum of the losses of valid tokens, or of the records that have any.
    count : Tensor, scalar
        Number of these, as a float. The mean loss is `total / count`.

    Raises
    ------
    ConfigError
        If `kind` is unknown, or groups are asked for and not given.
    DataError
        If shapes differ.
    """
    if kind not in get_args(LossKind):
        raise ConfigError(f"expected a loss of {list(get_args(LossKind))}, got {kind!r}")
    if unit == "group" and group is None:
        raise ConfigError("expected the group of each target: use a sampler that gives groups")
    if pred.shape != target.shape:
        raise DataError(
            f"expected predictions and targets of one shape, got {tuple(pred.shape)} and "
            f"{tuple(target.shape)}: gather the targets at the predicted positions"
        )
    if valid is not None and valid.shape != pred.shape[:-1]:
        raise DataError(
            f"expected valid of shape {tuple(pred.shape[:-1])}, got {tuple(valid.shape)}"
        )
    with torch.autocast(pred.device.type, enabled=False):
        pred, target = full_precision(pred), full_precision(target)
        if valid is None:
            tokens = _per_token(pred, target, kind)
            if group is not None and unit == "group":
                return _by_group(tokens, group, torch.ones_like(group, dtype=torch.bool))
            if unit == "record":
                tokens = tokens.mean(dim=-1)
            return tokens.sum(), tokens.new_tensor(tokens.numel())
        # filled before the loss, not after: NaN times a zero gradient would still be NaN
        padding = ~valid.unsqueeze(-1)
        tokens = _per_token(pred.masked_fill(padding, 0), target.masked_fill(padding, 0), kind)
        if group is not None and unit == "group":
            return _by_group(tokens, group, valid)
        tokens, n_valid = tokens.masked_fill(~valid, 0), valid.sum(dim=-1)
        if unit == "record":
            means = tokens.sum(dim=-1) / n_valid.clamp(min=1)
            return means.sum(), (n_valid > 0).sum().to(tokens.dtype)
        return tokens.sum(), n_valid.sum().to(tokens.dtype)


def _by_group(tokens: Tensor, group: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Sum over records of the mean over groups of the mean over tokens, and number of records."""
    means, there = [], []
    for number in range(int(group.max()) + 1):
        member = valid & (group == number)
        n_members = member.sum(dim=-1)
        means.append(tokens.masked_fill(~member, 0).sum(dim=-1) / n_members.clamp(min=1))
        there.append(n_members > 0)
    n_groups = torch.stack(there).sum(dim=0)
    return (
        (torch.stack(means).sum(dim=0) / n_groups.clamp(min=1)).sum(),
        (n_groups > 0).sum().to(tokens.dtype),
    )


def full_precision(x: Tensor) -> Tensor:
    """The tensor in float32, or as it is if it is float64."""
    return x if x.dtype == torch.float64 else x.float()


def _per_token(pred: Tensor, target: Tensor, kind: LossKind) -> Tensor:
    if kind == "cosine":
        return 1 - F.cosine_similarity(pred, target, dim=-1)
    functions = {"l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss, "mse": F.mse_loss}
    return functions[kind](pred, target, reduction="none").mean(-1)
