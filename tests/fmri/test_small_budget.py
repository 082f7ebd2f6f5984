"""How the frozen `small` preset is read, and what chose it."""

from __future__ import annotations

import json

import numpy as np

from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.fmri import small_budget
from biojepa.fmri.benchmark_rows import READING, every_layer
from biojepa.fmri.simulate import simulate_cohort
from tests.conftest import ROOT


def test_the_benchmark_reads_as_unscored_people_chose():
    found = json.loads((ROOT / "results" / "fmri" / "small_budget.json").read_text())
    assert found["chosen"] == {"reading": READING, "layers": list(every_layer("small"))}
    assert found["chosen"] == small_budget.choose(found["rows"])


def test_the_choice_is_the_least_error_of_pretrained_weights_over_settings():
    rows = [
        {"weights": w, "reading": r, "layers": [0], "relative": [e]}
        for w, r, e in [
            ("jepa", "pooled", 0.9),
            ("jepa", "pooled", 0.7),
            ("jepa", "region", 0.6),
            ("jepa", "region", 0.9),
            ("random", "pooled", 0.1),
        ]
    ]
    assert small_budget.choose(rows) == {"reading": "region", "layers": [0]}


def test_out_of_fold_says_nothing_of_a_run_by_a_model_that_saw_its_person():
    people = simulate_cohort(40, n_regions=8, n_times=40, random_state=0)
    age = people.column("age").astype(float)
    own = np.eye(len(people))  # a feature that tells each run alone: useless out of fold
    said = small_budget.out_of_fold(RidgeProbe, own, age, people)
    assert np.isfinite(said).all()
    assert abs(np.corrcoef(said, age)[0, 1]) < 0.5
