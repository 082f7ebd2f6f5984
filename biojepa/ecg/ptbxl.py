"""PTB-XL: labels of the benchmark tasks, patients, folds and record paths.

The tasks are those of Strodthoff et al. (arXiv 2004.13701) as ECG-JEPA uses them. A code that is
listed counts as present, whatever its likelihood (0 included). Records without a label of the task
are left out, classes are sorted by name. Folds: 1-8 train, 9 validation, 10 test (`strat_fold`).

Reading is strict: cells of `scp_codes` go through a literal parser that runs nothing, and whatever
cannot be used is an error that names the row of the file (the header is row 1).

References
----------
Wagner et al., PTB-XL, Sci Data 7:154 (2020), doi 10.1038/s41597-020-0495-6.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from biojepa.data.scp_codes import parse_scp_codes
from biojepa.errors import ConfigError, DataError, FormatError

Task = Literal[
    "all",
    "diagnostic",
    "subdiagnostic",
    "superdiagnostic",
    "form",
    "rhythm",
    "superdiagnostic-single",
    "st-mem",
]

SINGLE = ("superdiagnostic-single", "st-mem")  # two names of the task with one class a record
_TABLE, _STATEMENTS = "ptbxl_database.csv", "scp_statements.csv"
_COLUMNS = ("ecg_id", "patient_id", "scp_codes", "strat_fold", "filename_lr", "filename_hr")
_FLOATS = ("age", "sex", "height", "weight")


class Labels(NamedTuple):
    """Labels of a task: `y` (n, C) of 0 and 1, `classes` (C,), `ecg_id` (n,)."""

    y: NDArray[np.uint8]
    classes: NDArray[np.str_]
    ecg_id: NDArray[np.int64]


def load_labels(root: Path | str, task: Task, min_samples: int = 0) -> Labels:
    """Labels of a benchmark task.

    Parameters
    ----------
    root : path
        Folder that holds `ptbxl_database.csv` and `scp_statements.csv`.
    task : str
        "all" (every code), "diagnostic", "form", "rhythm" (codes of that kind), "subdiagnostic",
        "superdiagnostic" (classes of the diagnostic codes), or "superdiagnostic-single", also named
        "st-mem" (superclasses of the records that have exactly one).
    min_samples : int
        Classes with at most so many records are dropped. As published, "diagnostic" ignores it.

    Returns
    -------
    Labels
        A tuple `(y, classes, ecg_id)`: ndarrays of shape (n, C) uint8, (C,) str and (n,) int64, in
        the order of the table, without records that have no label of the task.

    Raises
    ------
    DataError
        If a file is missing or a row cannot be used.
    ConfigError
        If the task is unknown.
    """
    if task not in get_args(Task):
        raise ConfigError(f"expected a task of {list(get_args(Task))}, got {task!r}")
    table = load_table(root)
    names = _names_of_codes(Path(root), task)
    found = [
        {names[code] for code in codes if code in names} if names is not None else set(codes)
        for codes in table["scp_codes"]
    ]
    if task != "diagnostic":
        counts = Counter(name for labels in found for name in labels)
        found = [{name for name in labels if counts[name] > min_samples} for labels in found]
    kept = np.array([len(f) == 1 if task in SINGLE else len(f) > 0 for f in found], dtype=bool)
    # the single-label task keeps the classes of the task it is cut from
    classes = np.array(sorted(set().union(*found)), dtype=np.str_)
    column = {str(name): number for number, name in enumerate(classes)}
    y = np.zeros((len(found), len(classes)), dtype=np.uint8)
    for row, labels in enumerate(found):
        y[row, [column[name] for name in labels]] = 1
    return Labels(y[kept], classes, table.index.to_numpy(np.int64)[kept])


def load_table(root: Path | str) -> pd.DataFrame:
    """The table of records, parsed and checked.

    Parameters
    ----------
    root : path
        Folder that holds `ptbxl_database.csv`.

    Returns
    -------
    DataFrame
        Index `ecg_id`; `patient_id` and `strat_fold` as integers, `scp_codes` as
        `dict[str, float]` (code, likelihood in percent), `filename_lr`, `filename_hr`; age, sex,
        height and weight as floats (NaN where unknown), all else as text.

    Raises
    ------
    FormatError
        If the file is not UTF-8 text of comma-separated values, or a row has too many fields.
    DataError
        If the file or a column is missing, or a row cannot be used: empty or fractional patient_id,
        doubled ecg_id, malformed scp_codes. The message names the row.
    """
    table = _read_csv(Path(root), _TABLE, _COLUMNS)
    for name, low, high in (("ecg_id", 0, 2**53), ("patient_id", 0, 2**53), ("strat_fold", 1, 10)):
        table[name] = _integers(table[name], low, high)
    doubled = table["ecg_id"].duplicated(keep="first")
    if doubled.any():
        row = int(np.flatnonzero(doubled)[0])
        raise DataError(
            f"expected each ecg_id once in {_TABLE}, got {table['ecg_id'].iloc[row]} again in row "
            f"{row + 2}: remove the doubled rows"
        )
    codes = [parse_scp_codes(cell, row + 2) for row, cell in enumerate(table["scp_codes"])]
    table["scp_codes"] = pd.Series(codes, index=table.index, dtype=object)
    for name in _FLOATS:
        if name in table:
            table[name] = _numbers(table[name])
    return table.set_index("ecg_id")


def record_paths(
    root: Path | str, ecg_id: ArrayLike, rate_hz: int = 100, *, must_exist: bool = False
) -> list[Path]:
    """Paths of records, without extension, as WFDB readers take them.

    Parameters
    ----------
    root : path
        Folder that holds `ptbxl_database.csv`.
    ecg_id : array-like of int, shape (n,)
    rate_hz : {100, 500}
        Sampling rate in hertz: `records100/` or `records500/`.
    must_exist : bool
        Whether to look for the `.hea` files now.

    Returns
    -------
    list of Path
        In the order of `ecg_id`.

    Raises
    ------
    DataError
        If an id is not in the table, a path of the table leaves `root`, or, with `must_exist`,
        files are missing.
    ConfigError
        If there are no records of that rate.
    """
    columns = {100: "filename_lr", 500: "filename_hr"}
    if rate_hz not in columns:
        raise ConfigError(f"expected rate_hz of 100 or 500 (hertz), got {rate_hz}")
    root = Path(root)
    table = load_table(root)
    wanted = np.atleast_1d(np.asarray(ecg_id))
    unknown = wanted[~np.isin(wanted, table.index.to_numpy())]
    if len(unknown):
        raise DataError(
            f"expected ecg_id of {_TABLE}, got {len(unknown)} that are not in it "
            f"(first: {unknown[0]})"
        )
    names = table[columns[rate_hz]]
    paths = [root / _inside(str(names.loc[number]), int(number)) for number in wanted]
    missing = [p for p in paths if must_exist and not p.with_name(p.name + ".hea").is_file()]
    if missing:
        raise DataError(
            f"expected a .hea file for each of {len(paths)} records, got {len(missing)} missing "
            f"(first: {missing[0]}.hea): download them, or use the other rate_hz"
        )
    return paths


def superclasses(root: Path | str, scp_codes: Iterable[str]) -> list[set[str]]:
    """Superclasses of records that are not in the table, from the text of their codes.

    Parameters
    ----------
    root : path
        Folder that holds `scp_statements.csv`.
    scp_codes : iterable of str
        Such as `"{'NORM': 100.0, 'SR': 0.0}"`; an empty text has none.

    Raises
    ------
    DataError
        If a text is no dict of literals.
    """
    names = _names_of_codes(Path(root), "superdiagnostic") or {}
    return [
        {names[code] for code in parse_scp_codes(text, row) if code in names} if text else set()
        for row, text in enumerate(scp_codes)
    ]


def _names_of_codes(root: Path, task: str) -> dict[str, str] | None:
    """The class that each code of a task stands for, or None if all codes stand for themselves."""
    if task == "all":
        return None
    kinds = ("diagnostic", "form", "rhythm")
    classes = ("diagnostic_class", "diagnostic_subclass")
    statements = _read_csv(root, _STATEMENTS, kinds + classes)
    codes = statements.iloc[:, 0]
    if codes.duplicated().any():
        row = int(np.flatnonzero(codes.duplicated())[0])
        raise DataError(
            f"expected each code once in {_STATEMENTS}, got {codes.iloc[row]!r} again in row "
            f"{row + 2}"
        )
    kind = task if task in kinds else "diagnostic"
    chosen = _numbers(statements[kind]) == 1
    if task in kinds:
        values = codes
    else:
        column = "diagnostic_subclass" if task == "subdiagnostic" else "diagnostic_class"
        values = statements[column].fillna("")
        chosen &= values != ""
    return dict(zip(codes[chosen], values[chosen], strict=True))


def _read_csv(root: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A CSV file as text, with the columns that are needed."""
    path = root / name
    if not path.is_file():
        raise DataError(
            f"expected {name} in {root}, got no such file: pass the folder that holds {_TABLE} and "
            f"{_STATEMENTS}"
        )
    try:
        with warnings.catch_warnings():
            # pandas only warns when the rows are longer than the header
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                path, dtype=str, keep_default_na=False, index_col=False, encoding="utf-8-sig"
            )
    except (pd.errors.ParserError, pd.errors.ParserWarning, pd.errors.EmptyDataError) as error:
        raise FormatError(
            f"expected comma-separated values in {path}, got a table that does not fit its header "
            f"({str(error).strip()}): look for another delimiter or decimal commas"
        ) from error
    except UnicodeDecodeError as error:
        raise FormatError(
            f"expected UTF-8 text in {path}, got other bytes ({error}): save it as UTF-8"
        ) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise DataError(
            f"expected columns {missing} in {name}, got {list(table.columns)[:8]}: the file must "
            "be comma-separated, with the header of the published one"
        )
    return table


def _integers(cells: pd.Series[Any], low: int, high: int) -> NDArray[np.int64]:
    """Whole numbers, also when written as 15709.0; a DataError names the row otherwise."""
    values = _numbers(cells)
    bad = ~np.isfinite(values) | (values != np.round(values)) | (values < low) | (values > high)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"expected a whole number from {low} to {high} as {cells.name}, got "
            f"{cells.iloc[row]!r} in row {row + 2}"
        )
    return values.astype(np.int64)


def _numbers(cells: pd.Series[Any]) -> NDArray[np.float64]:
    """Numbers, NaN for empty cells; a DataError names the row of anything else."""
    text = cells.fillna("").str.strip()
    values = pd.to_numeric(text.where(text != ""), errors="coerce").to_numpy(np.float64)
    bad = np.isnan(values) & ~text.str.lower().isin(["", "nan"]).to_numpy()
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"expected a number with a decimal point as {cells.name}, got {cells.iloc[row]!r} in "
            f"row {row + 2}"
        )
    return values


def _inside(name: str, ecg_id: int) -> PurePosixPath:
    """A path of the table, if it stays inside the root."""
    path = PurePosixPath(name)
    odd = any(character in name for character in "\\:\0")
    if odd or not path.parts or path.is_absolute() or ".." in path.parts:
        raise DataError(
            f"expected a relative path below the root for ecg_id {ecg_id}, got {name!r}: a record "
            "path may not leave its folder"
        )
    return path
