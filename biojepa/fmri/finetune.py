"""Training of a network on prepared runs, and its outputs for whole runs.

Random windows in training; at test, the outputs of windows are averaged.

Letters: R regions, T frames, K outputs.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from biojepa.engine.config import TrainConfig
from biojepa.engine.labelled import LabelledRecords
from biojepa.engine.objective import Objective
from biojepa.engine.signals import Signals
from biojepa.engine.supervised import SupervisedHead, SupervisedLoss
from biojepa.engine.train import TrainResult, train
from biojepa.estimators.features import LEAST_BATCH, Prepared, windows_of
from biojepa.estimators.ridge import RidgeProbe as RidgeClassifier
from biojepa.estimators.ridge_probe import RidgeProbe as RidgeRegressor
from biojepa.fmri.heads import BrainNet
from biojepa.fmri.pretrain import MIN_PATCHES
from biojepa.fmri.recipes import HeadRecipe

PASSES, LEAST_STEPS, MOST_STEPS = 50, 100, 2000  # 50 epochs as published, within bounds of ours
LOOKS = 20  # at the held-out runs over a training
BATCH = 8  # windows whose outputs are computed together


def head_training(
    recipe: HeadRecipe,
    n_runs: int,
    *,
    steps: int | None,
    batch_size: int | None,
    lr: float | None,
    precision: str,
    device: str,
    seed: int,
) -> TrainConfig:
    """The recipe's training with a user's numbers in their place; 50 passes over the runs."""
    base = recipe.train
    batch_size = batch_size or base.batch_size
    if steps is None:
        steps = PASSES * max(1, n_runs // batch_size)
        steps = min(MOST_STEPS, max(LEAST_STEPS, steps))
    scale = 1.0 if lr is None else lr / base.lr
    return replace(
        base,
        steps=steps,
        batch_size=batch_size,
        warmup_steps=min(base.warmup_steps, steps // 10),
        lr=base.lr * scale,
        final_lr=base.final_lr * scale,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[precision],
        device=device,
        seed=seed,
    )


def train_net(
    net: BrainNet,
    runs: Sequence[tuple[NDArray[np.float32], NDArray[np.bool_]]],
    labels: NDArray,
    config: TrainConfig,
    *,
    loss: SupervisedLoss,
    class_weight: Tensor | None = None,
    pos_weight: Tensor | None = None,
    layer_decay: float = 1.0,
    held_out: tuple[Sequence[Prepared], NDArray] | None = None,
    patience: int | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Train in place; afterwards the network is in eval mode on the CPU.

    Parameters
    ----------
    net : BrainNet
    runs : sequence of (ndarray (R, T), ndarray of bool (R,))
    labels : ndarray, shape (n,) or (n, K)
    config : TrainConfig
    loss : {"ce", "bce", "mse"}
    class_weight, pos_weight : Tensor, optional
    layer_decay : float
        Learning rates are scaled by `layer_decay` per block below the head.
    held_out : (runs, labels), optional
        Whose loss is looked at twenty times over the training; the weights of the smallest stay.
    patience : int, optional
        Looks without a smaller loss before stopping; needs `held_out`.
    progress : bool, optional
    """
    longest = max(values.shape[1] for values, _ in runs)
    objective = SupervisedHead(
        net,
        loss=loss,
        class_weight=class_weight,
        pos_weight=pos_weight,
        frozen=("encoder",) if net.frozen else (),
        layer_decay=1.0 if net.frozen else layer_decay,
        depth_of=BlockDepth(len(net.encoder.blocks)),
        crop=max(min(net.encoder.config.n_times, longest), _shortest(net)),
    )
    data = LabelledRecords([v for v, _ in runs], labels, valid=[there for _, there in runs])
    best: dict[str, Any] = {"loss": np.inf, "weights": None}

    def evaluate(_: Objective, step: int) -> dict[str, float]:
        assert held_out is not None
        outputs = torch.from_numpy(
            run_outputs(net, held_out[0], device=str(next(net.parameters()).device))
        )
        total, count = objective.loss_of(outputs, torch.as_tensor(held_out[1]))
        loss = float(total) / max(float(count), 1e-12)
        if loss < best["loss"]:
            best["loss"], best["weights"] = loss, copy.deepcopy(net.state_dict())
        return {"val_loss": loss}

    result = train(
        objective,
        data,
        config,
        evaluate=None if held_out is None else evaluate,
        every=max(1, config.steps // LOOKS),
        monitor=None if held_out is None else "val_loss",
        mode="min",
        patience=patience,
        progress=progress,
    )
    net.to("cpu").eval()
    if best["weights"] is not None:
        net.load_state_dict(best["weights"])
    return result


def start_from_probe(
    net: BrainNet, runs: Sequence[Prepared], labels: NDArray, *, loss: SupervisedLoss
) -> None:
    """Start a head on pairs of regions as ridge regression on the encoder as it is.

    Parameters
    ----------
    net : BrainNet
        With `head="connectivity"`; changed in place.
    runs : sequence of (ndarray (R, T), ndarray of bool (R,))
        Of the training.
    labels : ndarray, shape (n,) or (n, K)
    loss : {"ce", "bce", "mse"}
        What the labels are. For classes, each against the rest; class weights count in training.
    """
    features = run_outputs(net, runs, read=net.read_pairs).astype(np.float64)
    if loss == "mse":
        probe = RidgeRegressor().fit(features, labels.astype(np.float64))
        net.pairs.start(*(probe.export_state()[k] for k in ("mean", "std", "coef", "intercept")))
        return
    columns = np.eye(net.n_outputs)[labels] if loss == "ce" else labels
    scaler = StandardScaler().fit(features)
    ridge = RidgeClassifier().fit(scaler.transform(features), columns)
    share = 0.5 if loss == "ce" and net.n_outputs == 2 else 1.0  # two logits make up the log odds
    net.pairs.start(scaler.mean_, scaler.scale_, share * ridge.coef_, share * ridge.intercept_)


def run_outputs(
    net: BrainNet,
    runs: Sequence[Prepared],
    *,
    device: str = "cpu",
    read: Callable[[Signals], Tensor] | None = None,
) -> NDArray[np.float32]:
    """Outputs (n, K) of whole runs, or what `read` makes of them: the mean over their windows."""
    found: list[NDArray[np.float64]] = []
    counts = np.zeros(len(runs))
    waiting: dict[tuple[int, bool], list[tuple[int, Signals]]] = {}

    def run(group: list[tuple[int, Signals]]) -> None:
        rows = [s for _, s in group] + [group[0][1]] * (LEAST_BATCH - len(group))
        valid = None
        if rows[0].valid is not None:
            valid = torch.stack([s.valid for s in rows if s.valid is not None])
        x = Signals(torch.stack([s.values for s in rows]), valid=valid)
        outputs = (read or net)(x.to(device)).float().cpu().numpy()
        if not found:
            found.append(np.zeros((len(runs), outputs.shape[1])))
        for (index, _), row in zip(group, outputs, strict=False):
            found[0][index] += row
            counts[index] += 1
        group.clear()

    before = next(net.parameters()).device
    net.to(device).eval()
    with torch.inference_mode():
        for index, record in enumerate(runs):
            for signals in windows_of(record, net.encoder.config.n_times, _shortest(net)):
                kind = signals.values.shape[-1], signals.valid is None
                group = waiting.setdefault(kind, [])
                group.append((index, signals))
                if len(group) == BATCH:
                    run(group)
        for group in waiting.values():
            if group:
                run(group)
    net.to(before)
    return (found[0] / counts[:, None]).astype(np.float32)


@dataclass(frozen=True)
class BlockDepth:
    """Depth of a parameter of `BrainNet` by its name, for layer decay.

    Patches and positions 0, block i i + 1, the final norm and the head above the last block.

    Parameters
    ----------
    n_blocks : int
    """

    n_blocks: int

    def __call__(self, name: str) -> int:
        """Depth, 0 at the input."""
        part = name.split(".")
        if part[:2] == ["encoder", "blocks"]:
            return int(part[2]) + 1
        if part[0] == "encoder" and part[1] != "norm":
            return 0
        return self.n_blocks + 1


def _shortest(net: BrainNet) -> int:
    config: Any = net.encoder.config
    return MIN_PATCHES * config.patch
