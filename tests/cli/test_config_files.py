from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from biojepa.cli.config_files import (
    COMMAND_LINE,
    check_keys,
    field_help,
    read_config,
    settings_text,
    split_options,
    with_settings,
)
from biojepa.cli.errors import UsageError
from biojepa.cli.pretrain import TREE
from biojepa.cli.sources import DataOptions
from biojepa.ecg.recipes import RECIPES
from biojepa.errors import ConfigError


@dataclass(frozen=True)
class Leaf:
    """Settings.

    Parameters
    ----------
    rate, other : float
        Two of them,
        on two lines.
    kind : {"a", "b"}
        One of two.
    """

    rate: float = 1.0
    other: float | None = None
    kind: Literal["a", "b"] = "a"
    n: int = 3
    on: bool = False
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] | None = None


def _set(**flat: object) -> Leaf:
    return with_settings("leaf", Leaf(), {f"leaf.{k}": v for k, v in flat.items()}, where="f.yaml")


def test_dotted_options_are_taken_out() -> None:
    rest, dotted = split_options(
        ["data", "--train.lr", "1e-3", "--model.min-block=7", "-o", "x", "a.b"], ["train", "model"]
    )
    assert rest == ["data", "-o", "x", "a.b"]
    assert dotted == {"train.lr": "1e-3", "model.min_block": "7"}


def test_an_unknown_section_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean --train"):
        split_options(["--trian.lr", "1"], ["train", "model"])


def test_a_dotted_option_without_value_is_refused() -> None:
    with pytest.raises(UsageError, match="value after --train.lr"):
        split_options(["--train.lr"], ["train"])


@pytest.mark.parametrize(
    ("name", "given", "value"),
    [
        ("rate", "1e-3", 1e-3),
        ("rate", 2, 2.0),
        ("other", "none", None),
        ("other", None, None),
        ("n", "7", 7),
        ("n", "1e3", 1000),
        ("on", "true", True),
        ("on", False, False),
        ("pair", "0.4,0.6", (0.4, 0.6)),
        ("pair", [0.4, 1], (0.4, 1.0)),
        ("names", "I,II", ("I", "II")),
        ("kind", "b", "b"),
    ],
)
def test_values_take_the_type_of_their_field(name: str, given: object, value: object) -> None:
    got = getattr(_set(**{name: given}), name)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("rate", "fast"),
        ("rate", True),
        ("rate", "nan"),
        ("n", 1.5),
        ("n", "1.5"),
        ("on", "yes"),
        ("on", 1),
        ("pair", "0.4"),
        ("kind", "c"),
        ("names", 3),
        ("names", [1, 2]),
    ],
)
def test_values_of_another_type_are_refused_with_file_and_key(name: str, given: object) -> None:
    with pytest.raises(ConfigError, match=f"f.yaml: leaf.{name}: expected"):
        _set(**{name: given})


def test_on_the_command_line_a_wrong_value_is_a_usage_error() -> None:
    with pytest.raises(UsageError):
        with_settings("leaf", Leaf(), {"leaf.n": "x"}, where=COMMAND_LINE)


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="f.yaml: unknown setting 'train.stps'.*train.steps"):
        check_keys({"train.stps": 3}, TREE, where="f.yaml")


def test_nested_and_dotted_keys_of_a_file_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("preset: tiny\ntrain: {lr: 1e-3}\ntrain.steps: 5\n")
    flat = read_config(str(path), sections=["train"], others=["preset"])
    assert flat == {"preset": "tiny", "train.lr": 1e-3, "train.steps": 5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trian: {lr: 1}\n", "unknown key 'trian'.*train"),
        ("train: 3\n", "settings below 'train'"),
        ("train: {lr: 1}\ntrain.lr: 2\n", "twice"),
        ("train: {lr: .nan}\n", "finite"),
        ("train: {lr: 1, lr: 2}\n", "twice"),
        ("train: !!python/object/apply:os.getcwd []\n", "tag"),
    ],
)
def test_bad_files_are_refused(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_config(str(path), sections=["train"], others=[])


def test_a_path_is_not_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="/~/c.yaml"):
        read_config("~/c.yaml", sections=["train"], others=[])


def test_the_help_of_a_field_comes_from_the_docstring() -> None:
    assert field_help(Leaf)["rate"] == "Two of them, on two lines."
    assert field_help(Leaf)["kind"] == '{"a", "b"} One of two.'


def test_printed_settings_read_back_as_they_were(tmp_path: Path) -> None:
    for recipe in RECIPES.values():
        path = tmp_path / f"{recipe.name}.yaml"
        own = {"train": recipe.train, "model": recipe.model, "data": DataOptions()}
        path.write_text(settings_text(own))
        flat = read_config(str(path), sections=list(TREE), others=[])
        other = RECIPES["tiny" if recipe.name != "tiny" else "paper-b"]
        assert with_settings("train", other.train, flat, where="f") == recipe.train
        assert with_settings("model", other.model, flat, where="f") == recipe.model
        assert with_settings("data", DataOptions(), flat, where="f") == DataOptions()
