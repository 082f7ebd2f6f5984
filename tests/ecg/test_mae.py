"""The masked-autoencoder control: what it predicts, that it matches, resumes, saves and serves."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from biojepa.data.simulate import simulate_ecg
from biojepa.ecg import ECGJEPA, ECGClassifier
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.mae import ECGMAE, MAE_SETTINGS
from biojepa.ecg.model import build_jepa
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.checkpoint import checkpoints
from biojepa.engine.files import read_tensors
from biojepa.engine.signals import Signals
from biojepa.engine.train import train
from biojepa.errors import ConfigError

TINY = get_recipe("tiny")
JEPA = replace(TINY.model, n_times=400)
MAE = replace(JEPA, **MAE_SETTINGS)
COHORT = simulate_ecg(24, rate_hz=100, random_state=4)
SIGNALS = Signals(torch.from_numpy(COHORT.values[:, :8, :400].copy()))


class _Windows:
    def __len__(self) -> int:
        return len(SIGNALS)

    def fetch(self, indices: np.ndarray, key: object) -> torch.Tensor:
        return SIGNALS.values[torch.as_tensor(indices)]


def _estimator(kind: type[ECGJEPA] = ECGMAE, **options) -> ECGJEPA:
    settings = {"preset": "tiny", "fs": 100, "leads": COHORT.leads, "steps": 3, "random_state": 0}
    return kind(**(settings | options))


def _plans(config: ECGModelConfig) -> list:
    return config.sampler()(len(SIGNALS), np.random.default_rng(0))


def test_the_targets_are_the_hidden_patches_normalised_one_by_one() -> None:
    mae = build_jepa(MAE)
    (plan,) = _plans(MAE)
    found = mae.predict(SIGNALS, plan)
    record, place = 3, 1
    token = int(plan.targets[0][record, place])
    patch = SIGNALS.values[record, :, token * 20 : token * 20 + 20].flatten()
    by_hand = (patch - patch.mean()) / (patch.var(unbiased=False) + 1e-5).sqrt()
    torch.testing.assert_close(found.target[0][0][record, place], by_hand)
    error = (found.pred[0][0] - found.target[0][0]).square().mean()
    torch.testing.assert_close(found.loss, error)
    assert found.pred[0][0].shape[-1] == 8 * 20


def test_what_is_not_valid_is_a_zero_in_the_patches() -> None:
    valid = torch.ones(len(SIGNALS), 8, dtype=torch.bool)
    valid[:, 2] = False
    patches = build_jepa(MAE).encoder.patches(Signals(SIGNALS.values, valid=valid))
    patches = patches.view(len(SIGNALS), 20, 8, 20)
    assert (patches[:, :, 2] == 0).all()
    torch.testing.assert_close(patches[0, 3, 5], SIGNALS.values[0, 5, 60:80])


def test_encoder_and_masks_are_those_of_the_matched_jepa() -> None:
    jepa, mae = build_jepa(JEPA, seed=5), build_jepa(MAE, seed=5)
    ours, theirs = mae.encoder.state_dict(), jepa.encoder.state_dict()
    assert [k for k in theirs if not torch.equal(ours[k], theirs[k])] == []
    (a,), (b,) = _plans(JEPA), _plans(MAE)
    assert torch.equal(a.context, b.context)
    assert torch.equal(a.targets[0], b.targets[0])
    sizes = [sum(p.numel() for p in m.predictor.blocks.parameters()) for m in (jepa, mae)]
    assert sizes[0] == sizes[1]


def test_there_is_no_momentum_encoder_and_all_else_learns() -> None:
    mae = build_jepa(MAE)
    assert mae.target_encoder is None
    assert mae.momentum_copies() == {}
    mae.predict(SIGNALS, _plans(MAE)).loss.backward()
    silent = [name for name, p in mae.named_parameters() if p.grad is None]
    assert silent == []


def test_the_loss_falls() -> None:
    config = replace(TINY.train, steps=40, warmup_steps=4, log_every=1, diagnose_every=0)
    rows = train(build_jepa(MAE), _Windows(), config).rows
    assert np.mean([r["loss"] for r in rows[-5:]]) < 0.95 * np.mean([r["loss"] for r in rows[:5]])


def test_a_stopped_and_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path: Path) -> None:
    config = replace(TINY.train, steps=6, batch_size=8, log_every=1, diagnose_every=3)

    def stop(_: object, done: int) -> dict[str, float]:
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        return {}

    train(build_jepa(MAE), _Windows(), config, tmp_path / "whole")
    first = train(build_jepa(MAE), _Windows(), config, tmp_path / "parts", evaluate=stop, every=1)
    assert first.step == 3
    train(build_jepa(MAE), _Windows(), config, tmp_path / "parts", resume=True)
    ends = [checkpoints(tmp_path / run)[0] for run in ("whole", "parts")]
    for name in ("model", "optimizer"):
        left, right = (read_tensors(end / f"{name}.safetensors") for end in ends)
        assert left.keys() == right.keys()
        assert [k for k in left if not torch.equal(left[k], right[k])] == []


def test_the_estimator_serves_features_folders_and_classifiers(tmp_path: Path) -> None:
    mae = _estimator(scale=True).fit(COHORT.values)
    features = mae.transform(COHORT.values)
    assert features.shape == (24, 64 + 8)
    mae.save_pretrained(tmp_path / "mae")
    for kind in (ECGMAE, ECGJEPA):
        loaded = kind.from_pretrained(tmp_path / "mae").set_params(fs=100, leads=COHORT.leads)
        np.testing.assert_allclose(loaded.transform(COHORT.values), features, atol=1e-6)
    classifier = ECGClassifier(
        encoder=tmp_path / "mae", mode="finetune", steps=2, fs=100, leads=COHORT.leads
    )
    assert classifier.fit(COHORT.values, COHORT.y).predict_proba(COHORT.values).shape == (24, 5)
    further = _estimator(init=tmp_path / "mae").fit(COHORT.values[:8])
    assert further.model_config_.predicts == "signal"
    assert further.training_["n_records"] == 24


def test_pretraining_moves_the_encoder_and_is_another_than_the_jepas() -> None:
    start = build_jepa(_estimator().fit(COHORT.values).model_config_, seed=0).encoder.state_dict()
    mae, jepa = (_estimator(kind).fit(COHORT.values).jepa_ for kind in (ECGMAE, ECGJEPA))
    for other in (start, jepa.encoder.state_dict()):
        moved = mae.encoder.state_dict()
        assert any(not torch.equal(moved[k], other[k]) for k in moved)


def test_settings_of_the_objective_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected no regulariser"):
        _estimator(regulariser="vicreg").fit(COHORT.values)
    with pytest.raises(ConfigError, match="expected no loss"):
        _estimator(model={"loss": "l1"}).fit(COHORT.values)
    with pytest.raises(ConfigError, match="downstream='context'"):
        replace(JEPA, predicts="signal", downstream="target")
    _estimator(ECGJEPA).fit(COHORT.values).save_pretrained(tmp_path / "jepa")
    with pytest.raises(ConfigError, match="expected a masked autoencoder in init="):
        _estimator(init=tmp_path / "jepa").fit(COHORT.values)
