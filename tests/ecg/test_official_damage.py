"""Files that are damaged, hostile or something else are refused; a failed save harms nothing."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest
import torch

from biojepa.ecg import official
from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.model import build_jepa
from biojepa.errors import CheckpointError, ConfigError, RunError
from tests.ecg.published import (
    TINY,
    classifier_content,
    full_content,
    minified_content,
    same_state,
    write,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chkpt.pt"


def without(content, key):
    del content["model"][key]


def with_weight(content, key, shape):
    content["model"][key] = torch.zeros(shape)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("config"), "model and config"),
        (lambda c: c.update(model=[1]), "model and config"),
        (lambda c: c["config"].pop("dim"), r"\['dim'\] are missing"),
        (lambda c: c["config"].update(dim=64), r"\(64,\)"),
        (lambda c: c["config"].update(dim=10**9), r"shape"),
        (lambda c: c["config"].update(depth=10**9), "blocks"),
        (lambda c: c["config"].update(pred_depth=10**9), "blocks"),
        (lambda c: c["config"].update(channel_size=10**12), "tokens"),
        (lambda c: c["config"].update(mlp_ratio=10**9), "shape"),
        (lambda c: c["config"].update(num_heads="four"), "whole number"),
        (lambda c: c["config"].update(channels="I"), "lead names"),
        (lambda c: c["config"].update(channels=["I", "I"]), "both mean"),
        (lambda c: c["config"].update(min_keep_ratio="x"), "keep"),
        (lambda c: c["config"].update(min_block_size=400), "mask settings"),
        (lambda c: c["config"].update(bias=True, qkv_bias=True), "missing"),
        (lambda c: c["config"].update(num_registers=2), "registers"),
        (lambda c: without(c, "encoder.blocks.1.attn.qkv.weight"), "missing"),
        (lambda c: without(c, "predictor.mask_token"), "missing"),
        (lambda c: without(c, "target_encoder.norm.weight"), "norm.weight"),
        (lambda c: with_weight(c, "encoder.blocks.0.attn.qkv.bias", 96), "unexpected"),
        (lambda c: with_weight(c, "encoder.blocks.1.norm1.weight", 31), r"\(31,\)"),
        (lambda c: with_weight(c, "target_encoder.registers", ()), "registers"),
        (lambda c: c["model"].update({"encoder.norm.weight": "x"}), "named tensors"),
        (lambda c: c["model"].update({"encoder.norm.weight": torch.ones(32).long()}), "floating"),
        (lambda c: c["model"]["encoder.norm.weight"].fill_(float("nan")), "NaN"),
        (
            lambda c: c["model"].update({"x": torch.zeros(1).expand(10**6, 10**6)}),
            "larger than the file",
        ),
        (lambda c: c.update(biojepa={"dim": 3}), "settings of biojepa"),
        (lambda c: c.update(biojepa=7), "settings of biojepa"),
    ],
)
def test_a_file_that_does_not_hold_what_it_describes_is_refused(path, spoil, message):
    content = full_content()
    spoil(content)
    with pytest.raises(CheckpointError, match=message):
        official.load(write(content, path))


@pytest.mark.parametrize(
    "change", [{"pred_depth": 10**6}, {"pred_dim": 10**6}, {"pred_dim": 0}, {"dim": None}]
)
def test_a_minified_file_cannot_ask_for_a_huge_predictor(path, change):
    content = minified_content()
    content["config"] |= change
    with pytest.raises(CheckpointError, match="expected|asks for"):
        official.load(write(content, path))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c["eval_config"].update(num_classes=7), "7 classes"),
        (lambda c: c["eval_config"].update(attn_pooling=False), "head"),
        (lambda c: c.update(eval_config=None), "eval_config"),
        (lambda c: c["eval_config"].update(dropout=3.0), "dropout"),
        (lambda c: without(c, "attn_pool.query_token"), "missing"),
        (lambda c: with_weight(c, "fc.weight", (5, 32)), "unexpected"),
    ],
)
def test_a_classifier_file_that_does_not_hold_what_it_describes_is_refused(path, spoil, message):
    content = classifier_content()
    spoil(content)
    with pytest.raises(CheckpointError, match=message):
        official.load(write(content, path))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("hostile-was-here",)


def test_a_hostile_file_is_refused_and_nothing_of_it_runs(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = full_content()
    content["optimizer"] = Evil()
    with pytest.raises(CheckpointError, match="mkdir"):
        official.load(write(content, path))
    path.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="no torch checkpoint"):
        official.load(path)
    assert not (tmp_path / "hostile-was-here").exists()


@pytest.mark.parametrize(
    "blob", [b"", b"<!DOCTYPE html><html>404</html>", b"PK\x03\x04", b"\x80\x02}q\x00.", b"\0" * 99]
)
def test_files_of_other_kinds_are_refused(path, blob):
    path.write_bytes(blob)
    with pytest.raises(CheckpointError, match="checkpoint"):
        official.load(path)


def test_absent_files_and_folders_are_refused(path, tmp_path):
    for place in (path, tmp_path):
        with pytest.raises(CheckpointError, match="found none"):
            official.load(place)


def test_a_file_cut_or_changed_anywhere_is_refused(path):
    blob = write(full_content(), path).read_bytes()
    wanted = official.load(path)
    for share in (0.01, 0.3, 0.7, 0.99):
        path.write_bytes(blob[: int(len(blob) * share)])
        with pytest.raises(CheckpointError):
            official.load(path)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(blob), 60):
        changed = bytearray(blob)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        try:
            same = same_state(official.load(path), wanted)
        except CheckpointError:
            refused += 1
        else:
            assert same  # padding between the parts
    assert refused > 30


@pytest.mark.parametrize("kind", ["stored", "deflated"])
def test_zip_archives_that_are_no_checkpoint_are_refused(path, kind):
    method = zipfile.ZIP_DEFLATED if kind == "deflated" else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.writestr("x/data.pkl", b"\0" * 10**6)
    with pytest.raises(CheckpointError, match="no torch checkpoint|unpacks"):
        official.load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(CheckpointError, match="written by torch.save"):
        official.load(path)


def test_the_other_ecg_jepa_is_recognised(path):
    write({"encoder": {"W_P.weight": torch.zeros(2, 2)}, "epoch": 3}, path)
    with pytest.raises(CheckpointError, match="Kim"):
        official.load(path)


def test_layouts_that_do_not_fit_the_model_are_refused(path):
    jepa = build_jepa(TINY)
    with pytest.raises(ConfigError, match="'full' or 'minified'"):
        official.save(jepa, path, layout="classifier")
    with pytest.raises(ConfigError, match="'classifier' for a classifier"):
        official.save(ECGClassifierNet(jepa.encoder, 2), path, layout="full")
    assert not path.exists()


def test_a_save_that_fails_leaves_the_old_file_and_nothing_else(path, monkeypatch):
    jepa = build_jepa(TINY)
    official.save(jepa, path)
    before = path.read_bytes()

    def full_disk(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(RunError, match="No space left"):
        official.save(jepa, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]
