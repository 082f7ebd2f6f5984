from __future__ import annotations

import json

from biojepa.eeg import studies
from biojepa.eeg.benchmark import BCISettings
from biojepa.eeg.benchmark_data import load_simulated
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


def quiet(text: str) -> None:
    pass


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
    assert found["jobs"] == 1
    assert found["wall_s"] > 0


def test_the_protocol_of_networks_is_judged_on_simulated_people(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(studies, "PROTOCOLS", ((1, None), (2, 1)))
    monkeypatch.setattr(studies, "PROTOCOL_ROWS", ("random-pre-local-full",))
    data = load_simulated("ssvep", n_subjects=2)
    monkeypatch.setattr(studies, "load_simulated", lambda *args, **options: data)
    studies.protocol(tmp_path, tmp_path / "keep", say=quiet)
    rows = json.loads((tmp_path / "protocol.json").read_text())["rows"]
    assert [(r["head_steps"], r["patience"]) for r in rows[::2]] == [(1, None), (2, 1)]
    assert [r["evaluation"] for r in rows[:2]] == ["within", "across"]


def test_phases_are_told_of_every_subject_of_both_sets(tmp_path, monkeypatch) -> None:
    data = load_simulated("ssvep", n_subjects=2)
    monkeypatch.setattr(studies, "load_folder", lambda paradigm, root: data)
    studies.phases(tmp_path, tmp_path)
    rows = json.loads((tmp_path / "phases.json").read_text())["rows"]
    assert len(rows) == 2 + 4
    assert all(0.2 < row["phase_consistency"] <= 1 for row in rows)  # simulated lights are locked
