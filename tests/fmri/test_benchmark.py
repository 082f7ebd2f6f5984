"""The fMRI benchmark on simulated people, and its readers on real ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.errors import ConfigError, DataError, LeakageError
from biojepa.fmri.benchmark import BenchmarkSettings, run_benchmark
from biojepa.fmri.benchmark_baselines import TangentSpace, confound_features, shrunk_correlations
from biojepa.fmri.benchmark_data import load_cohorts
from biojepa.fmri.benchmark_encoders import Encoders
from biojepa.fmri.benchmark_rows import ROWS, choose_rows
from biojepa.fmri.benchmark_tasks import held_out, make_tasks
from biojepa.fmri.simulate import simulate_cohort
from tests.conftest import real_data

SMALL = BenchmarkSettings(
    n_seeds=1, preset="tiny", steps=2, head_steps=2, trained_tasks=("age",), n_resamples=20
)


@pytest.fixture(scope="module")
def cohort():
    return simulate_cohort(60, n_regions=12, n_sites=2, n_times=64, random_state=0)


@pytest.fixture(scope="module")
def outcome(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("bench")
    return run_benchmark({"simulated": cohort}, out, settings=SMALL, say=lambda _: None), out


def test_every_task_and_row_is_in_the_table(outcome):
    found, _ = outcome
    names = [task.name for task, _, _ in found.tasks]
    ends = ["age", "adult", "sex", "group", "group-site"]
    assert names == [f"simulated-{end}" for end in ends]
    assert list(found.rows("simulated-age")) == [name for name, _, _ in ROWS]
    assert "jepa-finetune" not in found.rows("simulated-sex")
    assert any("jepa-finetune of simulated-sex" in left for left in found.not_run)
    assert all("is" in verdict for _, _, verdict in found.tasks)


def test_connectivity_beats_the_mean_and_confounds_do_not(outcome):
    rows = outcome[0].rows("simulated-age")
    assert rows["fc-ridge"].value.point < 0.8 * rows["chance"].value.point
    assert rows["confounds"].value.point > rows["fc-ridge"].value.point
    assert rows["fc-ridge"].p < 0.05 < rows["chance"].p


def test_pretrained_rows_are_set_against_random_weights_and_connectivity(outcome):
    rows = outcome[0].rows("simulated-age")
    assert list(rows["fc-jepa"].over) == ["fc-random", "fc-ridge"]
    gap = rows["jepa-linear"].over["random-init"]
    assert gap.point == rows["jepa-linear"].value.point - rows["random-init"].value.point
    assert not rows["fc-ridge"].over
    assert "Other paired differences" in (outcome[1] / "report.html").read_text(encoding="utf-8")


def test_the_files_say_what_made_them(outcome):
    found, out = outcome
    numbers = json.loads((out / "results.json").read_text(encoding="utf-8"))
    data = numbers["facts"]["pretrained on"]
    assert all(len(cohort["sha256"]) == 64 for cohort in data.values())
    assert {"commit", "threads", "settings"} <= set(numbers["facts"])
    assert numbers["spent"]["cpu_s"] > numbers["pretraining"]["cpu_s"] > 0
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Predicted and true: age" in page
    assert "simulated" in page


def test_started_again_it_goes_on_with_the_same_numbers(outcome, cohort):
    found, out = outcome
    said: list[str] = []
    again = run_benchmark({"simulated": cohort}, out, settings=SMALL, say=said.append)
    assert not any("seed 0" in line or "runs without" in line for line in said)
    for task, rows, _ in found.tasks:
        values = {name: row.value.point for name, row in again.rows(task.name).items()}
        assert values == {row.name: row.value.point for row in rows}


def test_no_encoder_has_seen_the_people_it_is_judged_on(cohort, tmp_path):
    tasks = make_tasks({"simulated": cohort})
    held = held_out(tasks)
    assert len(held) == 5 + 2  # folds, and sites that have both groups
    encoders = Encoders({"simulated": cohort}, held, tmp_path)
    for own in tasks:
        for split in own.task.protocol.splits:
            judged = set(own.cohort.subjects[split.test].tolist())
            outside = frozenset(np.delete(own.cohort.subjects, split.train).tolist())
            seen = {run.subject_id for run in encoders.runs(encoders.without(outside))}
            assert seen
            assert not seen & judged
    with pytest.raises(LeakageError, match="held-out set"):
        encoders.without(frozenset(cohort.subjects.tolist()))


def test_a_transductive_table_says_so(cohort, tmp_path):
    settings = BenchmarkSettings(
        ("fc-ridge", "jepa-linear"), 1, "tiny", 2, transductive=True, n_resamples=20
    )
    found = run_benchmark({"simulated": cohort}, tmp_path, settings=settings, say=lambda _: None)
    assert found.overlap.startswith("Transductive")
    rows = found.rows("simulated-age")
    assert rows["jepa-linear"].transductive
    assert not rows["fc-ridge"].transductive
    assert len(list((tmp_path / "pretrained").glob("jepa-*.json"))) == 1


def test_rows_are_chosen_by_name_or_kind_and_unknown_ones_refused():
    with pytest.raises(ConfigError, match="did you mean 'fc-ridge'"):
        choose_rows([], ["fc-rigde"])


def test_tangent_vectors_are_zero_at_the_mean_and_see_scale_nowhere(cohort):
    matrices = shrunk_correlations(cohort)
    assert np.linalg.eigvalsh(matrices).min() > 0
    np.testing.assert_allclose(np.diagonal(matrices, axis1=1, axis2=2), 1.0)
    space = TangentSpace().fit(matrices)
    assert np.abs(space.transform(matrices).mean(axis=0)).max() < 1e-3
    same = np.stack([matrices[0]] * 3)
    assert np.abs(TangentSpace().fit(same).transform(same)).max() < 1e-10


def test_confounds_know_length_movement_and_names_but_no_region(cohort):
    features = confound_features(cohort, ("sex", "site", "absent"))
    assert features.shape == (60, 4 + 2 + 2)
    jumpy = cohort.take([0])
    jumpy.runs[0].values[:, ::2] += 200.0
    assert confound_features(jumpy, ())[0, 2] > features[0, 2]


def test_a_folder_without_the_data_is_one_message(tmp_path):
    with pytest.raises(DataError, match="development_fmri_rois"):
        load_cohorts(tmp_path)


def test_the_shared_cohorts_are_read_with_their_phenotypes():
    cohorts = load_cohorts(real_data("fmri"))
    assert [len(c.runs[0].values) for c in cohorts.values()] == [116, 64, 116, 94]
    development, abide = cohorts["development"], cohorts["abide"]
    assert development.regions == abide.regions
    assert len(development.regions) == 116
    assert (development.column("adult") == (development.column("age") >= 18)).all()
    assert set(abide.column("site")) == {"PITT", "OLIN", "OHSU"}
    names = [own.task.name for own in make_tasks(cohorts)]
    assert names == [
        "development-age",
        "development-adult",
        "development-sex",
        "abide-group",
        "abide-group-site",
    ]


def test_the_command_runs_on_simulated_people(tmp_path, capsys):
    line = ["benchmark", "fmri", "--simulated", "-o", str(tmp_path / "out"), "--quick"]
    assert main([*line, "--rows", "chance,fc-ridge"]) == 0
    assert "report:" in capsys.readouterr().out
    assert {"report.html", "results.csv"} <= {p.name for p in (tmp_path / "out").iterdir()}


@pytest.mark.parametrize(
    ("option", "tasks"),
    [
        ([], ("age", "adult")),
        (["--quick"], ("age",)),
        (["--trained", "sex,group"], ("sex", "group")),
    ],
)
def test_the_command_trains_networks_for_the_named_tasks(tmp_path, monkeypatch, option, tasks):
    given = {}

    def run(cohorts, out, *, settings, say):
        given["settings"] = settings

    monkeypatch.setattr("biojepa.fmri.benchmark.run_benchmark", run)
    assert main(["benchmark", "fmri", "--simulated", "-o", str(tmp_path), *option]) == 0
    assert given["settings"].trained_tasks == tasks


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["benchmark", "fmri", "-o", "x"], "PATH"),
        (["benchmark", "fmri", "here", "--simulated", "-o", "x"], "PATH"),
        (["benchmark", "fmri", "--simulated"], "expected -o OUT"),
        (["benchmark", "fmri", "--simulated", "-o", "x", "--seeds", "0"], "--seeds of 1"),
        (["benchmark", "fmri", "--simulated", "-o", "x", "--trained", "ages"], "--trained of age"),
    ],
)
def test_a_wrong_line_is_one_message(line, message, capsys):
    assert main(line) in (1, 2)
    assert message in capsys.readouterr().err
