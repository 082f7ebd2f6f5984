"""Every notebook runs from top to bottom, and Jupyter shows its pictures."""

from __future__ import annotations

import ast
import runpy
import tomllib

import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.py"))


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_each_is_paired_with_an_ipynb():
    settings = tomllib.loads((ROOT / "notebooks" / "jupytext.toml").read_text(encoding="utf-8"))
    assert settings["formats"] == "ipynb,py:percent"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_picture_is_what_a_cell_ends_with_so_that_it_is_shown(path):
    cells = path.read_text(encoding="utf-8").split("\n# %%")
    code = [cell.partition("\n")[2] for cell in cells if not cell.startswith(" [markdown]")]
    code = [cell for cell in code if ast.parse(cell).body]
    assert code[0].startswith("# %matplotlib inline\n")  # jupytext takes the # away
    drawing = [cell for cell in code[1:] if "plot_" in cell]
    assert drawing
    for cell in drawing:
        last = ast.parse(cell).body[-1]
        assert isinstance(last, ast.Expr), f"the last line of this cell shows no picture:\n{cell}"
        assert isinstance(last.value, ast.Call)
        assert getattr(last.value.func, "id", "").startswith("plot_")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path))
    assert capsys.readouterr().out
