"""Row A3: file names that collide, are long, blank, not Unicode, or look like something else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from biojepa.data.files import find_records, read_many
from biojepa.data.skips import SkipReport
from tests.faults.rows import Row, command, fine, in_one_child
from tests.faults.test_wfdb import good

NAMES: dict[str, bytes] = {
    "unicode": "Grün-心电图-❤".encode(),
    "combining": "e\u0301cg".encode(),
    "right-to-left": "\u202eGCE".encode(),
    "long": b"x" * 250,
    "trailing-space": b"r1 ",
    "leading-space": b" r1",
    "surrogate": b"r\xff\xfe1",
    "newline": b"r\n1",
    "tab": b"r\t1",
    "escape": b"r\x1b[31m1",
    "formula": b"=HYPERLINK(1)",
    "dash": b"-rf",
    "quote": b"r'\"1",
    "percent": b"r%s{0}1",
    "glob": b"r[1]*",
    "hidden": b".r1",
    "dots": b"..r1",
}


def files(folder: Path, name: bytes, *, sound: bool) -> bytes:
    """A record of any name: the header calls it r1, its samples lie beside it."""
    record = good(folder)
    header = os.fsencode(folder) + b"/" + name + b".hea"
    os.rename(os.fsencode(record) + b".hea", header)
    if not sound:
        with open(header, "wb") as file:
            file.write(b"not a header\n")
    return header


def reported(name: bytes, *, sound: bool) -> Callable[[Path], Callable]:
    """Read a folder with such a file; the report is written down."""

    def make(root: Path) -> Callable:
        (root / "in").mkdir()
        files(root / "in", name, sound=sound)
        good(root / "in", "good")

        def call() -> dict:
            report = SkipReport()
            paths = find_records([root / "in"])
            found = list(read_many(paths, on_error="skip", report=report, max_bad_fraction=1))
            report.to_csv(root / "skipped.csv")
            text = (root / "skipped.csv").read_text(encoding="utf-8")
            return {"read": len(found), "skipped": len(report), "rows": text.count("FormatError")}

        return call

    return make


def commanded(name: bytes) -> Callable[[Path], Callable]:
    """Doctor and prepare meet such a file."""

    def make(root: Path) -> Callable:
        (root / "in").mkdir()
        header = os.fsdecode(files(root / "in", name, sound=True))
        good(root / "in", "good")

        def call() -> Any:
            seen = command("doctor", header if "*" not in header else root / "in")
            made = command("prepare", root / "in", "-o", root / "store")
            told = command("info", root / "store")
            (seen["out"] + made["out"] + told["out"]).encode()  # a terminal can show it
            return [seen["code"], made["code"], told["code"], made["err"]]

        return call

    return make


def colliding(root: Path) -> Callable:
    """Names that differ by case alone are two records."""
    for name in ("ecg", "ECG"):
        good(root, name)

    def call() -> list:
        return sorted(r.record_id for r in read_many(find_records([root])))

    return call


def too_long(root: Path) -> Callable:
    """A name that no file system takes."""
    return lambda: find_records([root / ("x" * 300)])


def surrogate_argument(root: Path) -> Callable:
    """A name of a file that is not there, with bytes that are no text."""
    name = os.fsdecode(os.fsencode(root) + b"/a\xff.hea")
    return lambda: find_records([name])


def embedded(root: Path) -> Callable:
    """The table of a command names the file on one line."""
    (root / "in").mkdir()
    files(root / "in", b"a\xff\n=1", sound=False)
    good(root / "in", "good")
    return lambda: [
        command("doctor", root / "in")["code"],
        command("prepare", root / "in", "-o", root / "s", "--max-bad-fraction", "1")["code"],
    ]


ROWS: dict[str, Row] = {
    **{
        f"A3-{what}": fine(reported(name, sound=True), "'read': 2, 'skipped': 0")
        for what, name in NAMES.items()
    },
    **{
        f"A3-{what}-bad": fine(reported(name, sound=False), "'skipped': 1, 'rows': 1")
        for what, name in NAMES.items()
    },
    **{f"A3-{what}-command": fine(commanded(name), r"^\[0, 0, 0") for what, name in NAMES.items()},
    "A3-case": fine(colliding, r"\['ECG', 'ecg'\]"),
    "A3-300-characters": Row(too_long, "refused", "no such file|too long|cannot be opened"),
    "A3-absent-surrogate": Row(surrogate_argument, "refused", "no such file"),
    "A3-bad-command": fine(embedded, r"^\[1, 0\]"),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_name_never_crashes_what_reports_it(ended, row) -> None:
    ROWS[row].judge(*ended[row])
