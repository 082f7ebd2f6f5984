from __future__ import annotations

import csv
import json
from dataclasses import replace

import pytest
from matplotlib.figure import Figure

from biojepa.evaluation import html
from biojepa.evaluation.protocol import make_protocol
from biojepa.evaluation.report import Outcome, Picture, finite, render, write_outcome
from biojepa.evaluation.rows import run_row
from biojepa.evaluation.studies import LabelPoint
from biojepa.evaluation.table import make_table
from tests.evaluation.toys import CHANCE, cohort, row

SCRIPT = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    data = replace(cohort(200), classes=("=A()", SCRIPT, "C"))
    protocol = make_protocol(data.y, data.groups)
    rows = [CHANCE, row("simple", "classical", 2.0), row("ours", "jepa", 0.5)]
    scores = {r.name: {k: run_row(r, data, protocol, k) for k in range(2)} for r in rows}
    levels = {"none": {"": 0.8}, "noise": {"0 dB": 0.7}}
    figure = Figure(figsize=(1, 1))
    return Outcome(
        title=f"benchmark {SCRIPT}",
        facts={"data": SCRIPT, "n": 3},
        verdict="JEPA is worse.",
        overlap="overlap: 0 known, unknown for 5 records",
        results=make_table(rows, scores, data, protocol, n_resamples=50),
        n_records=200,
        n_train=160,
        not_run={"rocket": SCRIPT},
        pretraining_minutes={"jepa (3)": 2.5},
        labels={"ours": [LabelPoint(0.01, float("nan"), ()), LabelPoint(1.0, 160.0, (0.8,))]},
        robustness={"ours": levels, "simple": levels},
        pictures=[Picture("a look", SCRIPT, figure)],
        limits=["Nothing <b>else</b>."],
        simulated=True,
    )


def test_no_text_of_the_page_can_run_and_nothing_is_fetched(outcome) -> None:
    text = render(outcome)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "Nothing &lt;b&gt;else&lt;/b&gt;." in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("data:image/png;base64,") == 5


def test_the_page_says_what_has_to_be_said(outcome) -> None:
    text = render(outcome)
    for part in (
        "JEPA is worse.",
        "overlap: 0 known, unknown for 5 records",
        "say nothing about patients",
        "What this does not show",
        "not run: rocket",
        "Not measured at 1 %",
        "the strongest classical row (the simple)",
    ):
        assert part in text
    assert "say nothing about patients" not in render(replace(outcome, simulated=False))


def test_every_seed_is_in_the_table_and_cells_are_harmless(outcome, tmp_path) -> None:
    report = write_outcome(outcome, tmp_path / "out")
    assert report.read_text(encoding="utf-8") == render(outcome)
    with (tmp_path / "out" / "results.csv").open(newline="", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    assert [(line["row"], line["seed"]) for line in lines] == [
        (name, seed) for name in ("chance", "simple", "ours") for seed in ("all", "0", "1")
    ]
    assert "auc =A()" in lines[0]
    assert lines[3]["difference"] == ""
    assert float(lines[6]["difference_low"]) > 0


def test_the_json_holds_the_numbers_of_the_page(outcome, tmp_path) -> None:
    write_outcome(outcome, tmp_path)
    found = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert found["verdict"] == outcome.verdict
    assert found["rows"][2]["seed_auc"] == list(outcome.results[2].seed_auc)
    assert found["rows"][2]["difference"]["low"] > 0
    assert found["label_efficiency"]["ours"][0] == {"fraction": 0.01, "n_records": None, "auc": []}
    assert found["robustness"]["ours"]["noise"]["0 dB"] == 0.7


def test_a_table_of_nothing_but_chance_is_a_page_too(outcome) -> None:
    only = replace(outcome, results=outcome.results[:1], labels={}, robustness={}, pictures=())
    assert "No classical row was run" in render(only)


def test_nan_becomes_none_at_any_depth() -> None:
    assert finite({"a": [1.0, float("nan")], 2: (float("inf"),)}) == {"a": [1.0, None], "2": [None]}


def test_cells_and_captions_are_escaped() -> None:
    assert html.table(["<"], [["&"]]).count("&lt;") == 1
    assert "<td>&amp;</td>" in html.table(["<"], [["&"]])
    page = html.picture(Figure(figsize=(1, 1)), what='a "quote"', caption="<i>")
    assert 'alt="a &quot;quote&quot;"' in page
    assert "&lt;i&gt;" in page
