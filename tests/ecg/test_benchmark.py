from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg.benchmark import BenchmarkSettings, run_benchmark
from biojepa.ecg.benchmark_cost import estimate_cost, flops_per_window
from biojepa.ecg.benchmark_data import BenchmarkData, Unlabelled, simulated_data
from biojepa.ecg.benchmark_encoders import PROBE_C, READING, Encoders, FeatureMemo
from biojepa.ecg.benchmark_rows import COMBINATION, RowMaker, choose_rows
from biojepa.ecg.recipes import get_recipe
from biojepa.errors import ConfigError
from tests.conftest import ROOT

FAST = BenchmarkSettings(
    rows=("chance", "random-init", "jepa-linear", "jepa-scale"),
    n_seeds=1,
    preset="tiny",
    steps=4,
    n_resamples=30,
    saliency=False,
)


@pytest.fixture(scope="module")
def data() -> BenchmarkData:
    return simulated_data(simulate_ecg(60, rate_hz=100, random_state=1))


@pytest.fixture(scope="module")
def unlabelled() -> Unlabelled:
    cohort = simulate_ecg(20, rate_hz=100, random_state=2)
    nobody = ("",) * 20
    return Unlabelled(
        cohort.values, cohort.leads, 100.0, "mV", nobody, nobody, "fingerprint", "simulated"
    )


def test_the_probe_is_the_one_that_was_fixed_on_other_records() -> None:
    chosen = json.loads((ROOT / "results" / "ecg_probe_choice.json").read_text())
    assert READING == {"pool": chosen["pool"], "layer": chosen["layer"]}
    assert chosen["C"] == PROBE_C


def test_the_combined_row_follows_the_way_that_other_records_chose():
    chosen = json.loads((ROOT / "results" / "ecg_combination_choice.json").read_text())
    assert chosen["way"] == COMBINATION
    assert chosen["C"] == PROBE_C
    assert chosen["n_records"] == 460


def test_features_are_computed_once_a_record() -> None:
    asked = []

    def transform(X):
        asked.append(len(X))
        return X.mean(-1)

    X = np.random.default_rng(0).standard_normal((6, 2, 10)).astype(np.float32)
    memo = FeatureMemo(transform)
    assert np.array_equal(memo(X[:4]), X[:4].mean(-1))
    assert np.array_equal(memo(X[::-1]), X[::-1].mean(-1))
    assert asked == [4, 2]


def test_an_encoder_is_pretrained_once_and_found_again(data, unlabelled, tmp_path) -> None:
    said: list[str] = []
    options = {"preset": "tiny", "steps": 2, "pretraining": unlabelled, "say": said.append}
    X = data.labelled.X
    first = Encoders(data, tmp_path, **options)
    features = first.pretrained(0, X[:30]).transform(X[:4])
    first.pretrained(0, X[30:])  # the unlabelled set is the same
    assert len(said) == 1
    again = Encoders(data, tmp_path, **options).pretrained(0, X[:30]).transform(X[:4])
    assert len(said) == 1
    assert again == pytest.approx(features, abs=1e-6)
    Encoders(data, tmp_path, **options).pretrained(1, X[:30])
    Encoders(data, tmp_path, **{**options, "steps": 3}).pretrained(0, X[:30])
    assert len(said) == 3
    assert first.minutes().keys() == {"jepa (3)"}


def test_without_an_unlabelled_set_each_training_part_has_its_own_encoder(data, tmp_path) -> None:
    said: list[str] = []
    encoders = Encoders(data, tmp_path, preset="tiny", steps=2, say=said.append)
    X = data.labelled.X
    encoders.pretrained(0, X[:30])
    encoders.pretrained(0, X[30:])
    encoders.train_only(0, X[:30])  # the same thing under another name
    assert len(said) == 2
    encoders.continued(0, X[:30])
    assert len(said) == 3


def test_continued_pretraining_changes_the_weights_and_keeps_the_first(
    data, unlabelled, tmp_path
) -> None:
    encoders = Encoders(
        data, tmp_path, preset="tiny", steps=8, pretraining=unlabelled, say=lambda text: None
    )
    X = data.labelled.X
    before = encoders.pretrained(0, X[:30]).transform(X[:4])
    after = encoders.continued(0, X[:30]).transform(X[:4])
    assert np.abs(after - before).max() > 1e-6
    assert np.array_equal(encoders.pretrained(0, X[:30]).transform(X[:4]), before)


def test_rows_are_chosen_by_name_group_or_kind(data, tmp_path) -> None:
    rows = RowMaker(data, Encoders(data, tmp_path, preset="tiny")).rows()
    assert len({row.name for row in rows}) == len(rows)
    assert [r.name for r in choose_rows(rows, ["jepa-linear", "chance"])] == [
        "chance",
        "jepa-linear",
    ]
    frozen = {r.name for r in choose_rows(rows, ["frozen"])}
    assert {"random-init", "jepa-linear", "jepa-scale"} <= frozen
    assert {r.name for r in choose_rows(rows, ["classical"])} == {
        "hydra-multirocket",
        "beats-lr",
        "beats-gbm",
    }
    assert {r.kind for r in choose_rows(rows, ["jepa"])} == {"jepa"}
    assert choose_rows(rows, None) == rows
    with pytest.raises(ConfigError, match="did you mean 'jepa-linear'"):
        choose_rows(rows, ["jepa-linaer"])


def test_a_benchmark_writes_its_report_and_goes_on_where_it_was(data, unlabelled, tmp_path) -> None:
    said: list[str] = []
    outcome = run_benchmark(data, tmp_path, settings=FAST, pretraining=unlabelled, say=said.append)
    assert (tmp_path / "report.html").is_file()
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["overlap"] == outcome.overlap == "overlap: 0 known, unknown for 20 records"
    assert [row["name"] for row in found["rows"]] == list(FAST.rows or ())
    assert "jepa-linear, seed 0" in said
    said.clear()
    again = run_benchmark(data, tmp_path, settings=FAST, pretraining=unlabelled, say=said.append)
    assert "jepa-linear, seed 0" not in said
    assert [r.seed_auc for r in again.results] == [r.seed_auc for r in outcome.results]


@pytest.mark.slow
def test_every_row_runs_with_few_steps_studies_and_saliency(data, unlabelled, tmp_path) -> None:
    settings = BenchmarkSettings(
        n_seeds=1,
        preset="tiny",
        steps=4,
        head_steps=2,
        label_efficiency=True,
        robustness=True,
        n_draws=1,
        n_resamples=30,
    )
    outcome = run_benchmark(
        data, tmp_path, settings=settings, pretraining=unlabelled, say=lambda text: None
    )
    names = [r.name for r in outcome.results]
    rows = RowMaker(data, Encoders(data, tmp_path, preset="tiny")).rows()
    assert names == [row.name for row in rows if row.name not in outcome.not_run]
    assert set(outcome.not_run) <= {"hydra-multirocket"}  # which needs aeon
    assert set(outcome.labels) == set(outcome.robustness)
    assert {"random-init", "jepa-linear", "jepa-scale"} <= set(outcome.labels)
    assert outcome.robustness["jepa-linear"]["missing leads"].keys() == set(map(str, range(1, 12)))
    assert len(outcome.pictures) == 2


def test_the_cost_of_a_recipe_is_counted_and_measured(data) -> None:
    cost = estimate_cost("tiny", data, steps=1000)
    recipe = get_recipe("tiny")
    assert cost.samples == 1000 * recipe.train.batch_size
    assert cost.samples_per_s > 0
    assert cost.n_trained > cost.n_copy > 0
    assert cost.hours_here == pytest.approx(cost.samples / cost.samples_per_s / 3600)
    text = "\n".join(cost.lines())
    assert "measured" in text
    assert "assumed, not measured" in text
    more = estimate_cost("tiny", data, steps=2000)
    assert more.samples == 2 * cost.samples
    assert more.activation_bytes == cost.activation_bytes


def test_the_operations_of_the_paper_s_models_grow_with_their_weights() -> None:
    small, large = (flops_per_window(get_recipe(f"paper-{size}").model) for size in ("xs", "s"))
    # 3.6 and 14.3 million weights, and attention that grows with the width alone
    assert 3 < large / small < 4
    # two operations a weight and token, 200 tokens, of the target's forward pass alone
    assert small > 2 * 200 * 3.4e6
