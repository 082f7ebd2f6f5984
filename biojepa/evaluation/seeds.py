"""A metric of several seeds, judged on the same resamples of patients.

Labels and scores of all seeds are put side by side as columns. A metric that is a mean over columns
(macro AUC, mean absolute error) is then the mean over seeds. Two rows of different numbers of seeds
are repeated to a common number of columns, which changes no mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from biojepa.evaluation.bootstrap import BootstrapResult, Metric, bootstrap_metric
from biojepa.evaluation.metrics import Floats, macro_auc


def bootstrap_seeds(
    y: Floats,
    own: Sequence[Floats],
    other: Sequence[Floats] | None = None,
    *,
    metric: Metric = macro_auc,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> BootstrapResult:
    """Mean over seeds of a metric, or the difference of two such means.

    Parameters
    ----------
    y : ndarray, shape (n, C)
    own, other : sequence of ndarray, shape (n, C)
        Scores, one array a seed.
    metric : callable
        A mean over columns.
    groups, n_resamples, random_state
        See `bootstrap_metric`.
    """
    n = len(own) if other is None else math.lcm(len(own), len(other))
    return bootstrap_metric(
        np.tile(y, (1, n)),
        side_by_side(own, n),
        metric=metric,
        groups=groups,
        n_resamples=n_resamples,
        random_state=random_state,
        compare_to=None if other is None else side_by_side(other, n),
    )


def side_by_side(scores: Sequence[Floats], n: int) -> Floats:
    """Columns of all seeds, repeated to `n` times those of one; `n` is a multiple of the seeds."""
    return np.concatenate(list(scores) * (n // len(scores)), axis=1)
