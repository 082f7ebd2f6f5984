from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace

import numpy as np
import pytest

from biojepa.eeg import SignalJEPA
from biojepa.eeg.benchmark import BCISettings, run_bci_benchmark
from biojepa.eeg.benchmark_data import MOTOR, load_folder, load_moabb, load_simulated
from biojepa.eeg.benchmark_encoders import FoldEncoders
from biojepa.eeg.benchmark_rows import HEADLINE, PAIRS, choose_rows, make_rows
from biojepa.errors import ConfigError, DataError, LeakageError, MissingDependencyError
from biojepa.evaluation.subjects import across_subjects
from tests.conftest import real_data
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
FAST = BCISettings(n_seeds=1, preset="tiny", steps=2, head_steps=2)
FEW = replace(FAST, rows=("chance", "cca", HEADLINE, "random-pre-local-full", "jepa-continued"))


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def data():
    return load_simulated("ssvep", n_subjects=2)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("bci")
    return run_bci_benchmark(data, out, settings=FEW, say=quiet), out


def test_every_row_has_every_subject_within_and_across(run, data) -> None:
    outcome, _ = run
    assert [table.evaluation for table in outcome.tables] == ["within", "across"]
    for table in outcome.tables:
        assert {r.name for r in table.results} == set(FEW.rows)
        assert all(tuple(r.by_subject) == data.subjects for r in table.results)
        assert 1 / 3 < table.bound < 0.6
        assert list(table.gaps()) == ["pre-local, full"]


def test_the_files_hold_the_numbers_the_data_and_what_it_took(run, data) -> None:
    outcome, out = run
    found = json.loads((out / "results.json").read_text())
    facts = found["facts"]
    assert facts["sha256 of the data"] == data.fingerprint()
    assert {"commit", "threads", "torch"} <= facts.keys()
    assert found["spent"]["cpu_s"] > found["pretraining"]["pretrained"]["cpu_s"] > 0
    lines = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert len(lines) == 2 * len(FEW.rows) * len(data.subjects)
    page = (out / "report.html").read_text()
    assert page.count("data:image/png") == 4
    for part in ("significance", "transductive", "processor s", "simulated"):
        assert part in page
    assert all(table.verdict.replace("'", "&#x27;") in page for table in outcome.tables)


def test_the_row_that_saw_the_judged_subject_says_so(run) -> None:
    outcome, _ = run
    marked = {r.name: r.transductive for r in outcome.tables[0].results}
    assert {name for name, seen in marked.items() if seen} == {"jepa-continued"}


def test_a_stopped_benchmark_goes_on_where_it_was(run, data) -> None:
    outcome, out = run
    said: list[str] = []
    again = run_bci_benchmark(data, out, settings=FEW, say=said.append)
    assert not [line for line in said if "seed" in line]
    assert [t.numbers() for t in again.tables] == [t.numbers() for t in outcome.tables]


def test_two_processes_find_what_one_finds(run, data, tmp_path) -> None:
    outcome, _ = run
    said: list[str] = []
    some = replace(FEW, rows=("cca", HEADLINE, "jepa-continued"))
    run_bci_benchmark(data, tmp_path, settings=some, jobs=2, say=quiet)
    again = run_bci_benchmark(data, tmp_path, settings=some, say=said.append)
    assert not [line for line in said if "seed" in line]  # the processes did it all
    for table, other in zip(again.tables, outcome.tables, strict=True):
        alone = {r.name: r.by_subject for r in other.results}
        assert {r.name: r.by_subject for r in table.results} == {n: alone[n] for n in some.rows}


def test_the_time_of_encoders_is_of_these_settings_alone(run, data) -> None:
    _, out = run
    options = {"preset": "tiny", "given": None, "say": quiet}
    assert FoldEncoders(data, out, steps=FAST.steps, **options).times().keys() == {
        "pretrained",
        "continued",
    }
    assert FoldEncoders(data, out, steps=FAST.steps + 1, **options).times() == {}


def test_a_judged_subject_is_never_pretrained_on(data, tmp_path) -> None:
    encoders = FoldEncoders(data, tmp_path, preset="tiny", steps=1, given=None, say=quiet)
    for subject in data.subjects:
        seen = encoders.pretrained(0, subject).estimator.training_
        others = sum(len(X) for s, X in data.unlabelled.items() if s != subject)
        assert seen["n_records"] == others
    alone = replace(data, unlabelled={"sim01": data.unlabelled["sim01"]})
    lonely = FoldEncoders(alone, tmp_path, preset="tiny", steps=1, given=None, say=quiet)
    with pytest.raises(DataError, match="nobody but sim01"):
        lonely.pretrained(0, "sim01")


def test_a_given_encoder_that_has_seen_a_judged_subject_is_refused(data, tmp_path) -> None:
    model = SignalJEPA(preset="tiny", steps=1, sfreq=128, ch_names=data.channels, random_state=0)
    model.fit(data.unlabelled["sim01"])
    model.training_["ids"] = ["sim01R04"]
    model.save_pretrained(tmp_path / "model")
    options = {"preset": "tiny", "steps": 1, "given": tmp_path / "model", "say": quiet}
    with pytest.raises(LeakageError, match="has seen sim01"):
        FoldEncoders(replace(data, simulated=False), tmp_path, **options)


def test_three_architectures_stand_in_two_regimes_with_two_kinds_of_weights(data, tmp_path) -> None:
    encoders = FoldEncoders(data, tmp_path, preset="tiny", steps=1, given=None, say=quiet)
    rows = make_rows(data, data.tasks[0], encoders, head_steps=2)
    names = {row.name for row in rows}
    assert len(PAIRS) == 6
    assert {name for _, *pair in PAIRS for name in pair} <= names
    assert {"cca", "trca", "tangent-lr", "eegnet", "chance"} <= names
    fold = across_subjects(data.tasks[0].trials.subject).folds[0]
    alike = set()
    for row in rows:  # each can be made and trained
        if row.kind in ("random", "supervised"):
            trials = data.tasks[0].trials
            model = row.make(0, fold).fit(trials.X[fold.train], trials.y[fold.train])
            assert np.isfinite(model.predict_proba(trials.X[fold.test])).all()
            if getattr(model, "regime", "full") != "linear":
                alike.add((model.epochs, model.lr, model.batch_size, model.patience))
    assert len(alike) == 1  # no network is trained longer than another


def test_an_unknown_row_is_refused_with_the_nearest(data, tmp_path) -> None:
    encoders = FoldEncoders(data, tmp_path, preset="tiny", steps=1, given=None, say=quiet)
    rows = make_rows(data, data.tasks[0], encoders, head_steps=1)
    assert [row.name for row in choose_rows(rows, ["supervised", "cca"])] == ["cca", "eegnet"]
    with pytest.raises(ConfigError, match="did you mean 'jepa-pre-local-f"):
        choose_rows(rows, ["jepa-pre-local"])


def test_moabb_is_named_when_it_is_not_there(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "moabb", None)
    monkeypatch.setitem(sys.modules, "moabb.datasets", None)
    with pytest.raises(MissingDependencyError, match=r"biojepa\[moabb\]"):
        load_moabb("mi", "BNCI2014_001")


def test_the_tasks_of_the_real_recordings_are_balanced_enough_to_be_judged() -> None:
    data = load_folder("mi", real_data("eeg/eegmmidb"))
    assert data.channels == MOTOR
    assert [task.name for task in data.tasks] == ["left vs right", "rest vs imagery"]
    for task in data.tasks:
        assert 0.4 < task.trials.y.mean() < 0.6
