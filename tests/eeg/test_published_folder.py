"""Published folders, those of the Hub, and folders of classifiers that are damaged."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from biojepa.eeg import SignalJEPA, SignalJEPAClassifier, official
from biojepa.eeg.network import import_braindecode
from biojepa.errors import CheckpointError
from tests.eeg.published import TEN_TWENTY, needs_eeg
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = TEN_TWENTY[:6]
PUBLISHED = {"n_times": 536, "sfreq": 128, "channel_embedding": "pretrain_aligned"}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    """A folder as braindecode writes it, with the layout of `signal-jepa`."""
    folder = tmp_path_factory.mktemp("published") / "signal-jepa"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with torch.random.fork_rng():
            torch.manual_seed(0)
            import_braindecode().SignalJEPA(**PUBLISHED).eval().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def own(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("own") / "model"
    jepa = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=NAMES, random_state=0)
    jepa.fit(waves(8, NAMES, n_times=300)).save_pretrained(folder)
    return folder


def test_published_weights_are_an_estimator_with_the_published_preprocessing(
    published, tmp_path
) -> None:
    jepa = SignalJEPA.from_pretrained(published)
    assert jepa.model_config_.channels == official.LEE2019_62
    assert jepa.preprocess_.reference == "average"
    assert jepa.preprocess_.bandpass_hz == (0.5, 40.0)
    x = waves(3, NAMES, n_times=1100, sfreq=256.0)
    features = jepa.set_params(sfreq=256.0, ch_names=NAMES).transform(x)
    assert features.shape == (3, 128)
    assert np.isfinite(features).all()
    assert len(jepa.channels_.matched) == 6
    jepa.save_pretrained(tmp_path / "ours")
    again = SignalJEPA.from_pretrained(tmp_path / "ours").set_params(sfreq=256.0, ch_names=NAMES)
    np.testing.assert_array_equal(again.transform(x), features)
    assert again.training_["ids"] == []
    assert "does not say" in again.training_["source"]


def test_published_weights_are_a_start_for_classifiers_and_for_more_pretraining(published) -> None:
    x, y = waves(12, NAMES, n_times=300), np.arange(12) % 2
    options = {"sfreq": 128, "ch_names": NAMES, "random_state": 0}
    net = SignalJEPAClassifier(encoder=published, epochs=1, **options).fit(x, y)
    weights = load_file(published / "model.safetensors")
    own_weight = net.network_.encoder.feature_encoder[1][0].weight
    assert torch.equal(own_weight, weights["feature_encoder.1.0.weight"])
    more = SignalJEPA(init=published, preset="tiny", steps=1, batch_size=4, **options).fit(x)
    assert more.model_config_.channels == official.LEE2019_62


def test_a_downstream_network_is_no_encoder(published, tmp_path) -> None:
    x, y = waves(12, NAMES, n_times=300), np.arange(12) % 2
    options = {"sfreq": 128, "ch_names": NAMES, "random_state": 0}
    net = SignalJEPAClassifier(encoder=published, epochs=1, **options).fit(x, y).network_
    official.save(net, tmp_path / "net")
    with pytest.raises(CheckpointError, match="got a downstream network"):
        SignalJEPA.from_pretrained(tmp_path / "net")


@pytest.mark.parametrize("kind", ["published", "own"])
def test_a_hub_id_is_fetched_and_read_as_a_folder(request, monkeypatch, kind) -> None:
    folder, asked = request.getfixturevalue(kind), []

    def snapshot_download(name: str) -> str:
        asked.append(name)
        return str(folder)

    hub = SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setattr("biojepa.estimators.saved.require", lambda *_, **__: hub)
    found = SignalJEPA.from_pretrained("someone/signal-jepa").jepa_.state_dict()
    assert asked[0] == "someone/signal-jepa"
    here = SignalJEPA.from_pretrained(folder).jepa_.state_dict()
    assert all(torch.equal(found[k], here[k]) for k in here)

    def offline(name: str) -> str:
        raise OSError("no network")

    hub.snapshot_download = offline
    with pytest.raises(CheckpointError, match="cannot fetch 'someone/signal-jepa' from the Hub"):
        SignalJEPA.from_pretrained("someone/signal-jepa")


def changed(folder: Path, out: Path, place: tuple[str, ...], value: object) -> Path:
    shutil.copytree(folder, out)
    content = json.loads((out / "config.json").read_text())
    inner = content
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    (out / "config.json").write_text(json.dumps(content))
    return out


@pytest.fixture(scope="module")
def classifiers(own, tmp_path_factory) -> dict[str, Path]:
    x, y = waves(12, NAMES, n_times=300), np.arange(12) % 2
    options = {"encoder": own, "sfreq": 128, "ch_names": NAMES, "random_state": 0, "epochs": 1}
    folders = {}
    for regime in ("full", "linear"):
        net = SignalJEPAClassifier(architecture="contextual", regime=regime, **options).fit(x, y)
        folders[regime] = tmp_path_factory.mktemp("nets") / regime
        net.save_pretrained(folders[regime])
    return folders


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("model", "depth"), 10**6, "depth=1000000"),
        (("model", "pred_depth"), 10**6, "pred_depth=1000000|a predictor of 1000000 layers"),
        (("model", "hidden"), 2**24, "hidden=16777216"),
        (("model",), "all", "config.json cannot be used"),
        (("labels",), None, "expected classes, columns"),
        (("head",), None, "expected the options"),
        (("head", "architecture"), "local", "option architecture cannot be 'local'"),
        (("head", "regime"), "frozen", "expected the options|option regime cannot be 'frozen'"),
        (("channels",), ["Fz"], "expected channels and as many positions"),
        (("positions",), [[0, 0, "x"]] * 6, "expected channels and as many positions"),
        (("estimator",), [], "expected the options"),
        (("preprocess",), {}, ""),
    ],
)
@pytest.mark.parametrize("regime", ["full", "linear"])
def test_classifiers_that_cannot_be_are_refused_before_anything_is_built(
    classifiers, tmp_path, monkeypatch, regime, place, value, message
) -> None:
    folder = changed(classifiers[regime], tmp_path / "model", place, value)
    if not message:  # every setting has a default
        assert SignalJEPAClassifier.from_pretrained(folder, verify=False).classes_.tolist() == [
            0,
            1,
        ]
        return
    monkeypatch.setattr("biojepa.eeg._classifier_file.build_jepa", None)  # not reached
    with pytest.raises(CheckpointError, match=message):
        SignalJEPAClassifier.from_pretrained(folder, verify=False)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("n_filters", 10**7, "n_filters=10000000.*its weights have 4 filters"),
        ("n_times", 5, "n_times=5"),
        ("n_times", 10**12, "n_times=1000000000000"),
    ],
)
def test_a_head_of_another_size_is_refused(classifiers, tmp_path, name, value, message) -> None:
    folder = changed(classifiers["full"], tmp_path / "model", ("head", name), value)
    with pytest.raises(CheckpointError, match=message):
        SignalJEPAClassifier.from_pretrained(folder, verify=False)


def test_damaged_published_folders_are_refused(published, tmp_path) -> None:
    folder = tmp_path / "bad"
    shutil.copytree(published, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["transformer.encoder.norm.weight"]
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="missing"):
        SignalJEPA.from_pretrained(folder)
    (folder / "config.json").write_text('{"a": 1}')
    with pytest.raises(CheckpointError, match="not a biojepa folder"):
        SignalJEPA.from_pretrained(folder)
