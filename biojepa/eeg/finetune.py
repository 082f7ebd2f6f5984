"""Training of a Signal-JEPA classifier on prepared records, by the paper's protocol.

AdamW at a fixed rate of 1e-3 in batches of 32, at most 500 epochs; a fifth of the training records
is held out, and training stops when their loss has not fallen for 50 epochs, with the weights of
the best epoch. With regime "full" only the new layers move in the first 10 epochs.

Letters: n records, C channels, T samples, K classes.

References
----------
Guetschel, Moreau & Tangermann 2024, S-JEPA, arXiv:2403.11772, and its published settings.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import nn

from biojepa.data.splits import patient_folds
from biojepa.eeg.heads import Architecture, SignalClassifierNet
from biojepa.eeg.model import SignalEncoder
from biojepa.eeg.preprocess import Prepared
from biojepa.engine.config import TrainConfig
from biojepa.engine.labelled import LabelledRecord, LabelledRecords, SupervisedBatch
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.objective import Objective
from biojepa.engine.randomness import BatchKey, keyed_torch_rng
from biojepa.engine.signals import Signals
from biojepa.engine.supervised import SupervisedHead
from biojepa.engine.train import TrainResult, train
from biojepa.errors import ConfigError, DataError
from biojepa.estimators.labels import ClassWeight, LabelCode, class_weights

# ours: records whose logits are computed together; always so many, since matrix kernels round
# otherwise for other numbers of rows, and a record is to get the same answer alone
BATCH = 16
MIN_HELD_OUT = 10  # ours: with fewer records nothing is held out
_PRECISION = {"fp32": "32-true", "bf16": "bf16-mixed"}


@dataclass(frozen=True)
class Protocol:
    """How a classifier is trained.

    Parameters
    ----------
    epochs, batch_size : int
    lr : float
    warmup_epochs : int
        Epochs in which only the new layers move; 0 with a frozen encoder.
    frozen : bool
        Train the new layers only.
    patience : int or None
        Epochs without a lower loss on the held-out records before stopping; None trains on all
        records to the end.
    validation_fraction : float
    precision : {"fp32", "bf16"}
        Of training; logits are computed in fp32.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    epochs: int
    batch_size: int
    lr: float
    warmup_epochs: int
    frozen: bool
    patience: int | None
    validation_fraction: float
    precision: str = "fp32"

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "lr"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"expected {name} above 0, got {getattr(self, name)}")
        if not 0 < self.validation_fraction <= 0.5 or self.warmup_epochs < 0:
            raise ConfigError(
                "expected 0 < validation_fraction <= 0.5 and warmup_epochs >= 0, got "
                f"{self.validation_fraction} and {self.warmup_epochs}"
            )
        if self.precision not in _PRECISION:
            raise ConfigError(f"expected precision in {(*_PRECISION,)}, got {self.precision!r}")


def make_network(
    jepa: MaskedJEPA,
    n_classes: int,
    *,
    n_times: int,
    n_channels: int,
    architecture: Architecture,
    n_filters: int,
    seed: int,
) -> SignalClassifierNet:
    """A classifier on a copy of the downstream encoder, with fresh layers."""
    encoder: SignalEncoder = copy.deepcopy(jepa.encoder)
    if jepa.downstream == "target":
        encoder.contextual.load_state_dict(jepa.target_encoder.state_dict())
    encoder.requires_grad_(True)
    with keyed_torch_rng(seed, "head"):
        return SignalClassifierNet(
            encoder,
            n_classes,
            n_times=n_times,
            n_channels=n_channels,
            architecture=architecture,
            n_filters=n_filters,
        )


@dataclass(frozen=True)
class PlacedCollator:
    """Whole records with the positions of their channels."""

    positions: torch.Tensor

    def __call__(self, samples: Sequence[LabelledRecord], key: BatchKey) -> SupervisedBatch:
        """Stack records and labels."""
        labels = torch.from_numpy(np.stack([s.label for s in samples]))
        records = [Prepared(s.values, _channels(s)) for s in samples]
        return SupervisedBatch(stack(records, self.positions), labels)


def train_network(
    network: nn.Module,
    records: Sequence[Prepared],
    positions: torch.Tensor,
    code: LabelCode,
    labels: NDArray,
    protocol: Protocol,
    *,
    seed: int,
    device: str = "auto",
    class_weight: ClassWeight = None,
    groups: Sequence[object] | None = None,
    progress: bool | None = None,
) -> TrainResult:
    """Train in place; afterwards the network is in eval mode on the CPU.

    Parameters
    ----------
    network : Module
        Of `Signals` to logits, such as `SignalClassifierNet`; its `encoder` is what may be frozen.
    records : sequence of Prepared
        Of one length.
    positions : Tensor, shape (C, 3)
    code, labels
        Of `read_labels`.
    protocol : Protocol
    seed : int
    device : str
    class_weight : "balanced", dict or None
    groups : sequence, shape (n,), optional
        Subjects or runs that the held-out part does not share with the rest.
    progress : bool, optional

    Returns
    -------
    TrainResult

    Raises
    ------
    TrainingError
        If the loss stays non-finite.
    """
    rows, held_out = _split(labels, groups, protocol, seed)
    weight, positive = (
        None if w is None else torch.as_tensor(w, dtype=torch.float32)
        for w in class_weights(code, labels[rows], class_weight)
    )
    chosen = [records[i] for i in rows.tolist()]
    batch_size = min(protocol.batch_size, len(rows))
    per_epoch = max(1, len(rows) // batch_size)
    objective = SupervisedHead(
        network,
        loss="bce" if code.columns else "ce",
        class_weight=weight,
        pos_weight=positive,
        frozen=("encoder",) if protocol.frozen else (),
        late={} if protocol.frozen else {"encoder": protocol.warmup_epochs * per_epoch},
        collator=PlacedCollator(positions),
    )
    config = TrainConfig(
        steps=protocol.epochs * per_epoch,
        batch_size=batch_size,
        lr=protocol.lr,
        warmup_lr=protocol.lr,
        final_lr=protocol.lr,
        warmup_steps=0,
        beta2=0.999,
        eps=1e-8,
        precision=_PRECISION[protocol.precision],
        device=device,
        seed=seed,
        diagnose_every=0,
        log_every=per_epoch,
    )
    best: dict[str, Any] = {"loss": math.inf, "weights": None}

    def evaluate(_: Objective, step: int) -> dict[str, float]:
        logits = logits_of(network, [records[i] for i in held_out.tolist()], positions)
        loss = _loss(logits, labels[held_out], code, weight, positive)
        if loss < best["loss"]:
            best["loss"], best["weights"] = loss, copy.deepcopy(network.state_dict())
        return {"val_loss": loss}

    data = LabelledRecords(
        [r.values for r in chosen], labels[rows], valid=[r.valid for r in chosen]
    )
    stops = bool(held_out.size)
    result = train(
        objective,
        data,
        config,
        evaluate=evaluate if stops else None,
        every=per_epoch,
        monitor="val_loss" if stops else None,
        mode="min",
        patience=protocol.patience if stops else None,
        progress=progress,
    )
    network.to("cpu").eval()
    if best["weights"] is not None:
        network.load_state_dict(best["weights"])
    return result


def logits_of(
    network: nn.Module, records: Sequence[Prepared], positions: torch.Tensor
) -> NDArray[np.float32]:
    """Logits (n, K) of records of the network's length, on the network's device.

    Raises
    ------
    DataError
        If there is no record, or one has another length.
    """
    if not records:
        raise DataError("expected at least 1 record, got 0")
    device = next(network.parameters()).device
    parts = []
    with torch.no_grad():
        for start in range(0, len(records), BATCH):
            some = list(records[start : start + BATCH])
            full = some + some[:1] * (BATCH - len(some))
            logits = network(stack(full, positions).to(device))
            parts.append(logits[: len(some)].float().cpu().numpy())
    return np.concatenate(parts)


def channel_features(
    jepa: MaskedJEPA, records: Sequence[Prepared], positions: torch.Tensor, *, local: bool
) -> NDArray[np.float32]:
    """Frozen tokens of each channel averaged over time, side by side.

    Parameters
    ----------
    jepa : MaskedJEPA
        In eval mode, on the CPU.
    records : sequence of Prepared
        Lengths may differ.
    positions : Tensor, shape (C, 3)
    local : bool
        Of the local encoder, not of the contextual one.

    Returns
    -------
    ndarray, shape (n, C D)
    """
    parts = []
    with torch.inference_mode():
        for _, same in groupby(records, lambda r: (r.values.shape[-1], bool(r.valid.all()))):
            own = list(same)
            for start in range(0, len(own), BATCH):
                some = own[start : start + BATCH]
                x = stack(some + some[:1] * (BATCH - len(some)), positions)
                tokens = jepa.encoder.local_features(x) if local else jepa.encode(x)
                means = tokens.unflatten(1, (len(positions), -1)).mean(dim=2)
                parts.append(means[: len(some)].flatten(1))
    return torch.cat(parts).numpy()


def stack(records: Sequence[Prepared], positions: torch.Tensor) -> Signals:
    """Records of one length as a batch.

    Raises
    ------
    DataError
        If lengths differ.
    """
    lengths = {r.values.shape[-1] for r in records}
    if len(lengths) > 1:
        raise DataError(
            f"expected records of one length, got {min(lengths)} to {max(lengths)} samples: cut "
            "epochs of one length"
        )
    valid = np.stack([r.valid for r in records])
    values = torch.from_numpy(np.stack([r.values for r in records]))
    return Signals(values, positions, None if valid.all() else torch.from_numpy(valid))


def _split(
    labels: NDArray, groups: Sequence[object] | None, protocol: Protocol, seed: int
) -> tuple[NDArray, NDArray]:
    """Records to train on and to stop by; those of which no label is known are left out."""
    known = ~np.isnan(labels).all(axis=1) if labels.ndim == 2 else np.ones(len(labels), dtype=bool)
    rows = np.flatnonzero(known)
    if protocol.patience is None or len(rows) < MIN_HELD_OUT:
        return rows, rows[:0]
    own = rows if groups is None else np.asarray(groups)[rows]
    n_splits = max(2, round(1 / protocol.validation_fraction))
    if len(set(own.tolist())) < n_splits:
        return rows, rows[:0]
    train_rows, held = patient_folds(own, labels[rows], n_splits=n_splits, random_state=seed)[0]
    return rows[train_rows], rows[held]


def _loss(
    logits: NDArray[np.float32],
    labels: NDArray,
    code: LabelCode,
    weight: torch.Tensor | None,
    positive: torch.Tensor | None,
) -> float:
    """Mean loss of the held-out records, over their known labels, weighted as in training."""
    out = torch.from_numpy(logits)
    if not code.columns:
        return float(F.cross_entropy(out, torch.from_numpy(labels), weight=weight))
    there = torch.from_numpy(~np.isnan(labels))
    target = torch.from_numpy(np.nan_to_num(labels)).to(out.dtype)
    each = F.binary_cross_entropy_with_logits(
        out, target, weight=weight, pos_weight=positive, reduction="none"
    )
    return float(each[there].mean())


def _channels(sample: LabelledRecord) -> NDArray[np.bool_]:
    there = sample.valid
    return np.ones(sample.values.shape[0], dtype=bool) if there is None else there
