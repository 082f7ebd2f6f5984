"""A missing extra gives one message with the pip command; other import errors pass through."""

from __future__ import annotations

import json

import pytest

from biojepa.errors import BiojepaError, MissingDependencyError
from biojepa.extras import require


def test_an_installed_module_is_returned() -> None:
    assert require("json", "eeg", why="read settings") is json


def test_a_dotted_name_returns_the_submodule() -> None:
    assert require("json.decoder", "eeg", why="read settings").__name__ == "json.decoder"


def test_a_missing_package_is_named_with_its_extra_and_purpose() -> None:
    with pytest.raises(MissingDependencyError) as caught:
        require("no_such_package_here", "eeg", why="read FIF files")
    assert str(caught.value) == (
        "no_such_package_here is needed to read FIF files, and it is not installed: "
        'pip install "biojepa[eeg]"'
    )
    assert caught.value.name == "no_such_package_here"
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, BiojepaError)


def test_a_dotted_name_of_a_missing_package_names_the_package() -> None:
    with pytest.raises(MissingDependencyError, match="^no_such_package_here is needed"):
        require("no_such_package_here.part.deeper", "fmri", why="read images")


def test_a_missing_part_of_an_installed_package_is_named() -> None:
    with pytest.raises(MissingDependencyError, match=r"^json\.no_such_part is needed"):
        require("json.no_such_part", "hub", why="fetch models")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import no_such_package_below", ModuleNotFoundError),
        ("from json import no_such_name", ImportError),
        ("raise RuntimeError('broken build')", RuntimeError),
    ],
)
def test_an_error_inside_an_installed_package_is_passed_on(
    tmp_path, monkeypatch, source, error
) -> None:
    (tmp_path / "package_with_a_fault.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(error) as caught:
        require("package_with_a_fault", "eeg", why="read FIF files")
    assert not isinstance(caught.value, MissingDependencyError)


def test_a_package_whose_name_begins_alike_is_not_mistaken(tmp_path, monkeypatch) -> None:
    (tmp_path / "abcdefgh_long.py").write_text("import abcdefgh")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="abcdefgh") as caught:
        require("abcdefgh_long", "eeg", why="read FIF files")
    assert not isinstance(caught.value, MissingDependencyError)
