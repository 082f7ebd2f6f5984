"""Label-free health of embeddings: whether training learns or collapses.

No number here suffices alone: RankMe is fooled by isotropic noise, the centred spectrum is blind to
a constant collapse, and a falling loss proves nothing. Look at several, and trust an online probe
more than any of them. RankMe compares only within one width and one data set.

All functions take detached embeddings and work in float64 without gradients (on the CPU where the
device has no float64), on the rows of this process only. Embeddings that are not finite give nan
and no exception: a monitor must not stop a run.

References
----------
RankMe: Garrido et al., arXiv 2210.02885. LiDAR: Thilak et al., arXiv 2312.04000.
alpha-ReQ: Agrawal et al., NeurIPS 2022. SIGReg: Balestriero and LeCun, arXiv 2511.08544.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from biojepa.engine.regularisers import epps_pulley
from biojepa.errors import DataError


@torch.no_grad()
def rankme(z: Tensor, *, eps: float = 1e-5) -> float:
    """Effective rank: exponential of the entropy of the normalised singular values.

    Parameters
    ----------
    z : Tensor, shape (..., D)
        Embeddings; leading dimensions are flattened to rows. Not centred, as published, so a
        constant embedding has rank 1. 2,000 to 5,000 rows are enough for D up to 768.
    eps : float
        Added to each share before the logarithm.  # 1e-7 in the paper, 1e-5 in the reference values

    Returns
    -------
    float
        From 1 (collapsed; also for embeddings that are all zero) to about D.
    """
    singular = _singular_values(_rows(z))
    if singular is None:
        return math.nan
    total = singular.sum()
    if total == 0:
        return 1.0
    shares = singular / total + eps
    return float((-(shares * shares.log()).sum()).exp())


@torch.no_grad()
def lidar(z: Tensor, delta: float = 1e-4) -> float:
    """Effective rank of what tells samples apart: linear discriminant analysis of views.

    Parameters
    ----------
    z : Tensor, shape (n, q, D)
        q views of each of n samples; for a JEPA a view is another context mask of a record.
    delta : float
        Added to the diagonal of the covariance within samples.

    Returns
    -------
    float
        Exponential of the entropy of the eigenvalues of
        `(within + delta I)^-1/2 between (within + delta I)^-1/2`, from 1 to D.

    Raises
    ------
    DataError
        If there are fewer than two samples or two views.
    """
    if z.ndim != 3 or z.shape[0] < 2 or z.shape[1] < 2:
        raise DataError(
            f"expected embeddings of shape (samples >= 2, views >= 2, D), got {tuple(z.shape)}"
        )
    views = _double(z)
    if not views.isfinite().all():
        return math.nan
    n, q, dim = views.shape
    means = views.mean(1)
    inside = (views - means.unsqueeze(1)).flatten(0, 1)
    within = inside.T @ inside / (n * (q - 1))
    within.diagonal().add_(delta)
    apart = means - means.mean(0)
    between = apart.T @ apart / (n - 1)
    values, vectors = torch.linalg.eigh(within)
    whiten = vectors / values.clamp(min=torch.finfo(values.dtype).tiny).sqrt()
    eigenvalues = torch.linalg.eigvalsh(whiten.T @ between @ whiten).clamp(min=0)
    total = eigenvalues.sum()
    if total == 0:
        return 1.0
    shares = eigenvalues / total
    return float((-(shares * (shares + 1e-8).log()).sum()).exp())


@torch.no_grad()
def alpha_req(z: Tensor) -> float:
    """Decay of the covariance spectrum: slope of log eigenvalue against log index, negated.

    Parameters
    ----------
    z : Tensor, shape (..., D)
        Embeddings, centred here. All eigenvalues above rounding take part in the fit.

    Returns
    -------
    float
        0 for a flat spectrum, about 1 for good representations (as published), large for a low
        rank; nan if fewer than two eigenvalues are above rounding. Blind to a constant collapse.
    """
    rows = _rows(z)
    singular = _singular_values(rows - rows.mean(0))
    if singular is None:
        return math.nan
    eigenvalues = singular.square()
    floor = eigenvalues.max() * max(rows.shape) * torch.finfo(eigenvalues.dtype).eps
    eigenvalues = eigenvalues[eigenvalues > floor]
    if len(eigenvalues) < 2:
        return math.nan
    x = torch.arange(1, len(eigenvalues) + 1, dtype=rows.dtype, device=rows.device).log()
    x = x - x.mean()
    return float(-(x @ eigenvalues.log()) / x.square().sum())


@torch.no_grad()
def embedding_std(z: Tensor) -> float:
    """Mean standard deviation of the dimensions of length-normalised rows.

    Parameters
    ----------
    z : Tensor, shape (..., D)

    Returns
    -------
    float
        1 / sqrt(D) for isotropic embeddings, 0 when all point the same way.
    """
    return float(F.normalize(_rows(z), dim=1).std(0).mean()) if _n_rows(z) > 1 else math.nan


@torch.no_grad()
def per_dimension_std(z: Tensor) -> Tensor:
    """Standard deviation of each dimension, as the embeddings are.

    Parameters
    ----------
    z : Tensor, shape (..., D)

    Returns
    -------
    Tensor, shape (D,), float64
    """
    rows = _rows(z)
    return rows.std(0) if len(rows) > 1 else torch.full_like(rows[0], math.nan)


@torch.no_grad()
def mean_cosine(z: Tensor) -> float:
    """Mean cosine between different rows.

    Parameters
    ----------
    z : Tensor, shape (..., D)

    Returns
    -------
    float
        Near 0 for embeddings spread around the origin, 1 when all point the same way.
    """
    rows = F.normalize(_rows(z), dim=1)
    n = len(rows)
    if n < 2:
        return math.nan
    return float((rows.sum(0).square().sum() - rows.square().sum()) / (n * (n - 1)))


@torch.no_grad()
def sigreg_statistic(z: Tensor, directions: Tensor) -> float:
    """Sliced Epps-Pulley distance from the standard normal, averaged over directions.

    Parameters
    ----------
    z : Tensor, shape (..., D)
    directions : Tensor, shape (D, S)
        Unit columns. Keep the same ones to compare steps of a run.

    Returns
    -------
    float
        1.05 on average for standard normal rows; grows with the number of rows when they are not.
    """
    rows = _rows(z)
    if directions.ndim != 2 or directions.shape[0] != rows.shape[1]:
        raise DataError(
            f"expected directions of shape ({rows.shape[1]}, S), got {tuple(directions.shape)}"
        )
    return float(epps_pulley(rows @ directions.to(rows), across_ranks=False).mean())


@torch.no_grad()
def prediction_skill(
    pred: Tensor, target: Tensor, position_index: Tensor, valid: Tensor | None = None
) -> float:
    """How much better the predictor is than knowing the position alone.

    Parameters
    ----------
    pred, target : Tensor, shape (..., D)
        Predicted and target tokens.
    position_index : LongTensor, shape (...)
        Position of each token in its record.
    valid : BoolTensor, shape (...), optional
        False where a token is padding.

    Returns
    -------
    float
        `1 - SSE(prediction) / SSE(mean target of that position)`: 1 is perfect, 0 is no better than
        the position's mean, negative is worse. nan if the targets of a position never vary. The
        means are those of the given tokens: give many records, as a position that occurs once
        counts as known.

    Raises
    ------
    DataError
        If shapes differ.
    """
    if pred.shape != target.shape or position_index.shape != pred.shape[:-1]:
        raise DataError(
            "expected pred and target of one shape (..., D) and position_index of shape (...), got "
            f"{tuple(pred.shape)}, {tuple(target.shape)} and {tuple(position_index.shape)}"
        )
    guess, truth = _rows(pred), _rows(target)
    positions = position_index.reshape(-1).to(guess.device)
    if valid is not None:
        keep = valid.reshape(-1).to(guess.device)
        guess, truth, positions = guess[keep], truth[keep], positions[keep]
    if len(truth) == 0:
        return math.nan
    _, group = positions.unique(return_inverse=True)
    counts = group.bincount().to(truth.dtype)
    means = truth.new_zeros(len(counts), truth.shape[1]).index_add_(0, group, truth)
    means = means / counts.unsqueeze(1)
    baseline = (truth - means[group]).square().sum()
    # below this the targets of a position differ by rounding only
    if not baseline > 1e-28 * truth.square().sum():
        return math.nan
    return float(1 - (truth - guess).square().sum() / baseline)


def _double(z: Tensor) -> Tensor:
    """Detached, in float64."""
    z = z.detach()
    return (z.cpu() if z.device.type == "mps" else z).double()


def _rows(z: Tensor) -> Tensor:
    """Embeddings as rows (n, D) in float64."""
    if z.ndim < 2 or z.shape[-1] == 0 or z.numel() == 0:
        raise DataError(f"expected embeddings of shape (..., D) with rows, got {tuple(z.shape)}")
    return _double(z).reshape(-1, z.shape[-1])


def _n_rows(z: Tensor) -> int:
    return z.shape[:-1].numel()


def _singular_values(rows: Tensor) -> Tensor | None:
    """Singular values, largest first, or None if the rows are not finite."""
    return torch.linalg.svdvals(rows) if rows.isfinite().all() else None
