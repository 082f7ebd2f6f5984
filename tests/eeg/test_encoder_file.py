"""A model folder whose settings and weights disagree is refused before a network is built."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from biojepa.eeg import SignalJEPA
from biojepa.errors import CheckpointError
from biojepa.estimators.saved import load_model, save_model


def changed(folder: Path, out: Path, **entries: Any) -> Path:
    """A copy with other entries and hashes that are right; `model__dim=3` goes into `model`."""
    config, weights, training = load_model(folder, modality="eeg", kind="encoder")
    for key, value in entries.items():
        section, _, name = key.partition("__")
        if not name:
            config[section] = value
        elif value is None:
            del config[section][name]
        else:
            config[section][name] = value
    own = {k: v for k, v in config.items() if not k.startswith("format")}
    save_model(out, modality="eeg", kind="encoder", config=own, weights=weights, training=training)
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    rng = torch.Generator().manual_seed(0)
    X = 10 * torch.randn(8, 4, 300, generator=rng).numpy()
    jepa = SignalJEPA(preset="tiny", steps=1, sfreq=128, ch_names=["Fz", "C3", "C4", "Pz"])
    jepa.set_params(random_state=0).fit(X)
    path = tmp_path_factory.mktemp("model") / "model"
    jepa.save_pretrained(path)
    return path


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"estimator": {}}, "expected the options"),
        ({"estimator__layer": []}, "the option layer cannot be"),
        ({"estimator__pool": "register"}, "the option pool cannot be 'register'"),
        ({"metrics": [1.0]}, "metrics of the training"),
        ({"model__dim": 1 << 40}, "cannot be used|dim="),
        ({"model__hidden": 1 << 40}, "settings say hidden=1099511627776"),
        ({"model__depth": 100_000}, "settings say depth=100000"),
        ({"model__pred_depth": 100_000}, "settings say pred_depth=100000"),
        ({"model__rate_hz": "fast"}, "cannot be used"),
        ({"model__channels": ["Fz", "Fz", "C4", "Pz"]}, "cannot be used"),
        ({"preprocess__reference": 3}, "cannot be used"),
    ],
)
def test_settings_that_are_not_those_of_the_weights_are_named(
    folder, tmp_path, entries, said
) -> None:
    with pytest.raises(CheckpointError, match=said):
        SignalJEPA.from_pretrained(changed(folder, tmp_path / "changed", **entries))


def test_a_copy_that_is_not_changed_is_read(folder, tmp_path) -> None:
    again = SignalJEPA.from_pretrained(changed(folder, tmp_path / "same"))
    weights = SignalJEPA.from_pretrained(folder).jepa_.state_dict()
    assert all(value.equal(weights[name]) for name, value in again.jepa_.state_dict().items())
