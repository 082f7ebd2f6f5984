"""The published arrays, entered through `official.load` and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedBatch, MaskedJEPA
from biojepa.engine.momentum import Momentum
from biojepa.engine.optimiser import make_optimizer, set_rates
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.fmri import official
from biojepa.fmri._official_weights import our_name
from tests.fmri.published import HEADS, content, reference, settings, under, write

FORWARD, EXACT = 1e-5, 1e-6


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray]:
    return reference()


@pytest.fixture
def jepa(arrays, tmp_path) -> MaskedJEPA:
    path = write(content(), tmp_path / "jepa-ep300.pth.tar")
    return official.load(path, gradients=arrays["gradient"], heads=HEADS)


@pytest.fixture
def x(arrays) -> Signals:
    return Signals(torch.from_numpy(arrays["x"][:, 0]))


@pytest.fixture
def plan(arrays) -> MaskPlan:
    context, target = (torch.from_numpy(arrays[f"mask_{k}"]) for k in ("enc", "pred"))
    return MaskPlan(context, (target,))


def gap(tensor: torch.Tensor, array: np.ndarray | torch.Tensor) -> float:
    return float((tensor.detach() - torch.as_tensor(array)).abs().max())


def ours(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"{part}.{our_name(rest, part)}"


def test_positions_equal_the_published_ones(jepa, arrays) -> None:
    table = jepa.encoder.positions(None, 240)
    assert gap(table, arrays["encoder_pos_embed"]) <= EXACT
    assert gap(jepa.predictor.positions(None, 240), arrays["predictor_pos_embed"]) <= EXACT


def test_the_encoder_gives_the_published_tokens(jepa, arrays, x, plan) -> None:
    with torch.no_grad():
        tokens = jepa.encoder.embed(x)
        patches = tokens - jepa.encoder.positions(None, 240)
        assert gap(patches, arrays["tokens"]) <= FORWARD
        assert gap(jepa.encoder.contextualise(tokens), arrays["encoder_full"]) <= FORWARD
        context = jepa.encoder.contextualise(tokens, keep=plan.context)
        assert gap(context, arrays["encoder_context"]) <= FORWARD
        assert gap(jepa.encode(x), arrays["target_raw_full"]) <= FORWARD


def test_predictions_targets_and_loss_equal_the_published_ones(jepa, arrays, x, plan) -> None:
    result = jepa.predict(x, plan)
    assert gap(result.pred[0][0], arrays["predictor_out"]) <= FORWARD
    assert gap(result.target[0][0], arrays["target_selected"]) <= FORWARD
    assert float(result.loss.detach()) == pytest.approx(float(arrays["loss"]), abs=EXACT)


def test_gradients_one_step_and_the_momentum_update_equal_the_published_ones(
    jepa, arrays, x, plan
) -> None:
    given = settings(arrays)
    config = TrainConfig(
        steps=1, warmup_steps=0, lr=given["lr"], final_lr=given["lr"], beta2=0.999, eps=1e-8
    )
    jepa.train()
    optimizer = make_optimizer(jepa, config)
    set_rates(optimizer, config, 0)
    for group in optimizer.param_groups:
        group["weight_decay"] = given["weight_decay"] if group["decay"] else 0.0
    loss = jepa(MaskedBatch(x, (plan,)), torch.Generator()).total()
    loss.backward()
    own = dict(jepa.named_parameters())
    grads = under(arrays, "grad")
    assert grads
    for name, value in grads.items():
        assert gap(own[ours(name)].grad.reshape(value.shape), value) <= EXACT, name
    optimizer.step()
    state = jepa.state_dict()
    for name, value in under(arrays, "after_step").items():
        part, _, rest = name.partition("/")
        found = state[ours(f"{part}.{rest}")]
        assert gap(found.reshape(value.shape), value) <= EXACT, name
    result = jepa.predict(x, plan)  # the target encoder has not moved yet
    after = float(arrays["loss_after_step"])
    assert float(result.loss.detach()) == pytest.approx(after, abs=EXACT)
    Momentum(jepa.encoder, jepa.target_encoder, lambda *_: given["ema"]).move(given["ema"])
    state = jepa.state_dict()
    for name, value in under(arrays, "after_ema").items():
        part, _, rest = name.partition("/")
        found = state[f"{part}.{our_name(rest, 'encoder')}"]
        assert gap(found.reshape(value.shape), value) <= EXACT, name


def test_the_region_half_is_scaled_by_all_regions_and_inside_the_graph(jepa) -> None:
    positions = jepa.encoder.positions
    table = positions(None, 240)[0, :, 16:]
    assert float(table.detach().min()) == -1.0
    assert float(table.detach().max()) == pytest.approx(1.0, abs=1e-6)
    value = positions.proj(positions.gradients)
    without = [r for r in range(24) if r not in (int(value.max(1)[0].argmax()), 0)]
    fewer = positions(positions.gradients[without], 220)[0, :10, 16:]
    assert gap(fewer, table[without[0] * 10 : without[0] * 10 + 10].detach()) > 1e-3
    # min and max are part of the graph: scaling all weights up changes nothing
    (grad,) = torch.autograd.grad(table.square().sum(), positions.proj.weight)
    assert float(grad.abs().max()) > 1e-2
    centred = positions.proj.weight.detach()
    along = float((grad * centred).sum()) / float(grad.norm() * centred.norm())
    assert abs(along) < 0.2
