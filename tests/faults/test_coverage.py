"""Every row of the catalogue of faults has a test: in a table here, or elsewhere by name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.conftest import ROOT

# family: last number
FAMILIES = {"W": 16, "E": 10, "C": 11, "T": 8, "A": 3, "L": 4, "G": 2, "R": 2, "X": 2, "H": 3}
FAMILIES |= {"N": 7}
CATALOGUE = [f"{family}{k}" for family, last in FAMILIES.items() for k in range(1, last + 1)]
# slow tests in processes of their own, which a table in one process cannot hold
ELSEWHERE = {
    "C5": "tests/engine/test_checkpoint.py::"
    "test_after_fifty_kills_while_saving_a_checkpoint_always_loads",
    "C8": "tests/cli/test_resume_matrix.py::test_a_killed_run_resumes_bit_for_bit",
}


def rows_of(module: str) -> Iterator[str]:
    """Ids of the rows that the tests of a file are parametrised over."""
    for value in vars(import_module(module)).values():
        for mark in getattr(value, "pytestmark", ()):
            if mark.name == "parametrize" and mark.args[0] == "row":
                yield from mark.args[1]


def tables() -> list[str]:
    """Ids of all rows in this folder."""
    files = sorted(Path(__file__).parent.glob("test_*.py"))
    return [row for file in files for row in rows_of(f"tests.faults.{file.stem}")]


@pytest.mark.parametrize("number", CATALOGUE)
def test_every_row_of_the_catalogue_has_a_test(number) -> None:
    if number in ELSEWHERE:
        file, _, name = ELSEWHERE[number].partition("::")
        found = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
        assert name in [node.name for node in found if isinstance(node, ast.FunctionDef)]
    else:
        assert [row for row in tables() if row.partition("-")[0] == number]


def test_every_row_of_a_table_is_of_the_catalogue() -> None:
    assert {row.partition("-")[0] for row in tables()} <= set(CATALOGUE)
    assert all(re.fullmatch(r"[A-Z]\d+-\S.*", row) for row in tables())
