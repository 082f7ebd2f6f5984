"""braindecode's reference tensors, entered through `official.load` and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from biojepa.eeg import official
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.signals import MaskPlan, Signals
from tests.eeg.published import REFERENCE, TINY, arrays, needs_eeg

pytestmark = needs_eeg
FORWARD = 1e-5


@pytest.fixture(scope="module")
def reference() -> dict[str, np.ndarray]:
    return arrays()


@pytest.fixture(scope="module")
def jepa() -> MaskedJEPA:
    return official.load(TINY)


@pytest.fixture(scope="module")
def x(reference) -> Signals:
    return Signals(torch.from_numpy(reference["x"]))


def gap(tensor: torch.Tensor, array: np.ndarray) -> float:
    return float((tensor.detach() - torch.as_tensor(array)).abs().max())


def test_local_features_positions_and_output_are_the_published_ones(jepa, reference, x):
    encoder = jepa.encoder
    with torch.no_grad():
        local = encoder.local_features(x)
        assert gap(local, reference["local"]) <= FORWARD
        assert gap(encoder.positions(None, 18).expand(2, -1, -1), reference["pos"]) <= FORWARD
        tokens = encoder.embed(x)
        assert gap(encoder.contextualise(tokens), reference["out"]) <= FORWARD
        assert gap(jepa.encode(x), reference["out"]) <= FORWARD


def test_the_mean_of_the_last_two_layers_is_the_published_one(jepa, reference, x):
    with torch.no_grad():
        mean = jepa.encoder.contextualise(jepa.encoder.embed(x), last=2)
    assert gap(mean, reference["mean_last2_layers_no_norm"]) <= FORWARD


def test_one_whole_step_of_prediction_is_the_one_made_by_hand(jepa, reference, x):
    said = json.loads((REFERENCE / "tiny_sjepa.json").read_text(encoding="utf-8"))
    names, steps = said["channels"], said["n_tokens_per_channel"]
    index = {
        kind: torch.tensor([names.index(n) * steps + s for n in said[kind] for s in range(steps)])
        for kind in ("visible", "masked")
    }
    plan = MaskPlan(index["visible"].expand(2, -1), (index["masked"].expand(2, -1),))
    with torch.no_grad():
        jepa.predictor.mask_query.copy_(torch.from_numpy(reference["mask_query"]))
        prediction = jepa.predict(x, plan)
    assert gap(prediction.context[0], reference["context"]) <= FORWARD
    assert gap(prediction.pred[0][0], reference["pred"]) <= FORWARD
    assert gap(prediction.target[0][0], reference["target"]) <= FORWARD
    assert float(prediction.loss) == pytest.approx(said["l1"], abs=1e-6)


def test_the_sampler_draws_the_block_of_the_reference(jepa):
    said = json.loads((REFERENCE / "tiny_sjepa.json").read_text(encoding="utf-8"))
    sampler = jepa.sampler
    sampler.radius, sampler.min_unmasked = said["radius_unit_head"], 0
    block = sampler.blocks()[said["channels"].index(said["centre"])]
    assert [n for n, there in zip(said["channels"], block, strict=True) if there] == said["masked"]
