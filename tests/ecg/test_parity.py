"""The published arrays, entered through `official.load` and nothing else."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from biojepa.ecg import official
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.optimiser import make_optimizer, set_rates
from biojepa.engine.plan import ShuffledPlan
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.engine.train import train
from biojepa.layers import attention
from tests.ecg.published import classifier_content, full_content, reference, under, write

FORWARD, EXACT = 1e-5, 1e-6
TRAIN = TrainConfig(
    steps=100, batch_size=4, warmup_steps=10, weight_decay=0.01, final_weight_decay=0.1
)  # as the config in the file; all else is the default


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    return reference("jepa_tiny_default")


@pytest.fixture
def jepa(tmp_path) -> MaskedJEPA:
    return official.load(write(full_content(), tmp_path / "chkpt_70.pt"))


@pytest.fixture
def x(arrays) -> Signals:
    return Signals(torch.from_numpy(arrays["x"]))


@pytest.fixture
def plan(arrays) -> MaskPlan:
    context = torch.from_numpy(arrays["mask_encoder"])
    return MaskPlan(context, (torch.from_numpy(arrays["mask_predictor"]),))


def gap(tensor: torch.Tensor, array: np.ndarray | torch.Tensor) -> float:
    return float((tensor.detach() - torch.as_tensor(array)).abs().max())


@pytest.mark.parametrize("fused", [True, False])
def test_the_encoder_gives_the_published_tokens(jepa, arrays, x, plan, fused, monkeypatch):
    monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, **__: fused)
    encoder = jepa.encoder
    with torch.no_grad():
        tokens = encoder.embed(x)
        short = encoder.embed(Signals(x.values[..., :250]))
        assert gap(encoder.patch_embed(x.values), arrays["patch_embed"]) <= FORWARD
        assert gap(encoder.contextualise(tokens), arrays["enc_full"]) <= FORWARD
        assert gap(encoder.contextualise(short), arrays["enc_short"]) <= FORWARD
        context = encoder.contextualise(tokens, keep=plan.context)
        assert gap(context, arrays["enc_ctx"]) <= FORWARD
        with_registers = encoder.contextualise(tokens, registers=True)
        assert gap(with_registers, arrays["enc_full_with_registers"]) <= FORWARD
        assert gap(jepa.encode(x), arrays["tgt_full_before_ema"]) <= FORWARD


def test_positions_equal_the_published_tables(jepa, arrays):
    assert gap(jepa.encoder.positions, arrays["pos_embed_encoder"]) <= EXACT
    assert gap(jepa.predictor.positions, arrays["pos_embed_predictor"]) <= EXACT


def test_one_forward_moves_the_target_first_and_gives_the_published_loss(jepa, arrays, x, plan):
    jepa.before_forward(StepInfo(0, 100, 1))
    moved = under(arrays, "ema1")
    state = jepa.state_dict()
    assert moved
    for name, value in moved.items():
        assert gap(state[name], value) <= EXACT, name
    result = jepa.predict(x, plan)
    assert gap(result.pred[0][0], arrays["pred"]) <= FORWARD
    assert gap(result.target[0][0], arrays["target"]) <= FORWARD
    assert float(result.loss.detach()) == pytest.approx(float(arrays["loss"]), rel=EXACT)


def test_gradients_and_one_step_equal_the_published_ones(jepa, arrays, x, plan):
    jepa.train()
    optimizer = make_optimizer(jepa, TRAIN)
    lr, decay = set_rates(optimizer, TRAIN, 7)
    assert (lr, decay) == pytest.approx(tuple(arrays["lr_wd_momentum"][:2]), rel=1e-9)
    info = StepInfo(0, 100, 1)
    assert jepa.momentum_copies()["target_encoder"].momentum(info) == pytest.approx(
        arrays["lr_wd_momentum"][2], rel=1e-12
    )
    jepa.before_forward(info)
    loss = jepa(MaskedBatch(x, (plan,)), torch.Generator()).total()
    loss.backward()
    grads = under(arrays, "grad")
    own = {name: p.grad for name, p in jepa.named_parameters() if p.grad is not None}
    assert own.keys() == grads.keys()
    for name, value in grads.items():
        assert gap(own[name], value) <= EXACT, name
    optimizer.step()
    state = jepa.state_dict()
    for name, value in under(arrays, "step1").items():
        assert gap(state[name], value) <= EXACT, name
    jepa.before_forward(StepInfo(1, 100, 1))
    after = float(jepa.predict(x, plan).loss.detach())
    assert after == pytest.approx(float(arrays["loss_after_one_step"]), rel=EXACT)


def test_two_steps_of_the_training_loop_give_the_two_published_losses(jepa, arrays, plan):
    class Fixed:
        def __call__(self, n_samples, rng, *, rows=None):
            return [plan.rows(np.arange(n_samples)[rows])]

    class Records:
        def __len__(self):
            return 4

        def fetch(self, indices: np.ndarray, key: BatchKey):
            # in the order of the masks, whatever the plan shuffled
            return Signals(torch.from_numpy(arrays["x"][np.arange(4)[key.rows]]))

    jepa.sampler = Fixed()
    # rates of schedule step 7 at the first step
    rates = {"lr": 7.003e-4, "final_lr": 7.003e-4, "warmup_steps": 0, "warmup_lr": 7.003e-4}
    config = TrainConfig(
        steps=2,
        batch_size=4,
        weight_decay=float(arrays["lr_wd_momentum"][1]),
        log_every=1,
        diagnose_every=0,
        device="cpu",
        **rates,
    )
    slow = jepa.target.momentum
    object.__setattr__(jepa.target, "momentum", lambda step, total: slow(step, 100))
    result = train(jepa, Records(), config, plan=ShuffledPlan(4, 4, 0), progress=False)
    losses = [row["loss"] for row in result.rows]
    wanted = [float(arrays["loss"]), float(arrays["loss_after_one_step"])]
    assert losses == pytest.approx(wanted, rel=EXACT)


def test_the_published_weights_decay_and_no_others(jepa, arrays):
    groups = jepa.param_groups()
    decayed = {name for group in groups if group.decay for name in group.names}
    assert decayed == set(json.loads(str(arrays["decay_names"])))


def test_the_explicit_kernel_equals_the_fused_one(jepa, x, plan, monkeypatch):
    losses = []
    for fused in (True, False):
        monkeypatch.setattr(attention, "use_fused_kernel", lambda *_, fused=fused, **__: fused)
        losses.append(jepa.predict(x, plan))
    assert gap(losses[0].pred[0][0], losses[1].pred[0][0].detach()) <= FORWARD
    assert gap(losses[0].loss, losses[1].loss.detach()) <= EXACT


@pytest.fixture
def classifier(tmp_path):
    return official.load(write(classifier_content(), tmp_path / "classifier.pt"))


def test_the_classifier_gives_the_published_logits_loss_and_gradients(classifier):
    arrays = reference("clf_linear_attnpool")
    logits = classifier.train()(torch.from_numpy(arrays["x"]))
    assert gap(logits, arrays["logits"]) <= FORWARD
    y = torch.from_numpy(arrays["y"])
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y)
    assert float(loss.detach()) == pytest.approx(float(arrays["loss"]), rel=EXACT)
    loss.backward()
    grads = under(arrays, "grad")
    own = {name: p.grad for name, p in classifier.named_parameters() if p.grad is not None}
    assert own.keys() == grads.keys()
    for name, value in grads.items():
        assert gap(own[name], value) <= EXACT, name


def test_crops_and_their_average_equal_the_published_ones(classifier):
    arrays = reference("clf_linear_attnpool")
    record = torch.from_numpy(arrays["record"].T.copy())[None]
    with torch.no_grad():
        crops = classifier.crop_logits(record, crop=250, stride=125)
        mean = classifier.record_logits(record, crop=250, stride=125)
    assert crops.shape == (1, 3, 5)
    assert gap(crops[0], arrays["crop_logits"]) <= FORWARD
    assert gap(mean[0], arrays["record_logits"]) <= FORWARD
