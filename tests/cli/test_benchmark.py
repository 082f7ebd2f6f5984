from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest

from biojepa.cli.main import main
from tests.ecg.ptbxl_factory import write_ptbxl


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ptbxl")
    write_ptbxl(folder, 40)
    return folder


@pytest.fixture(scope="module")
def root_500(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ptbxl500")
    write_ptbxl(folder, 12, rate_hz=500)
    return folder


def test_the_table_of_a_part_of_ptbxl_is_written(root, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    line = ["benchmark", "ptbxl", str(root), "-o", str(out), "--recipe", "tiny", "--steps", "2"]
    assert main([*line, "--seeds", "1", "--rows", "chance,jepa-linear"]) == 0
    said = capsys.readouterr().out
    assert "overlap: 0 known, unknown for 0 records" in said
    assert {"report.html", "results.csv", "results.json"} <= {p.name for p in out.iterdir()}


def test_the_single_label_task_is_one_of_several_for_every_kind_of_row(
    root, tmp_path, capsys
) -> None:
    line = ["benchmark", "ptbxl", str(root), "-o", str(tmp_path), "--recipe", "tiny", "--steps"]
    rows = "chance,random-init,beats-lr,beats-gbm,resnet,jepa-attentive,jepa-beats-trees"
    line += ["2", "--head-steps", "2", "--seeds", "1", "--task", "st-mem", "--rows", rows]
    assert main(line) == 0
    found = json.loads((tmp_path / "results.json").read_text())["rows"]
    assert [row["name"] for row in found] == rows.split(",")
    assert all(0 <= row["accuracy"] <= 1 for row in found)
    page = (tmp_path / "report.html").read_text()
    assert "Every record has exactly one class" in page
    assert "<th>accuracy</th>" in page


def test_a_dry_run_says_what_it_would_cost_and_writes_nothing(root, tmp_path, capsys) -> None:
    assert main(["benchmark", "ptbxl", str(root), "--recipe", "tiny", "--dry-run"]) == 0
    said = capsys.readouterr().out
    for part in ("20 steps", "hours on this machine", "assumed, not measured", "memory:"):
        assert part in said
    assert not list(tmp_path.iterdir())


LARGE = [pytest.param(size, marks=pytest.mark.slow) for size in ("s", "b")]


@pytest.mark.parametrize("size", ["xs", *LARGE])
def test_the_paper_s_recipes_say_what_they_would_cost_and_run_for_twenty_steps(
    size, root_500, tmp_path, capsys
) -> None:
    """As published but for the number of steps and the batch, which a test cannot wait for."""
    recipe = f"paper-{size}"
    assert main(["benchmark", "ptbxl", str(root_500), "--recipe", recipe, "--dry-run"]) == 0
    said = capsys.readouterr().out
    batch, micro_batch = (1024, 512) if size == "b" else (2048, 2048)
    assert f"{recipe}: 100,000 steps of {batch:,} records ({batch * 100_000:,} windows" in said
    for part in ("hours on this machine", "hours on a GPU", f"micro-batches of {micro_batch:,} "):
        assert part in said
    line = ["pretrain", "ecg", str(root_500 / "records500"), "-o", str(tmp_path / "run")]
    assert main([*line, "--preset", recipe, "--steps", "20", "--batch-size", "2"]) == 0
    with (tmp_path / "run" / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert int(rows[-1]["step"]) == 20
    assert all(math.isfinite(float(row["loss"])) for row in rows if row["loss"])


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
