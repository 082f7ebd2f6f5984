"""Presets, a YAML file and the command line, in this order, for every modality."""

from __future__ import annotations

import pytest
import yaml

from biojepa.cli.main import main
from biojepa.cli.training_options import Training, given_settings
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError

TREE = {"train": TrainConfig}
BASE = TrainConfig(steps=100, warmup_steps=10)


def given(tmp_path, text: str = "", dotted=(), preset=None, init=None, **training):
    config = None
    if text:
        config = str(tmp_path / "settings.yaml")
        (tmp_path / "settings.yaml").write_text(text)
    groups = {"train": Training(**training)}
    return given_settings(
        TREE, preset=preset, init=init, config=config, groups=groups, dotted=dict(dotted)
    )


def test_the_command_line_wins_over_the_file_and_the_file_over_the_preset(tmp_path) -> None:
    found = given(tmp_path, "preset: tiny\ntrain: {lr: 0.5, seed: 3}\n", lr=0.25)
    train = found.over("train", BASE)
    assert (found.preset, train.lr, train.seed, train.steps) == ("tiny", 0.25, 3, 100)
    assert given(tmp_path, "preset: tiny\n", preset="paper").preset == "paper"
    assert given(tmp_path).preset == "small"


def test_the_warm_up_keeps_its_share_of_the_steps_unless_it_is_set(tmp_path) -> None:
    assert given(tmp_path, steps=40).over("train", BASE).warmup_steps == 4
    assert given(tmp_path, "train.steps: 40\n").over("train", BASE).warmup_steps == 4
    own = given(tmp_path, "train: {warmup_steps: 7}\n", {"train.steps": "50"})
    assert own.over("train", BASE).warmup_steps == 7


def test_wrong_keys_and_names_say_where_they_stand(tmp_path) -> None:
    with pytest.raises(ConfigError, match=r"settings\.yaml: .*did you mean train\.steps"):
        given(tmp_path, "train: {stepz: 3}\n")
    with pytest.raises(ConfigError, match=r"settings\.yaml: expected a name for init, got 3"):
        given(tmp_path, "init: 3\n")


def test_a_path_to_go_on_from_is_made_absolute(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    assert given(tmp_path, init="model").init == str(tmp_path / "model")
    assert given(tmp_path, init="eeg-small").init == "eeg-small"


@pytest.mark.parametrize("modality", ["ecg", "eeg", "fmri"])
def test_settings_that_a_command_prints_are_taken_by_it(modality, tmp_path, capsys) -> None:
    assert main(["pretrain", modality, "--print-config", "--preset", "tiny", "--lr", "0.01"]) == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["train"]["lr"] == 0.01
    (tmp_path / "settings.yaml").write_text(printed)
    again = ["pretrain", modality, "--print-config", "--config", str(tmp_path / "settings.yaml")]
    assert main(again) == 0
    assert capsys.readouterr().out == printed
