"""Published checkpoints as estimators."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from biojepa.engine.signals import Signals
from biojepa.errors import CheckpointError, ConfigError, DataError
from biojepa.fmri import BrainClassifier, BrainJEPA
from tests.fmri.cohort import simulate_runs
from tests.fmri.published import HEADS, content, downstream, reference, write

NAMES = [f"roi{i}" for i in range(24)]


@pytest.fixture(scope="module")
def gradients() -> np.ndarray:
    return reference()["gradient"]


@pytest.fixture
def jepa(gradients, tmp_path) -> BrainJEPA:
    path = write(content(), tmp_path / "jepa-ep300.pth.tar")
    return BrainJEPA.from_published(path, gradients=gradients, heads=HEADS, regions=NAMES)


def test_features_are_those_of_the_published_target_encoder(jepa, gradients) -> None:
    runs = [run[:80] for run in simulate_runs(4, n_regions=24)[0]]
    jepa.set_params(tr=jepa.preprocess_.tr_s, regions=NAMES, pool="mean")
    features = jepa.transform(runs)
    assert features.shape == (4, 32)
    z = np.stack([(r - r.mean(0)) / r.std(0) for r in runs]).transpose(0, 2, 1)

    with torch.no_grad():
        tokens = jepa.jepa_.encode(Signals(torch.from_numpy(z.astype(np.float32))))
    np.testing.assert_allclose(features, tokens.mean(dim=1), atol=1e-4)


def test_it_is_saved_fine_tuned_and_pretrained_further(jepa, tmp_path) -> None:
    runs, y = simulate_runs(8, n_regions=24)
    own = {"tr": 2.0, "regions": NAMES, "random_state": 0, "device": "cpu"}
    features = jepa.set_params(tr=2.0, regions=NAMES).transform(runs)
    jepa.save_pretrained(tmp_path / "model")
    again = BrainJEPA.from_pretrained(tmp_path / "model").set_params(tr=2.0, regions=NAMES)
    np.testing.assert_array_equal(again.transform(runs), features)
    assert again.training_["ids"] == []
    assert "does not say" in again.training_["source"]
    net = BrainClassifier(encoder=FrozenEstimator(jepa), mode="finetune", steps=1, **own)
    assert net.fit(runs, y).predict_proba(runs).shape == (8, 2)
    more = BrainJEPA(preset="tiny", init=tmp_path / "model", steps=1, batch_size=4, **own)
    assert more.fit(runs).model_config_.dim == 32


def test_what_is_no_encoder_or_cannot_be_is_refused(gradients, tmp_path) -> None:
    path = write(content(), tmp_path / "a.pt")
    options = {"gradients": gradients, "heads": HEADS}
    with pytest.raises(ConfigError, match="were not released"):
        BrainJEPA.from_published(path, **options, normalise="robust")
    with pytest.raises(DataError, match="a name for each of 24 regions, got 23"):
        BrainJEPA.from_published(path, **options, regions=NAMES[:23])
    head = write(downstream(probe=True), tmp_path / "probe.pt")
    with pytest.raises(CheckpointError, match="a network with a head"):
        BrainJEPA.from_published(head, **options)
