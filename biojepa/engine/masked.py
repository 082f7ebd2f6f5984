"""Masked joint-embedding prediction: one class for every method that predicts hidden tokens.

    context tokens = context encoder(visible tokens)
    loss = distance(predictor(context tokens, positions), target encoder(all tokens)[hidden])

Serves ECG-JEPA (arXiv 2410.13867), Signal-JEPA (2403.11772), Brain-JEPA (2409.19407), I-JEPA
(2301.08243), V-JEPA (2404.08471) and CNN-JEPA (2408.07514): it is assembled from an encoder, a
predictor, a sampler and a `Target`, not subclassed.

Shapes: B batch, N tokens, K context tokens, M targets, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from biojepa.engine.checkpoint import load_weights, whole_tensor
from biojepa.engine.diagnostics import lidar, prediction_skill
from biojepa.engine.losses import LossKind, Unit, token_loss
from biojepa.engine.masked_batch import (
    MaskedBatch,
    MaskedCollator,
    Sampler,
    few_targets,
    sampler_for,
)
from biojepa.engine.momentum import Momentum, momentum_copy
from biojepa.engine.objective import Losses, Objective, embedding_health
from biojepa.engine.randomness import BatchKey
from biojepa.engine.record_head import RecordHead
from biojepa.engine.regularisers import Regulariser
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.step import StepInfo
from biojepa.engine.target import Target
from biojepa.errors import ConfigError
from biojepa.layers.gather import gather_tokens
from biojepa.layers.pooling import pool_tokens
from biojepa.layers.trunk import Trunk

_UNITS: dict[str, Unit] = {"tokens": "token", "sets": "record", "groups": "group"}
LIDAR_RECORDS, LIDAR_VIEWS = 64, 8  # ours: enough for D <= 128, see generative_theory C


@dataclass
class Prediction:
    """What `MaskedJEPA.predict` returns.

    Parameters
    ----------
    pred, target : list of list of Tensor (B, M, D)
        Plan by plan, then target set by target set.
    loss : Tensor, scalar
        The prediction loss alone.
    context : list of Tensor (B, K, D)
        Output of the context encoder, plan by plan.
    losses : Losses
        The same loss as the loop sees it.
    whole : Tensor (B, N, D)
        All target tokens; those asked for alone, (B, M, D), where they are one set and few.
    """

    pred: list[list[Tensor]]
    target: list[list[Tensor]]
    loss: Tensor
    context: list[Tensor]
    losses: Losses
    whole: Tensor


class MaskedJEPA(Objective):
    """Predict the target encoder's output at hidden tokens from the visible ones.

    Parameters
    ----------
    encoder : nn.Module
        With `embed(Signals) -> (B, N, D)` and
        `contextualise(tokens, keep=None, valid=None, last=1, layer=-1) -> (B, K, D)`; optionally
        `token_valid(Signals) -> (B, N)` and, for `Target(of="contextual")`, a submodule
        `contextual` with a `contextualise` of its own.
    predictor : nn.Module
        `predictor(context, context_index, target_index, kind) -> (B, M, D)`; one whose
        `takes_positions` is true is also given the batch's positions and the number of tokens.
    sampler : Sampler
    target : Target
    loss : {"l1", "smooth_l1", "mse", "cosine"}
    average : {"tokens", "sets", "groups"}
        Every target token counts alike; or every target set of every record; or, within these,
        every group of targets that the sampler names.
    regulariser : Regulariser, optional
        Keeps the context encoder's output from collapsing; returns its weighted term.
    record_head : RecordHead, optional
        Also predicts the record's mean target, as a part "record" of the loss.
    downstream : {"target", "context"}
        Which network `encode` uses.
    augment : callable, optional
        Given to the collator.
    """

    encoder: Any
    predictor: Any
    target_encoder: Any

    def __init__(
        self,
        encoder: nn.Module,
        predictor: nn.Module,
        sampler: Sampler,
        *,
        target: Target | None = None,
        loss: LossKind = "l1",
        average: str = "tokens",
        regulariser: Regulariser | None = None,
        record_head: RecordHead | None = None,
        downstream: str = "target",
        augment: Callable[[Signals, BatchKey], Signals] | None = None,
    ) -> None:
        super().__init__()
        if average not in _UNITS or downstream not in ("target", "context"):
            raise ConfigError(
                f"expected average in {tuple(_UNITS)} and downstream 'target' or 'context', got "
                f"{average!r} and {downstream!r}"
            )
        self.encoder, self.predictor, self.sampler = encoder, predictor, sampler
        self.target = target or Target()
        self.loss, self.average, self.downstream = loss, average, downstream
        self.regulariser, self.augment, self.record_head = regulariser, augment, record_head
        if self.target.of == "signal" and downstream == "target":
            raise ConfigError(
                "expected downstream 'context' with Target(of='signal'), which has no target "
                "encoder, got 'target'"
            )
        self.target_encoder = None if self.target.of == "signal" else momentum_copy(self._copied())
        self.train()

    def _copied(self) -> nn.Module:
        return self.encoder if self.target.of == "all" else self.encoder.contextual

    def train(self, mode: bool = True) -> MaskedJEPA:
        """Set the mode; the momentum copy stays in the mode of its `Target`."""
        super().train(mode)
        if self.target_encoder is not None:
            self.target_encoder.train(mode and self.target.mode == "train")
        return self

    def collator(self) -> MaskedCollator:
        """Draws the masks."""
        return MaskedCollator(self.sampler, self.augment)

    def momentum_copies(self) -> dict[str, Momentum]:
        """The target encoder, if there is one."""
        if self.target_encoder is None:
            return {}
        t = self.target
        copy = Momentum(self._copied(), self.target_encoder, t.momentum, update=t.update, per=t.per)
        return {"target_encoder": copy}

    def before_forward(self, info: StepInfo) -> None:
        """Move the target encoder if it moves before the forward pass."""
        for copy in self.momentum_copies().values():
            copy.before_forward(info)

    def after_step(self, info: StepInfo) -> None:
        """Move the target encoder if it moves after the step."""
        for copy in self.momentum_copies().values():
            copy.after_step(info)

    @property
    def downstream_encoder(self) -> Any:
        """The network whose features are used; a contextual copy has no `embed` of its own."""
        return self.target_encoder if self.downstream == "target" else self.encoder

    @property
    def embedder(self) -> Any:
        """The network whose `embed` belongs to the downstream encoder."""
        return self.downstream_encoder if self.target.of == "all" else self.encoder

    def encode(self, x: Signals, *, layer: int = -1) -> Tensor:
        """Tokens (B, N, D) of the downstream network for whole, unmasked signals."""
        tokens = self.embedder.embed(x)
        return self.downstream_encoder.contextualise(tokens, valid=self._valid(x), layer=layer)

    def export_state(self) -> dict[str, Tensor]:
        """Weights of the encoder (those of the downstream network) and of the predictor."""
        encoder = dict(self.encoder.state_dict())
        if self.downstream == "target":
            copied = self._copied()
            prefix = "" if copied is self.encoder else "contextual."
            for name, value in self.target_encoder.state_dict().items():
                encoder[prefix + name] = value
        state = {f"encoder.{name}": value for name, value in encoder.items()}
        state |= {f"predictor.{name}": v for name, v in self.predictor.state_dict().items()}
        return {name: whole_tensor(value.detach()) for name, value in state.items()}

    def load_export(self, state: dict[str, Tensor], *, where: str) -> None:
        """Take weights of `export_state`; the target encoder starts as the encoder.

        Raises
        ------
        CheckpointError
            If they are of another model; the message names the first key.
        """
        for part in ("encoder", "predictor"):
            own = {
                k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")
            }
            load_weights(getattr(self, part), own, where=where)
        if self.target_encoder is not None:
            self.target_encoder.load_state_dict(self._copied().state_dict())

    def predict(self, x: Signals, plans: MaskPlan | Sequence[MaskPlan]) -> Prediction:
        """Predictions, targets and loss under given plans; no draw is made.

        Parameters
        ----------
        x : Signals
        plans : MaskPlan or sequence of MaskPlan

        Returns
        -------
        Prediction
        """
        plans = [plans] if isinstance(plans, MaskPlan) else list(plans)
        valid = self._valid(x)
        tokens = self.encoder.embed(x)
        alone = isinstance(self.target_encoder, Trunk) and self.target.layers == 1
        only = few_targets(plans, tokens.shape[1]) if alone and self.record_head is None else None
        whole = self._target_tokens(x, tokens, valid, only)
        preds: list[list[Tensor]] = []
        targets: list[list[Tensor]] = []
        contexts, sums, counts = [], [], []
        for plan in plans:
            seen = _both(plan.context_valid, valid, plan.context)
            context = self.encoder.contextualise(tokens, keep=plan.context, valid=seen)
            contexts.append(context)
            preds.append([])
            targets.append([])
            for i, index in enumerate(plan.targets):
                ask = _both(plan.valid_targets(i), valid, index)
                extra: dict[str, Any] = {}
                if seen is not None or ask is not None:
                    extra = {"context_valid": seen, "target_valid": ask}
                if getattr(self.predictor, "takes_positions", False):
                    extra |= {"positions": x.positions, "n_tokens": tokens.shape[1]}
                pred = self.predictor(context, plan.context, index, plan.kind, **extra)
                hidden = whole if only is not None else gather_tokens(whole, index)
                total, count = token_loss(
                    pred,
                    hidden,
                    kind=self.loss,
                    valid=ask,
                    unit=_UNITS[self.average],
                    group=None if plan.groups is None else plan.groups[i],
                )
                preds[-1].append(pred)
                targets[-1].append(hidden)
                sums.append(total)
                counts.append(count)
        parts = {"prediction": (sum(sums[1:], sums[0]), sum(counts[1:], counts[0]))}
        losses = Losses(parts)
        return Prediction(preds, targets, losses.total(), contexts, losses, whole)

    def forward(self, batch: MaskedBatch, rng: torch.Generator) -> Losses:
        """Prediction loss of the batch's plans, and what the regulariser and record head add."""
        prediction = self.predict(batch.signals, batch.plans)
        parts, weights = dict(prediction.losses.parts), {}
        valid = self._valid(batch.signals)
        seen = [_both(plan.context_valid, valid, plan.context) for plan in batch.plans]
        views = list(zip(prediction.context, seen, strict=True))
        if self.regulariser is not None:
            terms = [self.regulariser(context, rng, used) for context, used in views]
            parts["regulariser"] = (torch.stack(terms).mean(), 1.0)
        if self.record_head is not None:
            sums = [
                self.record_head(context, prediction.whole, context_valid=used, target_valid=valid)
                for context, used in views
            ]
            parts["record"] = (torch.stack(sums).sum(), float(len(batch) * len(views)))
            weights["record"] = self.record_head.weight
        return Losses(parts, weights)

    def counts(self, batch: MaskedBatch) -> dict[str, float]:
        """Target tokens (or sets times samples) of this batch, and one for the regulariser."""
        valid = self._valid(batch.signals)
        count = 0.0
        for plan in batch.plans:
            for i, index in enumerate(plan.targets):
                ask = _both(plan.valid_targets(i), valid, index)
                if self.average != "tokens":
                    count += len(batch) if ask is None else int(ask.any(dim=1).sum())
                else:
                    count += index.numel() if ask is None else int(ask.sum())
        counts = {"prediction": count}
        if self.regulariser is not None:
            counts["regulariser"] = 1.0
        if self.record_head is not None:
            counts["record"] = float(len(batch) * len(batch.plans))
        return counts

    def diagnose(self, batch: MaskedBatch, rng: torch.Generator) -> dict[str, float]:
        """Embedding health, LiDAR over masks, and skill over a position-only baseline."""
        x = batch.signals
        valid = self._valid(x)
        values = embedding_health(pool_tokens(self.encode(x).float(), pool="mean", valid=valid))
        prediction = self.predict(x, batch.plans)
        skills = [
            prediction_skill(
                pred.float(), target.float(), index, _both(plan.valid_targets(i), valid, index)
            )
            for plan, preds, targets in zip(
                batch.plans, prediction.pred, prediction.target, strict=True
            )
            for i, (pred, target, index) in enumerate(
                zip(preds, targets, plan.targets, strict=True)
            )
        ]
        values["skill"] = float(torch.as_tensor(skills).mean())
        if len(x) >= 16:
            values["lidar"] = float(lidar(self._views(x, rng)))
        return values

    def _views(self, x: Signals, rng: torch.Generator) -> Tensor:
        """Pooled context embeddings of some records under several masks, (n, views, D)."""
        x = x.rows(slice(0, LIDAR_RECORDS))
        draws = np.random.default_rng(rng.initial_seed())
        valid, tokens = self._valid(x), self.encoder.embed(x)
        views = []
        for _ in range(LIDAR_VIEWS):
            plan = sampler_for(self.sampler, x)(len(x), draws)[0].to(tokens.device)
            seen = _both(plan.context_valid, valid, plan.context)
            out = self.encoder.contextualise(tokens, keep=plan.context, valid=seen)
            views.append(pool_tokens(out.float(), pool="mean", valid=seen))
        return torch.stack(views, dim=1)

    def _valid(self, x: Signals) -> Tensor | None:
        return self.encoder.token_valid(x) if hasattr(self.encoder, "token_valid") else None

    @torch.no_grad()
    def _target_tokens(
        self, x: Signals, tokens: Tensor, valid: Tensor | None, only: Tensor | None
    ) -> Tensor:
        """Normalised output of the target encoder (or patch) at every token, or at `only`."""
        if self.target.of == "signal":
            whole = self.encoder.patches(x)
        else:
            if self.target.of == "all":
                tokens = self.target_encoder.embed(x)
            extra = {"last": self.target.layers} if only is None else {"only": only}
            whole = self.target_encoder.contextualise(tokens.detach(), valid=valid, **extra)
        if self.target.norm == "layernorm":
            return F.layer_norm(whole.float(), whole.shape[-1:])
        if self.target.norm == "l2":
            return F.normalize(whole.float(), dim=-1)
        return whole


def _both(own: Tensor | None, valid: Tensor | None, index: Tensor) -> Tensor | None:
    """Validity (B, K) of a plan's positions: not padding, and a token with something in it."""
    if valid is None:
        return own
    there = valid.gather(1, index)
    return there if own is None else own & there
