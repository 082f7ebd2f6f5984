"""Model folders."""

from __future__ import annotations

import json

import pytest
import torch

from biojepa.errors import CheckpointError
from biojepa.estimators.saved import load_model, locate_model, save_model


def save(folder, **options):
    """A model folder with two numbers in it."""
    settings = {"modality": "ecg", "kind": "encoder", "config": {"a": 1}, "training": {"ids": []}}
    weights = {"w": torch.arange(2.0)}
    return save_model(folder, **settings | {"weights": weights} | options)


def test_what_was_saved_comes_back(tmp_path):
    save(tmp_path / "m")
    config, weights, training = load_model(tmp_path / "m", modality="ecg", kind="encoder")
    assert config["a"] == 1
    assert training == {"ids": []}
    assert torch.equal(weights["w"], torch.arange(2.0))


def test_a_run_directory_stands_for_its_model(tmp_path):
    save(tmp_path / "run" / "model")
    assert locate_model(tmp_path / "run") == tmp_path / "run" / "model"


@pytest.mark.parametrize(("name", "value"), [("modality", "eeg"), ("kind", "classifier")])
def test_a_model_of_another_kind_is_refused(tmp_path, name, value):
    save(tmp_path / "m", **{name: value})
    with pytest.raises(CheckpointError, match=value):
        load_model(tmp_path / "m", modality="ecg", kind="encoder")


def test_a_newer_format_asks_for_an_upgrade(tmp_path):
    save(tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format_version": 99}))
    with pytest.raises(CheckpointError, match="upgrade"):
        load_model(tmp_path / "m", modality="ecg", kind="encoder", verify=False)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "training.json"])
def test_a_flipped_byte_anywhere_is_found(tmp_path, name):
    save(tmp_path / "m")
    path = tmp_path / "m" / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "m", modality="ecg", kind="encoder")


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_a_cut_file_is_refused_also_without_verification(tmp_path, share):
    save(tmp_path / "m")
    path = tmp_path / "m" / "model.safetensors"
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(CheckpointError, match="damaged"):
        load_model(tmp_path / "m", modality="ecg", kind="encoder", verify=False)


def test_a_missing_model_says_what_a_model_is(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json"):
        load_model(tmp_path / "nothing", modality="ecg", kind="encoder")


def test_saving_again_replaces_the_model(tmp_path):
    save(tmp_path / "m")
    save(tmp_path / "m", weights={"w": torch.ones(3)})
    _, weights, _ = load_model(tmp_path / "m", modality="ecg", kind="encoder")
    assert weights["w"].shape == (3,)
