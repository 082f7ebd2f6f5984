"""Training with labels: losses over known labels, frozen parts, layer decay, crops."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine.config import TrainConfig
from biojepa.engine.labelled import CropCollator, LabelledRecords, SupervisedBatch
from biojepa.engine.randomness import BatchKey, keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.engine.step import StepInfo
from biojepa.engine.supervised import SupervisedHead
from biojepa.engine.train import train
from biojepa.errors import ConfigError, DataError

NAN = float("nan")
RNG = torch.Generator()


class Net(nn.Module):
    """An encoder with dropout and batch statistics, and a linear head on its mean."""

    def __init__(self, n_outputs: int = 2) -> None:
        super().__init__()
        with keyed_torch_rng(0, "init"):
            self.encoder = nn.Sequential(
                nn.Conv1d(3, 8, 5, stride=5), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(0.2)
            )
            self.fc = nn.Linear(8, n_outputs)

    def forward(self, x: Signals) -> Tensor:
        """Outputs (B, K)."""
        return self.fc(self.encoder(x.values).mean(-1))


class Plain(nn.Module):
    """A network without batch statistics or dropout."""

    def __init__(self, n_outputs: int = 2) -> None:
        super().__init__()
        with keyed_torch_rng(1, "init"):
            self.first = nn.Linear(3, 8)
            self.last = nn.Linear(8, n_outputs)

    def forward(self, x: Signals) -> Tensor:
        """Outputs (B, K)."""
        return self.last(self.first(x.values.mean(-1)).tanh())


class Outputs(nn.Module):
    """Gives the same outputs whatever comes in."""

    def __init__(self, outputs: list) -> None:
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, x: Signals) -> Tensor:
        """The outputs."""
        return self.outputs


def _batch(labels: list | Tensor, n: int | None = None) -> SupervisedBatch:
    labels = torch.as_tensor(labels)
    return SupervisedBatch(Signals(torch.zeros(n or len(labels), 3, 10)), labels)


def _records(n: int = 24, dtype: type = np.float32) -> LabelledRecords:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (n, 2)).astype(float)
    values = [
        (rng.standard_normal((3, 40)) + labels[i, :1] - labels[i, 1:]).astype(dtype)
        for i in range(n)
    ]
    labels[rng.random((n, 2)) < 0.25] = NAN
    return LabelledRecords(values, labels)


def test_bce_leaves_unknown_labels_out_of_loss_count_and_gradient() -> None:
    outputs = [[0.3, -1.0], [2.0, 0.5]]
    objective = SupervisedHead(Outputs(outputs), loss="bce")
    batch = _batch([[1.0, NAN], [0.0, 1.0]])
    losses = objective(batch, RNG)
    losses.total().backward()
    known = torch.tensor([0.3, 2.0, 0.5]), torch.tensor([1.0, 0.0, 1.0])
    expected = F.binary_cross_entropy_with_logits(*known)
    torch.testing.assert_close(losses.total(), expected)
    assert objective.counts(batch) == {"label": 3.0}
    grad = objective.network.outputs.grad
    assert grad[0, 1] == 0
    torch.testing.assert_close(grad[0, 0], (torch.tensor(0.3).sigmoid() - 1) / 3)


@pytest.mark.parametrize("labels", [[1, 0, 2, -1], [1.0, 0.0, 2.0, NAN]])
@pytest.mark.parametrize("weight", [None, torch.tensor([1.0, 2.0, 0.5])])
def test_cross_entropy_is_torchs_over_known_classes(labels: list, weight: Tensor | None) -> None:
    outputs = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    objective = SupervisedHead(Outputs(outputs.tolist()), loss="ce", class_weight=weight)
    batch = _batch(labels)
    expected = F.cross_entropy(outputs[:3], torch.tensor([1, 0, 2]), weight=weight)
    torch.testing.assert_close(objective(batch, RNG).total(), expected)
    torch.testing.assert_close(objective(batch, RNG).total(objective.counts(batch)), expected)


def test_one_hot_labels_are_classes_and_a_row_with_nan_is_unknown() -> None:
    outputs = [[0.1, 0.9], [1.0, -1.0], [5.0, 5.0]]
    objective = SupervisedHead(Outputs(outputs), loss="ce")
    one_hot = objective(_batch([[0.0, 1.0], [1.0, 0.0], [NAN, NAN]]), RNG).total()
    torch.testing.assert_close(one_hot, objective(_batch([1, 0, -1]), RNG).total())


def test_regression_leaves_unknown_targets_out() -> None:
    objective = SupervisedHead(Outputs([[1.0], [4.0], [9.0]]), loss="mse")
    assert objective(_batch([0.0, NAN, 7.0]), RNG).total().item() == 2.5
    assert objective.counts(_batch([0.0, NAN, 7.0])) == {"label": 2.0}


def test_class_and_positive_weights_are_those_of_torchs_bce() -> None:
    outputs = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([[0, 1], [1, 1], [0, 0], [1, 0], [0, 1]]).float()
    weight, positive = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 0.5])
    objective = SupervisedHead(
        Outputs(outputs.tolist()), loss="bce", class_weight=weight, pos_weight=positive
    )
    expected = F.binary_cross_entropy_with_logits(outputs, y, weight=weight, pos_weight=positive)
    torch.testing.assert_close(objective(_batch(y), RNG).total(), expected)


def test_training_equals_a_loop_by_hand() -> None:
    data, network = _records(8), Plain()
    hand = copy.deepcopy(network)
    config = TrainConfig(steps=3, batch_size=8, lr=1e-2, warmup_steps=0, final_lr=1e-2)
    objective = SupervisedHead(network, loss="bce")
    train(objective, data, config, progress=False)
    x = torch.from_numpy(np.stack(data.values))
    y = torch.from_numpy(data.labels).float()
    optimizer = torch.optim.AdamW(
        [
            {"params": [hand.first.weight, hand.last.weight]},
            {"params": [hand.first.bias, hand.last.bias], "weight_decay": 0.0},
        ],
        lr=1e-2,
        betas=(0.9, 0.99),
        eps=1e-6,
        weight_decay=0.01,
    )
    for _ in range(3):
        known = ~y.isnan()
        loss = F.binary_cross_entropy_with_logits(hand(Signals(x))[known], y[known])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.testing.assert_close(objective.export_state(), dict(hand.state_dict()))


def test_accumulated_micro_batches_equal_one_batch() -> None:
    data = _records(24, np.float64)
    done = []
    for accumulate in (1, 3):
        objective = SupervisedHead(Plain().double(), loss="bce", crop=20)
        config = TrainConfig(
            steps=4, batch_size=12, accumulate=accumulate, precision="64-true", warmup_steps=1
        )
        result = train(objective, data, config, progress=False)
        done.append((objective.export_state(), result.rows[-1]["loss"]))
    torch.testing.assert_close(done[0][0], done[1][0], rtol=1e-10, atol=1e-12)
    assert done[0][1] == pytest.approx(done[1][1], rel=1e-6)


def test_a_frozen_encoder_keeps_weights_statistics_and_mode() -> None:
    objective = SupervisedHead(Net(), loss="bce", frozen=["encoder"])
    before = copy.deepcopy(objective.export_state())
    modes: list[bool] = []
    objective.network.encoder.register_forward_pre_hook(lambda m, _: modes.append(m.training))
    train(objective, _records(), TrainConfig(steps=3, batch_size=8, warmup_steps=1), progress=False)
    after = objective.export_state()
    assert modes == [False] * 3
    assert objective.training
    assert not objective.network.encoder.training
    for name, value in after.items():
        assert torch.equal(value, before[name]) == name.startswith("encoder."), name
    assert not any(p.requires_grad for p in objective.network.encoder.parameters())


def test_an_encoder_that_is_not_frozen_trains() -> None:
    objective = SupervisedHead(Net(), loss="bce")
    before = copy.deepcopy(objective.export_state())
    train(objective, _records(), TrainConfig(steps=3, batch_size=8, warmup_steps=1), progress=False)
    assert objective.network.encoder.training
    assert not torch.equal(objective.export_state()["encoder.0.weight"], before["encoder.0.weight"])


def test_layer_decay_scales_the_rate_by_depth() -> None:
    network = Net()
    objective = SupervisedHead(
        network, loss="bce", layer_decay=0.5, depth_of=lambda name: 2 * name.startswith("fc.")
    )
    groups = objective.param_groups()
    found = {name: (g.lr_scale, g.decay) for g in groups for name in g.names}
    assert found == {
        "network.encoder.0.weight": (0.25, True),
        "network.encoder.0.bias": (0.25, False),
        "network.encoder.1.weight": (0.25, False),
        "network.encoder.1.bias": (0.25, False),
        "network.fc.weight": (1.0, True),
        "network.fc.bias": (1.0, False),
    }
    assert sum(p.numel() for g in groups for p in g.params) == sum(
        p.numel() for p in network.parameters()
    )


def test_a_late_module_waits_and_then_moves_with_the_rest() -> None:
    moved = []
    for steps in (4, 5):
        network = Plain()
        before = copy.deepcopy(network.state_dict())
        objective = SupervisedHead(network, loss="ce", late={"first": 4})
        data = LabelledRecords(list(np.ones((8, 3, 5), np.float32)), np.arange(8) % 2)
        train(objective, data, TrainConfig(steps=steps, batch_size=8, warmup_steps=0))
        after = network.state_dict()
        moved.append({k.split(".")[0] for k in before if not torch.equal(before[k], after[k])})
    assert moved == [{"last"}, {"first", "last"}]


def test_a_late_module_costs_no_gradient_while_it_waits() -> None:
    network = Plain()
    objective = SupervisedHead(network, loss="ce", late={"first": 2})
    for step, wanted in ((0, False), (1, False), (2, True)):
        objective.before_step(StepInfo(step, 4, 1))
        assert {p.requires_grad for p in network.first.parameters()} == {wanted}
        assert all(p.requires_grad for p in network.last.parameters())


def test_crops_of_a_slice_are_those_of_the_global_batch() -> None:
    data, collator = _records(12), CropCollator(15)
    key = BatchKey(3, 7, np.arange(12), 12)
    whole = collator(data.fetch(np.arange(12), key), key)
    rows = np.array([2, 9, 10])
    part_key = BatchKey(3, 7, rows, 12)
    part = collator(data.fetch(rows, part_key), part_key)
    assert torch.equal(part.signals.values, whole.signals.values[rows])
    torch.testing.assert_close(part.labels, whole.labels[rows], equal_nan=True)
    other = BatchKey(3, 8, np.arange(12), 12)
    assert not torch.equal(
        collator(data.fetch(np.arange(12), other), other).signals.values, whole.signals.values
    )


def test_crops_are_pieces_and_short_records_are_padded_and_marked() -> None:
    values = [np.arange(3 * n, dtype=np.float32).reshape(3, n) + 1 for n in (30, 6)]
    channels = [np.array([True, True, False]), np.array([True, True, True])]
    data = LabelledRecords(values, np.array([0, 1]), valid=channels)
    key = BatchKey(0, 0, np.arange(2), 2)
    batch = CropCollator(10)(data.fetch(np.arange(2), key), key)
    x, valid = batch.signals.values, batch.signals.valid
    start = int(x[0, 0, 0]) - 1
    assert 0 <= start <= 20
    np.testing.assert_array_equal(x[0], values[0][:, start : start + 10])
    np.testing.assert_array_equal(x[1, :, :6], values[1])
    assert (x[1, :, 6:] == 0).all()
    assert valid.sum(-1).tolist() == [[10, 10, 0], [6, 6, 6]]


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"loss": "hinge"}, "bce"),
        ({"loss": "mse", "class_weight": torch.ones(2)}, "class_weight"),
        ({"loss": "ce", "pos_weight": torch.ones(2)}, "pos_weight"),
        ({"loss": "bce", "layer_decay": 0.5}, "depth_of"),
        ({"loss": "bce", "frozen": ["encodr"]}, "encodr"),
        ({"loss": "bce", "frozen": ["encoder", "fc"]}, "something to train"),
        ({"loss": "bce", "crop": 0}, "crop"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict, word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        SupervisedHead(Net(), **options)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match=r"\(2, 3\)"):
        SupervisedHead(Outputs([[0.0, 1.0]] * 2), loss="bce")(_batch(torch.zeros(2, 3)), RNG)
    with pytest.raises(DataError, match="one label a record"):
        LabelledRecords([np.zeros((3, 5))], np.zeros(2))
    with pytest.raises(DataError, match="same channels"):
        LabelledRecords([np.zeros((3, 5)), np.zeros((2, 5))], np.zeros(2))
    lengths = LabelledRecords([np.zeros((3, 5)), np.zeros((3, 6))], np.zeros(2))
    key = BatchKey(0, 0, np.arange(2), 2)
    with pytest.raises(DataError, match="5 to 6"):
        CropCollator()(lengths.fetch(np.arange(2), key), key)
