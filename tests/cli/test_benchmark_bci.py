from __future__ import annotations

import pytest

from biojepa.cli.main import main
from tests.eeg.published import needs_eeg


@needs_eeg
def test_the_table_of_a_simulation_is_written(tmp_path, capsys) -> None:
    out = tmp_path / "out"
    line = ["benchmark", "bci", "--paradigm", "ssvep", "--simulated", "--quick", "-o", str(out)]
    line += ["--preset", "tiny", "--steps", "1", "--head-steps", "1", "--rows", "chance,cca"]
    assert main(line) == 0
    said = capsys.readouterr().out
    assert "no verdict" in said
    assert "report.html" in said
    assert {"report.html", "results.csv", "results.json"} <= {p.name for p in out.iterdir()}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ([], "expected --paradigm"),
        (["--paradigm", "mi"], "expected one of SRC"),
        (["--paradigm", "mi", "x", "--simulated"], "got 2"),
        (["--paradigm", "mi", "--simulated"], "expected -o OUT"),
        (["--paradigm", "mi", "--simulated", "-o", "y", "--seeds", "0"], "--seeds of 1"),
        (["--paradigm", "mi", "--simulated", "-o", "y", "--jobs", "0"], "--jobs of 1"),
        (["--paradigm", "mi", "nowhere", "-o", "y"], "found none"),
    ],
)
def test_a_wrong_line_is_one_message(line, message, capsys) -> None:
    assert main(["benchmark", "bci", *line]) in (1, 2)
    assert message in capsys.readouterr().err
