from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.main import main
from biojepa.data._store_layout import read_manifest
from biojepa.data.leads import STANDARD_12
from biojepa.data.store import SignalStore
from tests.data.databases import miniature


def test_a_database_by_name_becomes_a_store_that_says_where_it_comes_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    miniature.code15(tmp_path / "in")
    line = ["prepare", "code-15", str(tmp_path / "in"), "-o", str(tmp_path / "s"), "--published"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "not selected: 2 (padded with zeros)" in said
    with SignalStore(tmp_path / "s") as store:
        assert len(store) == 20
        assert store.channels == STANDARD_12
        note = {"name": "code-15", "published": True, "highpass_hz": 0.5}
        assert store.recipe["database"] == note
        assert "highpass_hz" not in store.recipe  # stated, not done
        assert np.abs(store.read(0).mean(axis=1)).min() > 1  # the offset of 2.5 mV is still there


def test_the_baseline_is_removed_for_good_if_asked_for(tmp_path: Path) -> None:
    miniature.code15(tmp_path / "in", parts=(4,))
    line = ["prepare", "code-15", str(tmp_path / "in"), "-o", str(tmp_path / "s")]
    assert main([*line, "--highpass", "0.5"]) == 0
    with SignalStore(tmp_path / "s") as store:
        assert store.recipe["highpass_hz"] == 0.5
        assert np.abs(store.read(0).mean(axis=1)).max() < 0.2
    assert main([*line[:3], "-o", str(tmp_path / "t"), "--highpass", "60"]) == 1


def test_the_leads_of_mimic_come_out_in_the_usual_order(tmp_path: Path) -> None:
    miniature.mimic(tmp_path / "in", n_records=3)
    line = ["prepare", "mimic-iv-ecg", str(tmp_path / "in"), "-o", str(tmp_path / "s")]
    assert main([*line, "--rate", "250"]) == 0
    with SignalStore(tmp_path / "s") as store:
        assert store.channels == STANDARD_12
        assert set(store.rates_hz) == {250.0}
        values = store.read(2)
        assert np.isnan(values[4]).all()  # aVL, sixth in the files
        assert np.isfinite(values[[0, 1, 2, 3, 5]]).all()


def test_a_folder_that_is_called_like_a_database_is_still_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    miniature.cinc(tmp_path / "ptb", "any", ["S0001"], rate_hz=1000, lengths=[9000])
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", "ptb", "-o", "s"]) == 0
    assert "database" not in read_manifest(tmp_path / "s").recipe
    assert main(["prepare", "ptb", "ptb", "-o", "t"]) == 0
    assert read_manifest(tmp_path / "t").recipe["database"]["name"] == "ptb"


@pytest.mark.parametrize(
    ("line", "code", "part"),
    [
        (["ptb-xl", "-o", "s"], 2, "biojepa prepare ptb-xl FOLDER -o STORE"),
        (["ptb-xl", "x", "-o", "s", "--fs", "500"], 2, "leave these options out"),
        (["ptb-xl", "nowhere", "-o", "s"], 1, "no such folder"),
        (["x.npy", "-o", "s", "--published"], 2, "public database"),
    ],
)
def test_wrong_lines_are_refused(
    line: list[str],
    code: int,
    part: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["prepare", *line]) == code
    assert part in capsys.readouterr().err
