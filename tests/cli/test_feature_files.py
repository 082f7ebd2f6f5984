from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.cli.errors import UsageError
from biojepa.cli.feature_files import open_feature_file
from biojepa.errors import DataError, RunError

ROWS = np.array([[0.1, 1e-20], [np.pi, -3.0]], dtype=np.float32)


def test_a_csv_gives_every_float_back_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    with open_feature_file(path) as file:
        file.write(["a", "=HYPERLINK(1)"], ROWS)
        file.write(["tab\there"], ROWS[:1])
    lines = path.read_text().splitlines()
    assert lines[0] == "record_id,f0,f1"
    assert lines[2].startswith("'=HYPERLINK(1),")
    np.testing.assert_array_equal(
        np.array([line.split(",")[1:] for line in lines[1:3]], np.float32), ROWS
    )


def test_an_npz_holds_features_and_names(tmp_path: Path) -> None:
    path = tmp_path / "f.npz"
    with open_feature_file(path) as file:
        file.write(["a"], ROWS[:1])
        file.write(["\udcff"], ROWS[1:])
    with np.load(path, allow_pickle=False) as found:
        np.testing.assert_array_equal(found["features"], ROWS)
        assert found["record_id"].tolist() == ["a", "\\udcff"]


def test_an_error_leaves_the_old_file_and_no_leavings(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("old")
    with pytest.raises(DataError, match="bad"), open_feature_file(path):
        raise DataError("bad")
    assert [p.name for p in tmp_path.iterdir()] == ["f.csv"]
    assert path.read_text() == "old"


def test_other_kinds_and_places_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="FILE.csv or"), open_feature_file(tmp_path / "f.xls"):
        pass
    with (
        pytest.raises(RunError, match="cannot be written"),
        open_feature_file(tmp_path / "no" / "f.csv"),
    ):
        pass
