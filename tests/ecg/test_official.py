from __future__ import annotations

import json
import os
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.ecg import official
from biojepa.ecg._official_file import read_official
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError, RunError
from tests.ecg.published import (
    classifier_content,
    full_content,
    minified_content,
    reference,
    under,
    write,
)

TINY = ECGModelConfig(
    n_times=500, dim=32, depth=2, heads=4, pred_dim=16, pred_depth=2, pred_heads=4, min_block=3
)
CONFIGS = {
    "default": TINY,
    "bias, layer scale, 2 registers": replace(
        TINY, bias=True, qkv_bias=True, layer_scale=0.1, registers=2
    ),
    "no register": replace(TINY, registers=0),
    "first release": replace(TINY, norm_bias=True),
}


def perturbed(model: torch.nn.Module) -> torch.nn.Module:
    """No weight at its start, the target unlike the encoder."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def same_state(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "chkpt.pt"


def test_a_full_file_gives_all_three_networks(path):
    jepa = official.load(write(full_content(), path))
    state = jepa.state_dict()
    wanted = full_content()["model"]
    assert isinstance(jepa, MaskedJEPA)
    assert state.keys() == wanted.keys()
    assert all(torch.equal(state[k], wanted[k]) for k in wanted)
    source = official.source_of(jepa)
    assert (source.layout, source.step, source.missing) == ("full", 70, ())
    assert source.dropped == ("optimizer",)
    assert not jepa.training
    assert jepa.encoder.config == TINY


def test_a_minified_file_gives_its_target_twice_and_names_what_is_fresh(path):
    content = minified_content()
    jepa = official.load(write(content, path))
    for name, value in content["model"].items():
        assert torch.equal(jepa.state_dict()[name], value)
        assert torch.equal(jepa.state_dict()[name.removeprefix("target_")], value)
    source = official.source_of(jepa)
    assert source.layout == "minified"
    assert {k.split(".")[0] for k in source.missing} == {"encoder", "predictor"}
    assert "predictor is fresh" in source.notes[0]
    again = official.load(path)
    assert same_state(jepa, again)
    assert not torch.equal(
        official.load(path, seed=1).predictor.embed.weight, jepa.predictor.embed.weight
    )


def test_a_classifier_file_gives_the_classifier_and_its_constants(path):
    content = classifier_content()
    net = official.load(write(content, path))
    assert isinstance(net, ECGClassifierNet)
    assert (net.head, net.n_classes, net.frozen) == ("attentive", 5, True)
    state = net.state_dict()
    assert state.keys() == content["model"].keys()
    source = official.source_of(net)
    np.testing.assert_array_equal(source.preprocess["std"], content["preprocess"]["std"])
    assert source.task == "superdiagnostic"
    assert source.eval_config == content["eval_config"]


@pytest.mark.parametrize(("attn", "register", "head"), [(False, True, "register"), (0, 0, "mean")])
def test_the_other_heads_load_too(path, attn, register, head):
    content = classifier_content()
    content["model"] = {k: v for k, v in content["model"].items() if k.startswith("encoder.")}
    content["model"]["fc.weight"] = torch.ones(5, 32)
    content["eval_config"] |= {"attn_pooling": attn, "use_register": register, "frozen": False}
    net = official.load(write(content, path))
    assert (net.head, net.frozen) == (head, False)
    assert bool((net.fc.weight == 1).all())


def test_constants_may_be_arrays_numbers_or_lists(path):
    content = classifier_content()
    content["preprocess"] = {"mean": [0.0] * 12, "std": np.float64(0.5), "n": np.int64(3)}
    source = official.source_of(official.load(write(content, path)))
    assert source.preprocess == content["preprocess"]


def test_constants_written_with_numpy_1_load_too(path, tmp_path):
    with (
        zipfile.ZipFile(write(classifier_content(), tmp_path / "new.pt")) as new,
        zipfile.ZipFile(path, "w") as old,
    ):
        for name in new.namelist():
            blob = new.read(name)
            if name.endswith("data.pkl"):
                assert b"numpy._core" in blob
                blob = blob.replace(b"numpy._core", b"numpy.core")
            old.writestr(name, blob)
    source = official.source_of(official.load(path))
    np.testing.assert_array_equal(source.preprocess["std"], np.full(12, 0.2, dtype=np.float32))


@pytest.mark.parametrize("make", [full_content, minified_content])
def test_a_classifier_starts_from_the_target_encoder_and_names_the_fresh_head(path, make):
    arrays = reference("clf_linear_attnpool")
    eval_config = classifier_content()["eval_config"]
    net = official.load_classifier(write(make(), path), eval_config)
    assert list(official.source_of(net).missing) == json.loads(str(arrays["missing_keys"]))
    for name, value in under(arrays, "state").items():
        if name.startswith("encoder."):
            assert torch.equal(net.state_dict()[name], value)
    assert net.n_classes == 5
    assert official.load_classifier(path, eval_config, 3).n_classes == 3


def test_starting_a_classifier_leaves_the_callers_random_state_alone(path):
    write(full_content(), path)
    before = torch.get_rng_state()
    eval_config = classifier_content()["eval_config"]
    nets = [official.load_classifier(path, eval_config, seed=4) for _ in range(2)]
    assert torch.equal(before, torch.get_rng_state())
    assert same_state(*nets)


def test_fine_tuning_may_add_dropout_layer_scale_and_a_register(path):
    jepa = perturbed(build_jepa(CONFIGS["no register"]))
    official.save(jepa, path)
    settings = {"dropout": 0.1, "layer_scale_eps": 0.2, "use_register": True, "num_classes": 2}
    net = official.load_classifier(path, settings)
    config = net.encoder.config
    assert (config.dropout, config.layer_scale, config.registers) == (0.1, 0.2, 1)
    missing = set(official.source_of(net).missing)
    scales = {f"encoder.blocks.{i}.{part}_ls.weight" for i in (0, 1) for part in ("attn", "mlp")}
    assert missing == {"encoder.registers", "fc.weight"} | scales
    assert float(net.encoder.blocks[0].attn_ls.weight.detach()[0]) == pytest.approx(0.2)
    official.save(net, path)
    again = official.load(path)
    assert same_state(net, again)
    assert again.encoder.config.dropout == 0.1


def test_a_classifier_goes_on_from_a_classifier(path):
    write(classifier_content(), path)
    eval_config = classifier_content()["eval_config"] | {"frozen": False, "dropout": 0.1}
    net = official.load_classifier(path, eval_config)
    assert official.source_of(net).missing == ()
    assert same_state(net, official.load(path))
    other = official.load_classifier(path, {"use_register": True}, 5)
    assert official.source_of(other).missing == ("fc.weight",)
    assert "attn_pool.query_token" in official.source_of(other).dropped
    with pytest.raises(CheckpointError, match=r"shape \(7, 32\)"):
        official.load_classifier(path, eval_config, 7)
    with pytest.raises(ConfigError, match="n_classes"):
        official.load_classifier(path, {"use_register": True})


@pytest.mark.parametrize("name", CONFIGS)
def test_every_configuration_survives_save_and_load_exactly(path, name):
    jepa = perturbed(build_jepa(CONFIGS[name])).eval()
    official.save(jepa, path, step=12)
    again = official.load(path)
    assert same_state(jepa, again)
    assert again.encoder.config == CONFIGS[name]
    x = Signals(torch.randn(2, 12, 500, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(jepa.encode(x), again.encode(x))
    content = torch.load(path, weights_only=True)
    assert list(content) == ["model", "optimizer", "config", "step"]
    assert content["step"] == 12
    assert content["config"].keys() == full_content()["config"].keys()


def test_the_two_other_published_configurations_have_the_keys_of_the_layout():
    full = set(build_jepa(CONFIGS["bias, layer scale, 2 registers"]).state_dict())
    plain = set(build_jepa(CONFIGS["no register"]).state_dict())
    default = set(full_content()["model"])
    assert default - plain == {"encoder.registers", "target_encoder.registers"}
    assert plain <= default <= full
    added = {k.split(".")[-1] for k in full - default if "_ls" not in k}
    assert added == {"bias"}
    for part, i in (("encoder", 1), ("predictor", 0), ("target_encoder", 0)):
        names = ("attn_ls.weight", "mlp_ls.weight", "attn.qkv.bias", "norm1.bias", "mlp.fc1.bias")
        assert {f"{part}.blocks.{i}.{name}" for name in names} <= full
        assert f"{part}.norm.bias" in full


@pytest.mark.parametrize("make", [full_content, minified_content, classifier_content])
def test_a_published_file_survives_load_and_save_exactly(path, tmp_path, make):
    content = make()
    model = official.load(write(content, path))
    layout = official.source_of(model).layout
    official.save(model, tmp_path / "again.pt", layout=layout)
    assert same_state(model, official.load(tmp_path / "again.pt"))
    written = read_official(tmp_path / "again.pt")
    assert written.keys() == content.keys()
    assert list(written["model"]) == list(content["model"])
    for key in set(content) - {"model", "optimizer", "preprocess"}:
        assert written[key] == content[key]
    assert all(torch.equal(written["model"][k], v) for k, v in content["model"].items())


def test_early_files_keep_their_norm_biases_against_their_config(path, tmp_path):
    content = full_content()
    early = perturbed(build_jepa(CONFIGS["first release"])).state_dict()
    content["model"] = dict(early)
    jepa = official.load(write(content, path))
    assert sum(k.endswith("norm1.bias") for k in jepa.state_dict()) == 6
    assert same_state(jepa, official.load(path))
    assert all(torch.equal(jepa.state_dict()[k], v) for k, v in early.items())
    official.save(jepa, tmp_path / "again.pt")
    assert same_state(jepa, official.load(tmp_path / "again.pt"))


def test_settings_that_the_published_layout_cannot_say_survive_too(path):
    config = get_recipe("small").model
    jepa = build_jepa(config)
    official.save(jepa, path, config=get_recipe("small").train)
    again = official.load(path)
    assert again.encoder.config == config
    assert (again.target.norm, again.regulariser) == (jepa.target.norm, jepa.regulariser)
    written = official.source_of(again).config
    assert (written["channels"][:3], written["patch_size"]) == (["I", "II", "V1"], 20)
    assert (written["steps"], written["opt_betas"]) == (1200, [0.9, 0.99])


def test_unknown_training_settings_are_none_and_given_ones_are_written(path):
    jepa = build_jepa(TINY)
    official.save(jepa, path)
    assert official.source_of(official.load(path)).config["steps"] is None
    official.save(jepa, path, config=TrainConfig(steps=300, batch_size=64, accumulate=2))
    config = official.source_of(official.load(path)).config
    assert (config["batch_size"], config["gradient_accumulation_steps"]) == (32, 2)
    official.save(jepa, path, config=full_content()["config"])
    assert official.source_of(official.load(path)).config == full_content()["config"]


def test_unknown_settings_and_weights_are_named(path):
    content = full_content()
    content["config"]["colour"] = "red"
    content["model"]["probe.weight"] = torch.zeros(2)
    content["history"] = [1, 2]
    source = official.source_of(official.load(write(content, path)))
    assert "colour" in source.notes[0]
    assert source.dropped == ("probe.weight", "optimizer", "history")


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
