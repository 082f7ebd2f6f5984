"""Simple baselines of the fMRI benchmark: what is known of a run without its pattern, and FC.

Letters: n runs, R regions, T frames.

References
----------
Varoquaux et al. 2010, Detection of brain functional-connectivity difference in post-stroke patients
using group-level covariance modeling (the tangent space).
Power et al. 2012, NeuroImage 59:2142 (DVARS).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf

from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.connectivity import CLOSE_TO_ONE, run_connectivity

Floats = NDArray[np.float64]
MEAN_STEPS = 5  # ours: of the geometric mean; the fifth moved it by less than the noise of a run


def fc_features(cohort: BrainCohort) -> Floats:
    """Fisher z of the correlation of every pair of regions, (n, R (R - 1) / 2); flat ones 0."""
    above = np.triu_indices(len(cohort.runs[0].values), 1)
    rows = []
    for run in cohort.runs:
        r = np.nan_to_num(run_connectivity(run.values.T)[above])
        rows.append(np.arctanh(np.clip(r, -CLOSE_TO_ONE, CLOSE_TO_ONE)))
    return np.stack(rows)


def confound_features(cohort: BrainCohort, controls: Sequence[str]) -> Floats:
    """What is known of a run without the pattern of its connectivity, (n, features).

    Length, repetition time, mean and spread of DVARS (root mean square change between frames of
    z-scored regions, which rises with movement), and columns of the table; names become 0/1
    columns, unknown numbers the mean.

    Parameters
    ----------
    cohort : BrainCohort
    controls : sequence of str
        Columns, as far as the table has them.
    """
    rows = []
    for run in cohort.runs:
        x = run.values.astype(np.float64)
        x = x - x.mean(axis=1, keepdims=True)
        spread = x.std(axis=1, keepdims=True)
        x = np.divide(x, spread, out=np.zeros_like(x), where=spread > 0)
        change = np.sqrt(np.square(np.diff(x, axis=1)).mean(axis=0))
        rows.append([run.n_times, 1.0 / run.rate_hz, change.mean(), change.std()])
    parts = [np.array(rows)]
    for name in controls:
        if name not in cohort.table:
            continue
        column = cohort.table[name]
        if pd.api.types.is_numeric_dtype(column):
            parts.append(column.fillna(column.mean()).to_numpy(float)[:, None])
        else:
            parts.append(pd.get_dummies(column).to_numpy(float))
    return np.concatenate(parts, axis=1)


def site_features(cohort: BrainCohort) -> Floats:
    """A 0/1 column a site, (n, sites)."""
    return pd.get_dummies(cohort.table["site"]).to_numpy(float)


class TangentSpace:
    """Correlation matrices seen from their geometric mean, where differences add up.

    Attributes
    ----------
    whitener_ : ndarray, shape (R, R)
        Inverse square root of the mean of the training runs.
    """

    def fit(self, matrices: Floats) -> TangentSpace:
        """Find the geometric mean of matrices (n, R, R)."""
        mean = matrices.mean(axis=0)
        for _ in range(MEAN_STEPS):
            root, inverse = _power(mean, 0.5), _power(mean, -0.5)
            step = np.mean([_log(inverse @ c @ inverse) for c in matrices], axis=0)
            mean = root @ _exp(step) @ root
        self.whitener_ = _power(mean, -0.5)
        return self

    def transform(self, matrices: Floats) -> Floats:
        """Vectors (n, R (R + 1) / 2); off-diagonal entries count twice, as they occur twice."""
        above = np.triu_indices(matrices.shape[1])
        weight = np.where(above[0] == above[1], 1.0, 2.0**0.5)
        seen = (_log(self.whitener_ @ c @ self.whitener_) for c in matrices)
        return np.stack([weight * s[above] for s in seen])


def shrunk_correlations(cohort: BrainCohort) -> Floats:
    """Correlations of the regions, (n, R, R), with Ledoit and Wolf's shrinkage; positive definite.

    A flat region is on its own.
    """
    found = []
    for run in cohort.runs:
        x = run.values.T.astype(np.float64)
        x = x - x.mean(axis=0)
        spread = x.std(axis=0)
        x = np.divide(x, spread, out=np.zeros_like(x), where=spread > 0)
        covariance, _ = ledoit_wolf(x, assume_centered=True)
        scale = np.sqrt(np.diag(covariance))
        found.append(covariance / np.outer(scale, scale))
    return np.stack(found)


def _power(matrix: Floats, exponent: float) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * values**exponent) @ vectors.T


def _log(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.log(values)) @ vectors.T


def _exp(matrix: Floats) -> Floats:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.exp(values)) @ vectors.T
