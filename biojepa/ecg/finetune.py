"""Training of an ECG classifier network on prepared records, and its logits of whole records.

As published: random 2.5 s crops in training; at test, the logits of evenly spaced crops are
averaged. Early stopping keeps the weights of the best macro AUC on records of other patients.

Letters: n records, C leads, T samples, K classes.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867, and the settings of its code (MIT licence).
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from biojepa.data.crops import pad_to
from biojepa.data.splits import patient_folds
from biojepa.ecg.heads import CropAveraged, ECGClassifierNet, Head
from biojepa.ecg.model import ECGEncoder
from biojepa.ecg.preprocess import Preprocessed
from biojepa.ecg.pretrain import (
    MIN_PATCHES,
)
from biojepa.ecg.recipes import FinetuneRecipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.labelled import LabelledRecords
from biojepa.engine.objective import Objective
from biojepa.engine.randomness import keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.engine.supervised import SupervisedHead
from biojepa.engine.train import TrainResult, train
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.features import LEAST_BATCH
from biojepa.estimators.labels import ClassWeight, LabelCode, class_weights
from biojepa.evaluation.metrics import macro_auc

PASSES, LEAST_STEPS = 50, 200  # ours: passes over the records where the published steps are many
BATCH = 32  # records whose logits are computed together
# ours: one or two records go through other matrix kernels than many, whose rounding differs


@dataclass(frozen=True)
class Crops:
    """Samples of a training crop and of a test crop, and the stride of test crops.

    Parameters
    ----------
    crop, stride : int
        Samples at the model's rate.
    shortest : int
        Shorter records are padded to so many samples.
    """

    crop: int
    stride: int
    shortest: int


def make_crops(encoder: ECGEncoder, crop_s: float, stride_s: float) -> Crops:
    """Crops of whole patches, at least two.

    Raises
    ------
    ConfigError
        If a length is not above 0.
    """
    if not (crop_s > 0 and stride_s > 0):
        raise ConfigError(f"expected crop_s and stride_s above 0 s, got {crop_s} and {stride_s}")
    rate_hz, patch = encoder.config.rate_hz, encoder.config.patch
    shortest = MIN_PATCHES * patch
    crop = max(round(crop_s * rate_hz / patch) * patch, shortest)
    return Crops(crop, max(1, round(stride_s * rate_hz)), shortest)


def make_network(
    encoder: ECGEncoder, n_classes: int, *, head: Head | None, recipe: FinetuneRecipe, seed: int
) -> ECGClassifierNet:
    """A classifier on a copy of an encoder, with a fresh head.

    Without `head`, the recipe's; the mean where that would need a register that is not there.
    """
    if head is None:
        lost = recipe.head == "register" and encoder.registers is None
        head = "mean" if lost else recipe.head
    with keyed_torch_rng(seed, "head"):
        own = ECGEncoder(replace(encoder.config, dropout=recipe.dropout))
        own.load_state_dict(encoder.state_dict())
        return ECGClassifierNet(own, n_classes, head=head, frozen=recipe.frozen)


def training_of(
    recipe: FinetuneRecipe,
    n_records: int,
    *,
    steps: int | None,
    batch_size: int | None,
    lr: float | None,
    precision: str,
    device: str,
    seed: int,
) -> TrainConfig:
    """The recipe's training with the user's numbers in their place.

    Without `steps`: 50 passes over the records, at least 200 steps and at most the published ones.
    """
    base = recipe.train
    batch_size = batch_size or base.batch_size
    if steps is None:
        passes = PASSES * max(1, n_records // batch_size)
        steps = min(base.steps, max(LEAST_STEPS, passes))
    scale = 1.0 if lr is None else lr / base.lr
    return replace(
        base,
        steps=steps,
        batch_size=batch_size,
        warmup_steps=round(base.warmup_steps * steps / base.steps),
        lr=base.lr * scale,
        final_lr=base.final_lr * scale,
        precision={"fp32": "32-true", "bf16": "bf16-mixed"}[precision],
        device=device,
        seed=seed,
    )


def train_network(
    network: CropAveraged,
    records: Sequence[Preprocessed],
    code: LabelCode,
    labels: NDArray,
    config: TrainConfig,
    crops: Crops,
    *,
    class_weight: ClassWeight = None,
    layer_decay: float = 1.0,
    groups: Sequence[object] | None = None,
    validation_fraction: float = 0.1,
    patience: int | None = None,
    evaluate_every: int = 100,
    progress: bool | None = None,
) -> TrainResult:
    """Train in place; afterwards the network is in eval mode on the CPU.

    Parameters
    ----------
    network : CropAveraged
    records : sequence of Preprocessed
    code, labels
        Of `read_labels`; records of which no label is known are left out.
    config : TrainConfig
    crops : Crops
    class_weight : "balanced", dict or None
    layer_decay : float
        Learning rates are scaled by `layer_decay` per block below the head.
    groups : sequence, shape (n,), optional
        Patients, for the split.
    validation_fraction : float
        Share of the patients (records) that early stopping looks at.
    patience : int, optional
        Evaluations without a better macro AUC before stopping; None trains on all records to the
        end.
    evaluate_every : int
        Steps between evaluations, at most a tenth of all.
    progress : bool, optional

    Returns
    -------
    TrainResult

    Raises
    ------
    DataError
        If the validation records hold no class with a positive and a negative.
    TrainingError
        If the loss stays non-finite.
    """
    known = ~np.isnan(labels).all(axis=1) if code.columns else np.ones(len(labels), dtype=bool)
    rows = np.flatnonzero(known)
    held_out = np.empty(0, dtype=np.int64)
    if patience is not None:
        own = rows if groups is None else np.asarray(groups)[rows]
        n_splits = max(2, round(1 / validation_fraction))
        folds = patient_folds(own, labels[rows], n_splits=n_splits, random_state=config.seed)
        rows, held_out = rows[folds[0][0]], rows[folds[0][1]]
    weight, positive = (
        None if w is None else torch.as_tensor(w, dtype=torch.float32)
        for w in class_weights(code, labels[rows], class_weight)
    )
    chosen = [records[i] for i in rows.tolist()]
    longest = max(max(r.values.shape[1] for r in chosen), crops.shortest)
    depth_of = None
    if isinstance(network, ECGClassifierNet):
        depth_of = BlockDepth(len(network.encoder.blocks))
    objective = SupervisedHead(
        network,
        loss="bce" if code.columns else "ce",
        class_weight=weight,
        pos_weight=positive,
        frozen=("encoder",) if network.frozen else (),
        layer_decay=layer_decay,
        depth_of=depth_of,
        crop=min(crops.crop, longest),
    )
    data = LabelledRecords([r.values for r in chosen], labels[rows])
    best: dict[str, Any] = {"auc": -1.0, "weights": None}
    truth = labels[held_out] if code.columns else np.eye(len(code))[labels[held_out]]

    def evaluate(_: Objective, step: int) -> dict[str, float]:
        logits = record_logits(network, (records[i] for i in held_out.tolist()), crops)
        auc = macro_auc(truth, logits)
        if auc > best["auc"]:
            best["auc"], best["weights"] = auc, copy.deepcopy(network.state_dict())
        return {"val_auc": auc}

    result = train(
        objective,
        data,
        config,
        evaluate=None if patience is None else evaluate,
        every=max(1, min(evaluate_every, config.steps // 10)),
        monitor=None if patience is None else "val_auc",
        patience=patience,
        progress=progress,
    )
    network.to("cpu").eval()
    if best["weights"] is not None:
        network.load_state_dict(best["weights"])
    return result


def record_logits(
    network: CropAveraged, records: Iterable[Preprocessed], crops: Crops
) -> NDArray[np.float32]:
    """Logits of whole records: the mean over the crops of each.

    Parameters
    ----------
    network : CropAveraged
        In eval mode, on any device.
    records : iterable of Preprocessed
        Lengths may differ; a record shorter than a crop is one crop.
    crops : Crops

    Returns
    -------
    ndarray, shape (n, K)

    Raises
    ------
    DataError
        If there is no record.
    """
    device = next(network.parameters()).device
    rows: dict[int, NDArray[np.float32]] = {}
    waiting: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}

    def run(group: list[tuple[int, NDArray[np.float32]]]) -> None:
        values = fill_up(np.stack([v for _, v in group]))
        logits = _logits(network, values, crops, device)[: len(group)].float().cpu().numpy()
        rows.update(zip((i for i, _ in group), logits, strict=True))
        group.clear()

    with torch.no_grad():
        for index, record in enumerate(records):
            group = waiting.setdefault(record.values.shape[1], [])
            group.append((index, record.values))
            if len(group) == BATCH:
                run(group)
        for group in waiting.values():
            if group:
                run(group)
    if not rows:
        raise DataError("expected at least 1 record, got 0")
    return np.stack([rows[i] for i in range(len(rows))])


def fill_up(values: NDArray) -> NDArray:
    """At least four rows, the first repeated: a record then gets the same answer alone."""
    missing = LEAST_BATCH - len(values)
    return values if missing <= 0 else np.concatenate([values, values[:1].repeat(missing, axis=0)])


@dataclass(frozen=True)
class BlockDepth:
    """Depth of a parameter of `ECGClassifierNet` by its name, for layer decay.

    Patches and registers 0, block i i + 1, the final norm and the head above the last block.

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


def _logits(
    network: CropAveraged, values: NDArray[np.float32], crops: Crops, device: torch.device
) -> Tensor:
    """Mean logits of records of one length, (B, K)."""
    n_times = values.shape[-1]
    if n_times < crops.shortest:
        values, there = pad_to(values, crops.shortest)
        valid = torch.from_numpy(np.broadcast_to(there, values.shape).copy())
        return network(Signals(torch.from_numpy(values), valid=valid).to(device))
    x = torch.from_numpy(values).to(device)
    return network.record_logits(x, crop=crops.crop, stride=crops.stride)
