from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.perturbations import gain_error, white_noise
from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.rows import run_row
from biojepa.evaluation.studies import label_efficiency, robustness
from tests.evaluation.toys import MeanClassifier, cohort, row


def test_more_labels_help_and_all_labels_give_the_benchmark_s_number() -> None:
    data = cohort(400)
    protocol = make_protocol(data.y, data.groups)
    good = row("good", "jepa")
    points = label_efficiency(good, data, protocol, fractions=(0.005, 0.1, 1.0), n_draws=5)
    assert [len(p.auc) for p in points] == [0, 5, 1]  # two records do not hold 2 of each class
    assert np.isnan(points[0].n_records)
    assert points[1].n_records == pytest.approx(32, abs=2)
    assert points[2].auc[0] > np.mean(points[1].auc)
    whole = macro_auc(data.y, run_row(good, data, protocol, 0).values)
    assert points[2].auc[0] == pytest.approx(whole)


def test_pretraining_sees_the_whole_training_part_whatever_the_labels() -> None:
    sizes = set()

    def make(seed, X):
        sizes.add(len(X))
        return MeanClassifier(0.0, seed)

    data = cohort(100)
    protocol = make_protocol(data.y, data.groups)
    label_efficiency(
        replace(row("r", "jepa"), make=make), data, protocol, fractions=(0.5,), n_draws=1
    )
    assert sizes == {len(split.train) for split in protocol.splits}


def test_disturbed_records_are_scored_by_undisturbed_models() -> None:
    data = cohort(300)
    protocol = make_protocol(data.y, data.groups)

    def nothing(values, rate_hz, rng):
        return values

    tried = {
        "nothing": {"": nothing},
        "gain": {"x 2": lambda v, hz, rng: gain_error(v, hz, rng, factor=2.0)},
        "noise": {"-20 dB": lambda v, hz, rng: white_noise(v, hz, rng, snr_db=-20)},
    }
    found = robustness(row("good", "jepa"), data, protocol, rate_hz=100, perturbations=tried)
    assert found["none"][""] == found["nothing"][""] == found["gain"]["x 2"]
    assert found["noise"]["-20 dB"] < found["none"][""] - 0.02
