"""Training with labels: a network and a loss as an Objective, for probing and fine-tuning.

Losses are sums and counts of *known* labels, so that missing labels, ragged micro-batches and
several processes give the same gradient. Letters: B batch, K outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine.distributed import world_size
from biojepa.engine.labelled import Augment, CropCollator, SupervisedBatch
from biojepa.engine.loader import Collator
from biojepa.engine.objective import Losses, Objective, ParamGroup, split_by_decay
from biojepa.engine.signals import Signals
from biojepa.engine.step import StepInfo
from biojepa.errors import ConfigError, DataError

SupervisedLoss = Literal["bce", "ce", "mse"]
_PREFIX = "network."


class SupervisedHead(Objective):
    """Fit a network's outputs to labels.

    Parameters
    ----------
    network : nn.Module
        `network(Signals) -> (B, K)`. With an attribute `encoder` it can `encode`.
    loss : {"bce", "ce", "mse"}
        - "bce": K columns of 0/1 labels, each known or NaN;
        - "ce": one of K classes, as an index (B,), negative or NaN if unknown, or one-hot (B, K),
          a row with a NaN being unknown;
        - "mse": real numbers (B,) for K = 1 or (B, K), each known or NaN.
    class_weight : Tensor, shape (K,), optional
        Factor on each class. "ce" divides by the sum of the weights of the records' classes, "bce"
        by the number of known labels, as torch's own losses do.
    pos_weight : Tensor, shape (K,), optional
        Factor on the positives of each column, for "bce".
    frozen : sequence of str
        Modules of the network, such as `"encoder"`, that are not trained; they stay in eval mode
        also after `.train()`.
    layer_decay : float
        The learning rate of a parameter is scaled by `layer_decay ** (deepest - depth)`.
    depth_of : callable (str) -> int, optional
        Depth of a parameter of the network by its name, 0 at the input.
    late : mapping of str to int, optional
        Modules of the network that do not move before so many steps: a warm-up of the rest.
    crop : int, optional
        Random crops of so many samples; see `CropCollator`.
    augment : callable (Signals, BatchKey) -> Signals, optional
    collator : Collator, optional
        In place of crops: makes a `SupervisedBatch` of what the data source fetches.

    Raises
    ------
    ConfigError
        If a setting is unknown or out of range, settings do not go together, or everything is
        frozen.

    Notes
    -----
    A step in which no label is known has no loss and is skipped by the loop's guard.
    """

    network: Any
    class_weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        network: nn.Module,
        *,
        loss: SupervisedLoss,
        class_weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        frozen: Sequence[str] = (),
        layer_decay: float = 1.0,
        depth_of: Callable[[str], int] | None = None,
        late: Mapping[str, int] | None = None,
        crop: int | None = None,
        augment: Augment | None = None,
        collator: Collator | None = None,
    ) -> None:
        super().__init__()
        if loss not in get_args(SupervisedLoss):
            raise ConfigError(f"expected loss in {get_args(SupervisedLoss)}, got {loss!r}")
        if (class_weight is not None and loss == "mse") or (
            pos_weight is not None and loss != "bce"
        ):
            raise ConfigError(
                f"expected class_weight with 'bce' or 'ce' and pos_weight with 'bce', got {loss!r}"
            )
        if not 0 < layer_decay <= 1 or (layer_decay < 1 and depth_of is None):
            raise ConfigError(
                f"expected 0 < layer_decay <= 1, and depth_of below 1, got {layer_decay}"
            )
        self.network = network
        self.loss: SupervisedLoss = loss
        self.frozen = tuple(frozen)
        self.layer_decay, self.depth_of = layer_decay, depth_of
        self.late = dict(late or {})
        self._collator: Collator = collator or CropCollator(crop, augment)
        self.register_buffer("class_weight", class_weight, persistent=False)
        self.register_buffer("pos_weight", pos_weight, persistent=False)
        for part in self._frozen_modules():
            part.requires_grad_(False)
        if not any(p.requires_grad for p in network.parameters()):
            raise ConfigError(
                f"expected something to train, got a network with {list(self.frozen)} frozen"
            )
        self.train()

    def train(self, mode: bool = True) -> SupervisedHead:
        """Set the mode; frozen modules stay in eval mode."""
        super().train(mode)
        for part in self._frozen_modules():
            part.eval()
        return self

    def before_step(self, info: StepInfo) -> None:
        """No gradients for what does not move yet; several processes expect the same all along."""
        if world_size() == 1:
            for name, start in self.late.items():
                self.network.get_submodule(name).requires_grad_(info.step >= start)

    def collator(self) -> Collator:
        """Random crops, or what was given."""
        return self._collator

    def forward(self, batch: SupervisedBatch, rng: torch.Generator) -> Losses:
        """The loss over known labels.

        Raises
        ------
        DataError
            If outputs and labels do not match.
        """
        return Losses({"label": self.loss_of(self.network(batch.signals), batch.labels)})

    def counts(self, batch: SupervisedBatch) -> dict[str, float]:
        """Known labels of the batch; for weighted classes the sum of their weights."""
        if self.loss != "ce":
            return {"label": float((~batch.labels.isnan()).sum())}
        index = _class_index(batch.labels)
        known = index[index >= 0]
        if self.class_weight is None:
            return {"label": float(len(known))}
        return {"label": float(self.class_weight[known.to(self.class_weight.device)].sum())}

    def encode(self, x: Signals, *, layer: int = -1) -> Tensor:
        """Tokens (B, N, D) of the network's encoder."""
        encoder = self.network.encoder
        valid = encoder.token_valid(x) if hasattr(encoder, "token_valid") else None
        return encoder.contextualise(encoder.embed(x), valid=valid, layer=layer)

    def param_groups(self, recipe: Any = None) -> list[ParamGroup]:
        """Decay or not, by depth if there is a layer decay, and by the step they start at."""
        groups = split_by_decay(self)
        decay = self.depth_of if self.layer_decay < 1.0 else None
        if decay is None and not self.late:
            return groups
        names = [name for name, _ in self.network.named_parameters()]
        deepest = 0 if decay is None else max(decay(name) for name in names)
        parts: dict[tuple[int, bool, int], ParamGroup] = {}
        for group in groups:
            for name, parameter in zip(group.names, group.params, strict=True):
                own = name.removeprefix(_PREFIX)
                depth = deepest if decay is None else decay(own)
                start = max((s for m, s in self.late.items() if own.startswith(f"{m}.")), default=0)
                scale = self.layer_decay ** (deepest - depth)
                fresh = ParamGroup([], decay=group.decay, lr_scale=scale, frozen_until=start)
                place = parts.setdefault((depth, group.decay, start), fresh)
                place.params.append(parameter)
                place.names.append(name)
        return [parts[key] for key in sorted(parts)]

    def diagnose(self, batch: SupervisedBatch, rng: torch.Generator) -> dict[str, float]:
        """Nothing: labels tell how it goes; give `train` an `evaluate`."""
        return {}

    def export_state(self) -> dict[str, Tensor]:
        """The network's weights."""
        return {name: value.detach() for name, value in self.network.state_dict().items()}

    def _frozen_modules(self) -> list[nn.Module]:
        try:
            return [self.network.get_submodule(name) for name in self.frozen]
        except AttributeError as error:
            raise ConfigError(f"expected frozen modules of the network: {error}") from error

    def loss_of(self, outputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor | float]:
        """Sum of the loss over known labels, and what it counts; raises as `forward`."""
        if outputs.dtype in (torch.float16, torch.bfloat16):
            outputs = outputs.float()
        if self.loss == "ce":
            index = _class_index(labels)
            if len(index) != len(outputs) or (labels.ndim == 2 and labels.shape != outputs.shape):
                raise DataError(_mismatch(outputs, labels))
            total = F.cross_entropy(
                outputs, index, weight=self.class_weight, ignore_index=-1, reduction="sum"
            )
            weight = outputs.new_ones(outputs.shape[1])
            if self.class_weight is not None:
                weight = self.class_weight
            return total, weight[index[index >= 0]].sum()
        if labels.ndim == 1 and outputs.shape == (len(labels), 1):
            labels = labels[:, None]
        if labels.shape != outputs.shape:
            raise DataError(_mismatch(outputs, labels))
        known = ~labels.isnan()
        target = torch.where(known, labels, 0.0).to(outputs.dtype)
        if self.loss == "mse":
            each = F.mse_loss(outputs, target, reduction="none")
        else:
            each = F.binary_cross_entropy_with_logits(
                outputs,
                target,
                weight=self.class_weight,
                pos_weight=self.pos_weight,
                reduction="none",
            )
        return torch.where(known, each, 0.0).sum(), known.sum()


def _class_index(labels: Tensor) -> Tensor:
    """Class of each record, (B,), -1 if unknown."""
    if labels.ndim == 2:
        index = labels.nan_to_num().argmax(dim=1)
        return torch.where(labels.isnan().any(dim=1), -1, index)
    if labels.is_floating_point():
        labels = torch.where(labels.isnan(), -1.0, labels)
    return labels.long().clamp(min=-1)


def _mismatch(outputs: Tensor, labels: Tensor) -> str:
    return (
        f"expected labels for outputs of shape {tuple(outputs.shape)}, got labels of shape "
        f"{tuple(labels.shape)}"
    )
