"""Permutation test: how often labels that belong to nobody score as well.

Labels are dealt anew among subjects, all records of a subject together, and within blocks where a
block (a site) tells something by itself. Predictions stay as they are: nothing is fitted again, so
the test asks whether out-of-fold predictions go with the labels, given how they were made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import ConfigError, DataError


def permutation_p(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metric: Callable[[NDArray[Any], NDArray[Any]], float],
    larger_is_better: bool = True,
    groups: ArrayLike | None = None,
    blocks: ArrayLike | None = None,
    n_permutations: int = 1000,
    random_state: int = 0,
) -> float:
    """Share of permutations at least as good as the truth, which is counted among them.

    Parameters
    ----------
    y_true, y_score : array-like, shape (n,) or (n, C)
        As `metric` takes them.
    metric : callable
        `metric(y_true, y_score) -> float`.
    larger_is_better : bool
        Of the metric.
    groups : array-like, shape (n,), optional
        Subject of each record; by default each is its own. Records of a subject share a label.
    blocks : array-like, shape (n,), optional
        Labels are dealt within blocks only; a subject is in one.
    n_permutations : int
    random_state : int

    Returns
    -------
    float
        At least 1 / (n_permutations + 1).

    Raises
    ------
    DataError
        If lengths differ, or records of a subject have different labels or blocks.
    ConfigError
        If there is no permutation.
    """
    if n_permutations < 1:
        raise ConfigError(f"expected n_permutations >= 1, got {n_permutations}")
    y, scores = np.asarray(y_true), np.asarray(y_score)
    n = len(y)
    people = np.arange(n) if groups is None else np.asarray(groups)
    place = np.zeros(n, dtype=int) if blocks is None else np.asarray(blocks)
    if not n == len(scores) == len(people) == len(place):
        raise DataError(
            "expected labels, scores, groups and blocks of the same records, got "
            f"{n}, {len(scores)}, {len(people)} and {len(place)}"
        )
    _, first, who = np.unique(people, return_index=True, return_inverse=True)
    own, block = y[first], place[first]
    same = np.array_equal(own[who], y, equal_nan=y.dtype.kind == "f")
    if not same or not np.array_equal(block[who], place):
        raise DataError("expected one label and one block a subject, got subjects with several")
    members = [np.flatnonzero(block == b) for b in np.unique(block)]
    sign = 1.0 if larger_is_better else -1.0
    truth = sign * metric(y, scores)
    rng = np.random.default_rng(random_state)
    as_good = 1
    for _ in range(n_permutations):
        order = np.arange(len(own))
        for inside in members:
            order[inside] = rng.permutation(inside)
        as_good += sign * metric(own[order][who], scores) >= truth - 1e-12
    return as_good / (n_permutations + 1)
