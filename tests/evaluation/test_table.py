from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.evaluation.metrics import auprc, macro_auc
from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.rows import run_row
from biojepa.evaluation.table import make_table, strongest
from tests.evaluation.toys import CHANCE, cohort, row


@pytest.fixture(scope="module")
def table():
    data = cohort(300)
    protocol = make_protocol(data.y, data.groups)
    rows = [CHANCE, row("weak", "classical", 6.0), row("strong", "classical", 2.0)]
    rows += [row("ours", "jepa", 0.5), row("absent", "jepa")]
    seeds = {"chance": [0], "weak": [0], "strong": [0, 1], "ours": [0, 1, 2], "absent": []}
    scores = {
        r.name: {seed: run_row(r, data, protocol, seed) for seed in seeds[r.name]} for r in rows
    }
    results = make_table(rows, scores, data, protocol, n_resamples=200)
    return data, scores, {result.name: result for result in results}


def test_a_row_is_judged_by_the_mean_over_its_seeds(table) -> None:
    data, scores, results = table
    expected = [macro_auc(data.y, s.values) for s in scores["ours"].values()]
    assert results["ours"].seed_auc == pytest.approx(expected)
    assert results["ours"].auc.point == pytest.approx(np.mean(expected))
    assert results["ours"].auc.low < np.mean(expected) < results["ours"].auc.high
    precision = [auprc(data.y, s.values) for s in scores["ours"].values()]
    assert results["ours"].auprc == pytest.approx(np.mean(precision))


def test_differences_are_to_the_strongest_classical_row_also_with_other_numbers_of_seeds(
    table,
) -> None:
    _, _, results = table
    assert results["strong"].difference is None
    found = results["ours"].difference
    assert found is not None
    assert found.point == pytest.approx(results["ours"].auc.point - results["strong"].auc.point)
    assert found.low > 0
    weak = results["weak"].difference
    assert weak is not None
    assert weak.high < 0


def test_a_row_without_scores_is_left_out(table) -> None:
    _, _, results = table
    assert list(results) == ["chance", "weak", "strong", "ours"]


def test_classes_are_listed_with_what_they_rest_on(table) -> None:
    data, _, results = table
    per_class = results["ours"].per_class
    assert list(per_class.index) == list(data.classes)
    assert per_class["n_positive"].tolist() == data.y.sum(0).tolist()
    assert per_class["auc"].mean() == pytest.approx(results["ours"].auc.point)
    assert (per_class["f1"] > results["chance"].per_class["f1"]).all()


def test_temperature_scaling_does_not_hurt_and_the_benchmark_s_own_interval_is_there(
    table,
) -> None:
    _, _, results = table
    chance = results["chance"]
    assert chance.ece_scaled < chance.ece  # noise is too sure
    assert results["ours"].auc_helme is not None
    mean, low, high = results["ours"].auc_helme
    assert low < mean < high
    assert mean == pytest.approx(results["ours"].seed_auc[0], abs=0.02)


def test_everything_can_be_written_as_json(table) -> None:
    _, _, results = table
    for result in results.values():
        json.dumps(result.numbers())


def test_without_a_classical_row_there_is_nothing_to_compare_with() -> None:
    assert strongest({"ours": 0.9}, [row("ours", "jepa")]) is None
    rows = [row("a", "classical"), row("b", "classical")]
    assert strongest({"a": 0.7, "b": 0.8}, rows) == "b"
