"""Published files in, published files out: every layout, every weight."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
import torch

from biojepa.ecg import official
from biojepa.ecg._official_file import read_official
from biojepa.ecg.heads import ECGClassifierNet
from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError
from tests.ecg.published import (
    CONFIGS,
    TINY,
    classifier_content,
    full_content,
    minified_content,
    perturbed,
    reference,
    same_state,
    under,
    write,
)


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
    assert (written["steps"], written["opt_betas"]) == (2400, [0.9, 0.99])


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
