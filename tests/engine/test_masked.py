"""Masked prediction: who learns, what is predicted, how losses count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine import MaskedJEPA, MaskPlan, Signals, Target
from biojepa.engine.masked import MaskedBatch, MaskedCollator
from biojepa.engine.randomness import BatchKey
from biojepa.engine.regularisers import VICReg
from biojepa.engine.schedules import Constant
from biojepa.engine.step import StepInfo
from biojepa.errors import ConfigError
from biojepa.layers.positions import sincos_1d
from biojepa.layers.predictor import JointPredictor
from tests.engine.toys import RaggedSampler, ToyEncoder, ToySampler, ToySignals, toy_jepa


def signals(n: int = 6) -> Signals:
    return Signals(ToySignals(n).values)


def plans(n: int = 6, sampler=None) -> list[MaskPlan]:
    return (sampler or ToySampler())(n, np.random.default_rng(0))


def ragged() -> MaskPlan:
    return plans(sampler=RaggedSampler())[0]


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def unequal(model: MaskedJEPA) -> MaskedJEPA:
    """A model whose target encoder differs from its encoder."""
    with torch.no_grad():
        for i, parameter in enumerate(model.target_encoder.parameters()):
            parameter.mul_(1.0 + 0.1 * (i % 3)).add_(0.02)
    return model


class SplitEncoder(nn.Module):
    """Local features, and a contextual part that can be copied by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.local = nn.Linear(15, 16)
        self.contextual = ToyEncoder()
        del self.contextual.patch_embed
        self.embedded = 0

    def embed(self, x: Signals) -> Tensor:
        self.embedded += 1
        B = len(x)
        return self.local(x.values.view(B, 3, 8, 5).transpose(1, 2).reshape(B, 8, 15))

    def contextualise(self, tokens, keep=None, valid=None, last=1, layer=-1) -> Tensor:
        return self.contextual.contextualise(tokens, keep, valid, last, layer)


def contextual_jepa() -> MaskedJEPA:
    torch.manual_seed(0)
    predictor = JointPredictor(16, 8, 1, 2, sincos_1d(8, 8, order="interleaved"))
    return MaskedJEPA(SplitEncoder(), predictor, ToySampler(), target=Target(of="contextual"))


def test_the_target_encoder_receives_no_gradient() -> None:
    model = toy_jepa()
    model.predict(signals(), plans()).loss.backward()
    assert all(p.grad is None for p in model.target_encoder.parameters())
    assert all(p.grad is not None for p in model.encoder.parameters())
    assert all(p.grad is not None for p in model.predictor.parameters())


def test_the_context_encoder_sees_only_the_context() -> None:
    model, x, plan = toy_jepa(), signals(), plans()[0]
    values = x.values.clone()
    hidden = torch.ones(6, 8, dtype=torch.bool).scatter(1, plan.context, False)
    values.view(6, 3, 8, 5)[hidden[:, None, :, None].expand(6, 3, 8, 5)] = 99.0
    one, other = model.predict(x, plan), model.predict(Signals(values), plan)
    assert torch.equal(one.pred[0][0], other.pred[0][0])
    assert not torch.allclose(one.target[0][0], other.target[0][0])


def test_a_contextual_target_shares_the_local_features() -> None:
    model = contextual_jepa()
    names = [n for n, _ in model.target_encoder.named_parameters()]
    assert names == [n for n, _ in model.encoder.contextual.named_parameters()]
    assert not any("local" in name for name in names)
    model.predict(signals(), plans()).loss.backward()
    assert model.encoder.embedded == 1
    assert model.encoder.local.weight.grad.any()
    assert model.encode(signals()).shape == (6, 8, 16)


def test_padding_counts_nowhere_and_changes_nothing() -> None:
    model, x, plan = toy_jepa(), signals(), ragged()
    losses = model(MaskedBatch(x, (plan,)), rng())
    total, count = losses.parts["prediction"]
    assert count == plan.target_valid[0].sum()
    alone = [
        model.predict(
            x.rows(slice(i, i + 1)),
            MaskPlan(plan.context[i : i + 1], (plan.targets[0][i : i + 1, : int(valid.sum())],)),
        ).losses.parts["prediction"][0]
        for i, valid in enumerate(plan.target_valid[0])
    ]
    torch.testing.assert_close(total, torch.stack(alone).sum(), rtol=1e-5, atol=0)


@pytest.mark.parametrize("average", ["tokens", "sets"])
@pytest.mark.parametrize("regulariser", [None, VICReg()])
def test_counts_known_before_the_forward_are_those_of_the_forward(average, regulariser) -> None:
    model = toy_jepa(average=average, regulariser=regulariser)
    batch = MaskedBatch(signals(), (ragged(), *plans()))
    counts = {name: float(count) for name, (_, count) in model(batch, rng()).parts.items()}
    assert model.counts(batch) == counts


@pytest.mark.parametrize("average", ["tokens", "sets"])
def test_slices_of_a_ragged_batch_sum_to_the_whole(average) -> None:
    model = toy_jepa(average=average, dtype=torch.float64)
    x, plan = Signals(ToySignals(6, torch.float64).values), ragged()

    def parts(rows: slice) -> tuple[Tensor, Tensor]:
        batch = MaskedBatch(x.rows(rows), (plan.rows(rows),))
        return model(batch, rng()).parts["prediction"]

    whole, halves = parts(slice(0, 6)), [parts(slice(0, 2)), parts(slice(2, 6))]
    torch.testing.assert_close(whole[0], halves[0][0] + halves[1][0], rtol=1e-12, atol=0)
    assert whole[1] == halves[0][1] + halves[1][1]


def test_sets_of_unequal_size_count_alike_when_sets_are_averaged() -> None:
    x, order = signals(), plans()[0]
    plan = replace(order, targets=(order.targets[0][:, :1], order.targets[0][:, 1:]))
    model = toy_jepa(average="sets")
    prediction = model.predict(x, plan)
    each = [F.l1_loss(p, t) for p, t in zip(prediction.pred[0], prediction.target[0], strict=True)]
    torch.testing.assert_close(prediction.loss, (each[0] + each[1]) / 2)
    tokens = toy_jepa(average="tokens").predict(x, plan).loss
    torch.testing.assert_close(tokens, (each[0] + 4 * each[1]) / 5)


def test_a_set_without_any_token_counts_nowhere() -> None:
    plan = ragged()
    empty = tuple(torch.zeros_like(v) for v in plan.target_valid)
    both = replace(plan, targets=plan.targets * 2, target_valid=plan.target_valid + empty)
    for average in ("tokens", "sets"):
        model = toy_jepa(average=average)
        torch.testing.assert_close(
            model.predict(signals(), both).loss, model.predict(signals(), plan).loss
        )


def test_the_loss_is_that_of_predict_and_the_regulariser_is_added() -> None:
    x, p = signals(), plans()
    plain = toy_jepa().predict(x, p)
    losses = toy_jepa()(MaskedBatch(x, tuple(p)), rng())
    assert torch.equal(losses.total(), plain.loss)
    term = VICReg(weight=0.3)
    regular = toy_jepa(regulariser=term)(MaskedBatch(x, tuple(p)), rng())
    expected = plain.loss + term(plain.context[0], rng())
    torch.testing.assert_close(regular.total(), expected)
    assert set(regular.parts) == {"prediction", "regulariser"}


@pytest.mark.parametrize("norm", ["none", "layernorm", "l2"])
def test_targets_are_the_target_encoders_tokens_normalised(norm) -> None:
    model = unequal(toy_jepa(target=Target(norm=norm)))
    x, p = signals(), plans()[0]
    target = model.predict(x, p).target[0][0]
    whole = model.target_encoder.contextualise(model.target_encoder.embed(x))
    rows = torch.arange(6)[:, None]
    hidden = whole[rows, p.targets[0]].detach()
    if norm == "layernorm":
        hidden = (hidden - hidden.mean(-1, keepdim=True)) / hidden.std(-1, False, keepdim=True)
    elif norm == "l2":
        hidden = hidden / hidden.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(target, hidden, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_target_encoder_keeps_its_mode(mode) -> None:
    model = toy_jepa(dropout=0.5, target=Target(mode=mode))
    assert model.target_encoder.training == (mode == "train")
    model.eval()
    assert not model.target_encoder.training
    model.train()
    assert model.target_encoder.training == (mode == "train")
    assert model.encoder.training


def test_two_plans_give_two_lists_in_order() -> None:
    model, x = toy_jepa(), signals()
    two = [plans()[0], ToySampler()(6, np.random.default_rng(1))[0]]
    both = model.predict(x, two)
    for i, plan in enumerate(two):
        one = model.predict(x, plan)
        assert torch.equal(both.pred[i][0], one.pred[0][0])
        assert torch.equal(both.target[i][0], one.target[0][0])
    torch.testing.assert_close(
        both.loss, (model.predict(x, two[0]).loss + model.predict(x, two[1]).loss) / 2
    )


def test_predict_is_deterministic_given_the_plan() -> None:
    model, x, p = toy_jepa(), signals(), plans()
    torch.manual_seed(1)
    first = model.predict(x, p)
    torch.manual_seed(2)
    assert torch.equal(first.loss, model.predict(x, p).loss)


def test_encode_uses_the_downstream_network() -> None:
    x = signals()
    target, context = (unequal(toy_jepa(downstream=d)).eval() for d in ("target", "context"))
    own = context.encoder.contextualise(context.encoder.embed(x))
    copy = target.target_encoder.contextualise(target.target_encoder.embed(x))
    assert torch.equal(context.encode(x), own)
    assert torch.equal(target.encode(x), copy)
    assert not torch.allclose(own, copy)


@pytest.mark.parametrize(
    ("update", "per", "moved"),
    [("before", "forward", [True, False]), ("after", "step", [False, True])],
)
def test_the_target_moves_when_its_method_says(update, per, moved) -> None:
    model = toy_jepa(target=Target(update=update, per=per, momentum=Constant(0.5)))
    with torch.no_grad():
        for parameter in model.encoder.parameters():
            parameter.add_(1.0)
    info, seen = StepInfo(0, 10, 5), []
    for call in (model.before_forward, model.after_step):
        before = [p.clone() for p in model.target_encoder.parameters()]
        call(info)
        after = model.target_encoder.parameters()
        seen.append(any(not torch.equal(a, b) for a, b in zip(before, after, strict=True)))
    assert seen == moved


def test_masks_of_a_slice_are_rows_of_the_global_batch() -> None:
    data, collate = ToySignals(12), MaskedCollator(ToySampler())

    def batch(rows: np.ndarray) -> MaskedBatch:
        key = BatchKey(0, 3, rows, 12)
        return collate(data.fetch(rows, key), key)

    whole, part = batch(np.arange(12)), batch(np.arange(5, 9))
    assert torch.equal(part.plans[0].context, whole.plans[0].context[5:9])
    assert torch.equal(part.plans[0].targets[0], whole.plans[0].targets[0][5:9])


def test_diagnostics_leave_padding_out() -> None:
    model = unequal(toy_jepa()).eval()
    x, plan = signals(), ragged()
    with torch.no_grad():
        one = model.diagnose(MaskedBatch(x, (plan,)), rng())
        targets = plan.targets[0].masked_fill(~plan.target_valid[0], 0)
        other = model.diagnose(MaskedBatch(x, (replace(plan, targets=(targets,)),)), rng())
    assert one["skill"] == pytest.approx(other["skill"], rel=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Target(of="half"),
        lambda: Target(norm="batch"),
        lambda: Target(mode="both"),
        lambda: Target(update="during"),
        lambda: Target(per="year"),
        lambda: toy_jepa(average="all"),
        lambda: toy_jepa(downstream="both"),
    ],
)
def test_unknown_words_are_refused(make) -> None:
    with pytest.raises(ConfigError, match="expected"):
        make()


def test_the_signal_as_target_has_no_encoder_to_copy_or_to_use_downstream() -> None:
    parts = (
        ToyEncoder(),
        JointPredictor(16, 8, 1, 2, sincos_1d(8, 8, order="interleaved"), out_dim=15),
        ToySampler(),
    )
    model = MaskedJEPA(*parts, target=Target(of="signal"), downstream="context")
    assert model.momentum_copies() == {}
    assert not any("target" in name for name in model.state_dict())
    with pytest.raises(ConfigError, match="downstream 'context'"):
        MaskedJEPA(*parts, target=Target(of="signal"))
