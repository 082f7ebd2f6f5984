"""The permutation test."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.permutation import permutation_p
from biojepa.evaluation.regression import mean_absolute_error


def test_p_is_small_where_scores_go_with_labels_and_uniform_where_not():
    rng = np.random.default_rng(0)
    y = np.arange(40) % 2
    assert permutation_p(y, y + rng.standard_normal(40), metric=macro_auc) < 0.05
    p = [
        permutation_p(y, rng.standard_normal(40), metric=macro_auc, n_permutations=99)
        for _ in range(60)
    ]
    assert 0.35 < np.mean(p) < 0.65
    assert min(p) >= 0.01


def test_the_best_possible_p_counts_the_truth_itself():
    y = np.linspace(0, 1, 30)
    options = {"metric": mean_absolute_error, "larger_is_better": False, "n_permutations": 199}
    assert permutation_p(y, y, **options) == pytest.approx(1 / 200)


def test_within_blocks_a_score_that_only_knows_the_block_is_worth_nothing():
    site = np.repeat([0, 1], 30)
    y = np.r_[np.arange(30) % 5 == 0, np.arange(30) % 5 != 0].astype(float)
    free = permutation_p(y, site.astype(float), metric=macro_auc)
    within = permutation_p(y, site.astype(float), metric=macro_auc, blocks=site)
    assert free < 0.01
    assert within == 1.0


def test_records_of_a_subject_stay_together():
    subject = np.repeat(np.arange(6), 20)
    y = np.repeat([0, 0, 0, 1, 1, 1], 20)
    p = permutation_p(y, y.astype(float), metric=macro_auc, groups=subject)
    assert p >= 1 / 20 - 0.02  # 20 ways to deal three labels to six subjects
    with pytest.raises(DataError, match="one label and one block a subject"):
        permutation_p(np.arange(120) % 2, y, metric=macro_auc, groups=subject)
