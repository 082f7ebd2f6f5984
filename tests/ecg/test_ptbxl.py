"""PTB-XL labels against the published aggregation, on the real subset, and on damaged tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.ecg.ptbxl import load_labels, load_table, record_paths
from biojepa.errors import ConfigError, DataError, FormatError
from tests.conftest import PARITY, real_data

TASKS = ["all", "diagnostic", "subdiagnostic", "superdiagnostic", "form", "rhythm"]
HEADER = "ecg_id,patient_id,scp_codes,strat_fold,filename_lr,filename_hr"
ROW = "1,10.0,\"{'NORM': 100.0, 'SR': 0.0}\",1,records100/00000/00001_lr,records500/00000/00001_hr"
STATEMENTS = """,description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass
NORM,normal,1.0,,,NORM,NORM
SR,sinus,,,1.0,,
"""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ecg" / "ptbxl_labels.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def published(tmp_path: Path, golden: dict[str, np.ndarray]) -> Path:
    for name in ("ptbxl_database", "scp_statements"):
        (tmp_path / f"{name}.csv").write_text(str(golden[f"{name}_csv"]), encoding="utf-8")
    return tmp_path


def write(root: Path, *rows: str, header: str = HEADER, encoding: str = "utf-8") -> Path:
    text = "\n".join([header, *rows]) + "\n"
    (root / "ptbxl_database.csv").write_bytes(text.encode(encoding))
    (root / "scp_statements.csv").write_text(STATEMENTS, encoding="utf-8")
    return root


@pytest.mark.parametrize("min_samples", [0, 1])
@pytest.mark.parametrize("task", TASKS)
def test_labels_equal_the_published_aggregation(
    published: Path, golden: dict[str, np.ndarray], task: str, min_samples: int
) -> None:
    y, classes, ecg_id = load_labels(published, task, min_samples)  # type: ignore[arg-type]
    key = f"{task}/min{min_samples}"
    assert y.dtype == np.uint8
    assert classes.tolist() == golden[f"{key}/classes"].tolist()
    np.testing.assert_array_equal(y, golden[f"{key}/y"])
    np.testing.assert_array_equal(ecg_id, golden[f"{key}/ecg_id"])
    folds = load_table(published)["strat_fold"].loc[ecg_id.tolist()]
    np.testing.assert_array_equal(folds, golden[f"{key}/fold"])


@pytest.mark.parametrize("task", ["st-mem", "superdiagnostic-single"])
def test_the_single_label_task_keeps_records_with_one_superclass(
    published: Path, golden: dict[str, np.ndarray], task: str
) -> None:
    y, classes, ecg_id = load_labels(published, task)  # type: ignore[arg-type]
    expected = golden["superdiagnostic/min0/stmem_single_label_ecg_id"]
    np.testing.assert_array_equal(ecg_id, expected)
    assert y.sum(1).tolist() == [1] * len(y)
    assert classes.tolist() == ["CD", "HYP", "MI", "NORM", "STTC"]


def test_record_paths_follow_the_given_order(
    published: Path, golden: dict[str, np.ndarray]
) -> None:
    ids = load_table(published).index.to_numpy()
    found = [path.relative_to(published).as_posix() for path in record_paths(published, ids, 500)]
    assert found == golden["find_records"].tolist()
    assert [p.name for p in record_paths(published, [14, 2])] == ["00014_lr", "00002_lr"]


def test_the_real_subset_has_the_counts_of_its_readme() -> None:
    root = real_data("ecg/ptbxl")
    y, classes, ecg_id = load_labels(root, "superdiagnostic")
    counts = dict(zip(classes.tolist(), y.sum(0).tolist(), strict=True))
    assert counts == {"CD": 57, "HYP": 28, "MI": 51, "NORM": 205, "STTC": 66}
    table = load_table(root)
    assert len(table) == 350
    assert len(table) - len(ecg_id) == 10
    assert table["patient_id"].nunique() == 328
    folds = table["strat_fold"].value_counts().sort_index().tolist()
    assert folds == [42, 34, 30, 25, 32, 27, 29, 26, 57, 48]
    assert table["sex"].value_counts().to_dict() == {1.0: 177, 0.0: 173}
    assert len(record_paths(root, table.index, 100, must_exist=True)) == 350


def test_a_byte_order_mark_and_windows_lines_are_read(tmp_path: Path) -> None:
    write(tmp_path, ROW + "\r", header=HEADER + "\r", encoding="utf-8-sig")
    table = load_table(tmp_path)
    assert table.index.tolist() == [1]
    assert table["scp_codes"].iloc[0] == {"NORM": 100.0, "SR": 0.0}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW.replace("1,10.0", "2,"), "patient_id.*row 3"),
        (ROW.replace("1,10.0", "2,nan"), "patient_id.*row 3"),
        (ROW.replace("1,10.0", "2,10.5"), "patient_id.*row 3"),
        (ROW.replace("1,10.0", '2,"10,0"'), "decimal point.*row 3"),
        (ROW, "ecg_id once.*row 3"),
        (ROW.replace("1,10.0", "x,10.0"), "ecg_id.*row 3"),
        (ROW.replace(",1,records", ",11,records"), "strat_fold.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", "{'NORM': nan}"), "scp_codes.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", "['NORM']"), "scp_codes.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", "{1: 2}"), "scp_codes.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", ""), "scp_codes.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", "(" * 3000), "scp_codes.*row 3"),
        (ROW.replace("{'NORM': 100.0, 'SR': 0.0}", "{" + " " * 20_000 + "}"), "scp_codes.*row 3"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path: Path, row: str, message: str) -> None:
    write(tmp_path, ROW, row.replace("1,10.0", "2,10.0") if row != ROW else row)
    with pytest.raises(DataError, match=message):
        load_table(tmp_path)


def test_a_cell_with_code_is_not_run(tmp_path: Path) -> None:
    target = tmp_path / "ran"
    code = f"{{'NORM': open('{target}', 'w').write('x')}}"
    write(tmp_path, ROW.replace("{'NORM': 100.0, 'SR': 0.0}", code))
    with pytest.raises(DataError, match="scp_codes"):
        load_table(tmp_path)
    assert not target.exists()


def test_a_table_of_another_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        load_table(tmp_path)
    with pytest.raises(DataError, match=r"expected columns \['strat_fold'\]"):
        load_table(write(tmp_path, ROW, header=HEADER.replace("strat_fold", "fold")))
    with pytest.raises(DataError, match="comma-separated"):
        load_table(write(tmp_path, header=HEADER.replace(",", ";")))
    with pytest.raises(FormatError, match="decimal commas"):
        load_table(write(tmp_path, ROW.replace("10.0", "10,0")))
    with pytest.raises(FormatError, match="decimal commas"):
        load_table(write(tmp_path, ROW, ROW.replace("1,10.0", "2,10,0")))
    with pytest.raises(FormatError, match="UTF-8"):
        load_table(write(tmp_path, ROW.replace("records100", "r\xe9cords"), encoding="latin-1"))
    (tmp_path / "ptbxl_database.csv").write_bytes(b"")
    with pytest.raises(FormatError, match="comma-separated"):
        load_table(tmp_path)


def test_a_doubled_statement_is_refused(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    text = STATEMENTS + "SR,again,1.0,,,MI,MI\n"
    (tmp_path / "scp_statements.csv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="'SR' again in row 4"):
        load_labels(tmp_path, "rhythm")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "s3://x/y", ""])
def test_a_record_path_may_not_leave_the_root(tmp_path: Path, name: str) -> None:
    write(tmp_path, ROW.replace("records100/00000/00001_lr", name))
    with pytest.raises(DataError, match="below the root"):
        record_paths(tmp_path, [1], 100)


def test_unknown_tasks_ids_and_rates_are_named(tmp_path: Path) -> None:
    write(tmp_path, ROW)
    with pytest.raises(ConfigError, match="superclass"):
        load_labels(tmp_path, "superclass")  # type: ignore[arg-type]
    with pytest.raises(DataError, match="first: 7"):
        record_paths(tmp_path, [1, 7])
    with pytest.raises(ConfigError, match="250"):
        record_paths(tmp_path, [1], 250)
    with pytest.raises(DataError, match="1 missing"):
        record_paths(tmp_path, [1], 500, must_exist=True)


def test_a_task_without_any_label_is_empty(tmp_path: Path) -> None:
    y, classes, ecg_id = load_labels(write(tmp_path, ROW), "form")
    assert y.shape == (0, 0)
    assert len(classes) == len(ecg_id) == 0
