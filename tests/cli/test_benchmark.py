from __future__ import annotations

from pathlib import Path

import pytest

from biojepa.cli.main import main
from tests.ecg.ptbxl_factory import write_ptbxl


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ptbxl")
    write_ptbxl(folder, 40)
    return folder


def test_the_table_of_a_part_of_ptbxl_is_written(root, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    line = ["benchmark", "ptbxl", str(root), "-o", str(out), "--recipe", "tiny", "--steps", "2"]
    assert main([*line, "--seeds", "1", "--rows", "chance,jepa-linear"]) == 0
    said = capsys.readouterr().out
    assert "overlap: 0 known, unknown for 0 records" in said
    assert {"report.html", "results.csv", "results.json"} <= {p.name for p in out.iterdir()}


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(root, tmp_path, capsys) -> None:
    assert main(["benchmark", "ptbxl", str(root), "--recipe", "tiny", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in ("20 steps", "hours on this machine", "assumed, not measured", "memory:"):
        assert part in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (["benchmark"], "biojepa benchmark ptbxl SRC"),
        (["benchmark", "ptbxl"], "expected SRC"),
        (["benchmark", "ptbxl", "x"], "expected -o OUT"),
        (["benchmark", "ptbxl", "x", "-o", "y", "--seeds", "0"], "--seeds of 1"),
        (["benchmark", "ptbxl", "nowhere", "-o", "y"], "ptbxl_database.csv"),
    ],
)
def test_a_wrong_line_is_one_message(line, message, capsys) -> None:
    assert main(line) in (1, 2)
    assert message in capsys.readouterr().err
