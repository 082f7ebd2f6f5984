"""Folders of classifiers and regressors that are damaged or say what their weights are not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from biojepa.errors import CheckpointError
from biojepa.fmri import BrainClassifier, BrainRegressor
from tests.fmri.cohort import simulate_runs

MODES = ("linear", "finetune")
CLASSES = {"classifier": BrainClassifier, "regressor": BrainRegressor}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[tuple[str, str], Path]:
    runs, y = simulate_runs(8, n_regions=12)
    found = {}
    for kind, cls in CLASSES.items():
        for mode in MODES:
            options = {"preset": "tiny", "tr": 2.0, "random_state": 0, "device": "cpu"}
            model = cls(**options, mode=mode, steps=2).fit(
                runs, y if kind == "classifier" else y / 3
            )
            found[kind, mode] = tmp_path_factory.mktemp("predictors") / f"{kind}-{mode}"
            model.save_pretrained(found[kind, mode])
    return found


def copy(folder: Path, out: Path, *, config: Any = None, weights: Any = None) -> Path:
    """A copy with another config.json or other weights, as their functions make them."""
    shutil.copytree(folder, out)
    if config is not None:
        path = out / "config.json"
        content = json.loads(path.read_text())
        config(content)
        path.write_text(json.dumps(content))
    if weights is not None:
        tensors = load_file(out / "model.safetensors")
        weights(tensors)
        save_file(tensors, out / "model.safetensors")
    return out


def put(*place: str, value: Any) -> Any:
    """Set one entry."""

    def edit(content: dict) -> None:
        for name in place[:-1]:
            content = content[name]
        content[place[-1]] = value

    return edit


def without(*place: str) -> Any:
    """Remove one entry."""

    def edit(content: dict) -> None:
        for name in place[:-1]:
            content = content[name]
        del content[place[-1]]

    return edit


CONFIGS = {
    "depth": (put("model", "depth", value=10**6), "depth=1000000"),
    "dim": (put("model", "dim", value=2**20), "dim=1048576"),
    "patch": (put("model", "patch", value=4), "patch=4"),
    "n_regions": (put("model", "n_regions", value=30), "n_regions=30"),
    "n_gradients": (put("model", "n_gradients", value=3), "n_gradients=3"),
    "mlp_ratio": (put("model", "mlp_ratio", value=900.0), r"mlp_ratio=\d+, blocks"),
    "unknown setting": (put("model", "dims", value=3), "did you mean 'dim'"),
    "text for a number": (put("model", "depth", value="two"), "config.json cannot be used"),
    "no model": (without("model"), r"lacks \['model'\]"),
    "a list of settings": (put("model", value=[1]), "expected model settings"),
    "no target": (without("target"), r"lacks \['target'\]"),
    "target is a list": (put("target", value=[]), "expected an object target"),
    "mode": (put("estimator", "mode", value="probe"), "option mode cannot be 'probe'"),
    "head": (put("estimator", "head", value="cls"), "option head cannot be 'cls'"),
    "pool": (put("estimator", "pool", value="max"), "option pool cannot be 'max'"),
    "preset is a list": (put("estimator", "preset", value=["a"]), "option preset cannot be"),
    "no layers": (put("estimator", "layer", value=[]), "option layer cannot be"),
    "far layer": (put("estimator", "layer", value=[9]), "expected layers of"),
    "extra option": (put("estimator", "lr", value=1.0), "expected the options"),
    "no options": (put("estimator", value=None), "expected the options"),
    "regions": (put("regions", value=[["a", "b"]]), "region names of atlas 0 do not fit"),
    "no atlas": (put("regions", value=[]), "names no atlas"),
    "clip": (put("preprocess", "clip", value="far"), "config.json cannot be used"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("damage", CONFIGS)
def test_settings_that_cannot_be_are_refused_by_name_before_anything_is_built(
    folders, tmp_path, monkeypatch, damage, mode
) -> None:
    edit, message = CONFIGS[damage]
    folder = copy(folders["classifier", mode], tmp_path / "model", config=edit)
    monkeypatch.setattr("biojepa.fmri._predictor_file.build_jepa", None)  # not reached
    with pytest.raises(CheckpointError, match=message) as caught:
        BrainClassifier.from_pretrained(folder, verify=False)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "edit", "message"),
    [
        (
            "classifier",
            put("target", "classes", value=None),
            "expected classes, columns|of a probe",
        ),
        ("classifier", without("target", "dtype"), "expected classes, columns and dtype"),
        ("classifier", put("target", "classes", value=[0, 1, 2]), r"coef \(3, D\)"),
        ("regressor", put("target", "mean", value=[0.0, 1.0]), "positive std of each target"),
        ("regressor", put("target", "mean", value=["old"]), "positive std of each target"),
        ("regressor", put("target", "std", value=[0.0]), "positive std of each target"),
        ("regressor", put("target", "flat", value="no"), "expected flat"),
        ("regressor", put("estimator", "pool", value="mean"), "gives 32 features, its probe is of"),
        ("regressor", put("estimator", "layer", value=[0, 1]), "gives 128 features"),
        ("regressor", put("estimator", "mode", value="finetune"), "does not go with the head"),
    ],
)
def test_a_target_or_probe_that_does_not_fit_is_refused(
    folders, tmp_path, kind, edit, message
) -> None:
    folder = copy(folders[kind, "linear"], tmp_path / "model", config=edit)
    with pytest.raises(CheckpointError, match=message):
        CLASSES[kind].from_pretrained(folder, verify=False)


def double(name: str) -> Any:
    """A weight twice as wide."""
    return lambda tensors: tensors.update({name: torch.cat([tensors[name]] * 2)})


WEIGHTS = {
    "linear": {
        "no weight": (without("encoder.blocks.0.attn.qkv.bias"), r"lacks 'blocks\.0\.attn"),
        "extra weight": (put("encoder.cls", value=torch.zeros(2)), "unexpected key 'cls'"),
        "shape": (double("encoder.blocks.0.attn.qkv.bias"), "has shape"),
        "no probe": (without("probe.coef"), "expected finite mean, std, coef and intercept"),
        "nan probe": (
            put("probe.intercept", value=torch.full((1,), float("nan"), dtype=torch.float64)),
            "expected finite mean",
        ),
        "flat probe": (lambda t: t.update({"probe.coef": t["probe.coef"].ravel()}), "damaged"),
        "no gradients": (without("atlas.0"), "atlas 0 do not fit"),
    },
    "finetune": {
        "no head": (without("network.fc.weight"), r"lacks 'fc\.weight'"),
        "outputs": (double("network.fc.bias"), r"'fc\.bias' has shape"),
        "nan": (
            lambda t: t["network.encoder.norm.bias"].fill_(float("nan")),
            "NaN or infinity",
        ),
        "no encoder": (
            lambda t: [t.pop(k) for k in list(t) if k.startswith("network.encoder.")],
            "settings say dim=",
        ),
    },
}


@pytest.mark.parametrize(("mode", "damage"), [(m, d) for m in WEIGHTS for d in WEIGHTS[m]])
@pytest.mark.parametrize("kind", CLASSES)
def test_weights_that_are_not_those_of_the_settings_are_refused(
    folders, tmp_path, kind, mode, damage
) -> None:
    edit, message = WEIGHTS[mode][damage]
    folder = copy(folders[kind, mode], tmp_path / "model", weights=edit)
    with pytest.raises(CheckpointError, match=message):
        CLASSES[kind].from_pretrained(folder, verify=False)


def test_features_of_a_fine_tuned_folder_are_those_of_its_own_encoder(folders) -> None:
    model = BrainClassifier.from_pretrained(folders["classifier", "finetune"])
    own = model.network_.encoder.state_dict()
    for name, value in model._reader.jepa_.downstream_encoder.state_dict().items():
        assert torch.equal(value, own[name]), name
    runs, _ = simulate_runs(2, n_regions=12)
    features = model._reader.set_params(tr=2.0).transform(runs)
    assert features.shape == (2, 64)
    assert np.isfinite(features).all()
