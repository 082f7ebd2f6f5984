from __future__ import annotations

import json

import pytest

from biojepa.data.simulate_bci import simulate_bci
from biojepa.eeg import studies
from biojepa.eeg.benchmark import BCISettings
from biojepa.eeg.benchmark_data import load_simulated
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


def quiet(text: str) -> None:
    pass


def test_every_window_and_mask_is_judged_on_people_it_was_not_pretrained_on() -> None:
    recordings = simulate_bci("mi", n_subjects=2, n_runs=2, n_trials=6)
    found = studies.window_mask(
        recordings,
        tokens=(1, 2),
        radii=(0.8,),
        preset="tiny",
        steps=1,
        head_steps=1,
        say=quiet,
    )
    assert found["halves"] == [["sim01"], ["sim02"]]
    assert [(r["tokens"], r["radius"]) for r in found["rows"][::2]] == [(1, 0.8), (2, 0.8)]
    random = {r["head"]: r["mean"] for r in found["random"]}
    for row in found["rows"]:
        assert set(row["subjects"]) == {"sim01", "sim02"}
        assert row["over_random"]["mean"] == pytest.approx(row["mean"] - random[row["head"]])
    json.dumps(found)


def test_a_table_is_a_file_with_its_command(tmp_path, monkeypatch) -> None:
    data = load_simulated("ssvep", n_subjects=2)
    monkeypatch.setattr(studies, "load_folder", lambda paradigm, root: data)
    settings = BCISettings(rows=("chance", "cca"), n_seeds=1, preset="tiny", steps=1)
    studies.benchmarks(
        tmp_path, tmp_path, tmp_path / "keep", only=["ssvep"], settings=settings, say=quiet
    )
    found = json.loads((tmp_path / "ssvep.json").read_text())
    assert found["command"].endswith("studies benchmarks --seeds 1")
    assert [row["name"] for row in found["tables"][0]["rows"]] == ["chance", "cca"]
