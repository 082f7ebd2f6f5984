from __future__ import annotations

from dataclasses import replace

import pytest

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.benchmark_data import BenchmarkData, simulated_data
from biojepa.ecg.benchmark_words import limits
from biojepa.evaluation.protocol import make_protocol


@pytest.fixture(scope="module")
def data() -> BenchmarkData:
    return simulated_data(simulate_ecg(60, rate_hz=100, random_state=1))


def said(data: BenchmarkData, n_seeds: int = 3) -> str:
    labelled = data.labelled
    protocol = make_protocol(labelled.y, labelled.groups)
    return " ".join(limits(data, protocol, n_seeds, None))


def test_one_seed_has_no_spread(data) -> None:
    assert "One seed: how far another would differ was not measured." in said(data, 1)
    assert "3 seeds: their spread is shown" in said(data, 3)


def test_classes_rarer_than_the_folds_are_said_to_be_judged_unfairly(data) -> None:
    assert "fewer positives than there are folds" not in said(data)
    y = data.labelled.y.copy()
    y[:, 0] = 0
    y[:2, 0] = 1
    rare = replace(data, labelled=replace(data.labelled, y=y))
    assert "1 of 5 classes have fewer positives than there are folds" in said(rare)
    assert f"the rarest class, {data.labelled.classes[0]}, has 2 positives" in said(rare)


def test_published_figures_are_compared_with_for_patients_only(data) -> None:
    assert "0.945" not in said(data)
    assert "0.945" in said(replace(data, simulated=False))
