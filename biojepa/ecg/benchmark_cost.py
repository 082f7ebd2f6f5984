"""What a pretraining would cost: steps, hours and memory, before it is started.

The speed of this machine is measured over a few steps of the recipe's own model. That of a GPU is
an assumption, printed as one: no GPU was at hand. Memory is counted: weights, gradients and
optimiser, and the tensors that a forward pass keeps for its backward pass.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from biojepa.data.records import ArrayRecords, Records, open_records
from biojepa.ecg.benchmark_data import BenchmarkData, Unlabelled
from biojepa.ecg.config import ECGModelConfig
from biojepa.ecg.pretrain import pretrain
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.devices import resolve_device

MEASURED_STEPS = 4
# windows a measured step: fewer of a large model, whose every window takes seconds on a laptop
MEASURED_BATCH, LEAST_BATCH = 8, 2
_MEASURED_FLOPS = 120e9  # ours: of a step, so that ViT-S still gets 8
# ours, an assumption: small transformers sustain a small part of a data-centre GPU's peak
GPU_TFLOPS = 20.0
_BYTES_TRAINED = 16  # weight, gradient and two moments of Adam in float32
_BYTES_COPY = 4  # the target encoder


@dataclass(frozen=True)
class Cost:
    """What a pretraining needs.

    Parameters
    ----------
    recipe, device : str
    n_records, steps, batch_size, micro_batch : int
    samples_per_s : float
        Measured here.
    measured_batch : int
        Windows of a measured step.
    flops_per_sample : float
    n_trained, n_copy : int
        Parameters that are trained, and of the target encoder.
    activation_bytes : float
        Kept per record of a micro-batch.
    """

    recipe: str
    device: str
    n_records: int
    steps: int
    batch_size: int
    micro_batch: int
    samples_per_s: float
    measured_batch: int
    flops_per_sample: float
    n_trained: int
    n_copy: int
    activation_bytes: float

    @property
    def samples(self) -> int:
        """Windows seen in all."""
        return self.steps * self.batch_size

    @property
    def hours_here(self) -> float:
        """On this machine."""
        return self.samples / self.samples_per_s / 3600

    @property
    def hours_gpu(self) -> float:
        """On the assumed GPU."""
        return self.samples * self.flops_per_sample / (GPU_TFLOPS * 1e12) / 3600

    @property
    def memory_bytes(self) -> float:
        """Of model, optimiser and one micro-batch."""
        fixed = _BYTES_TRAINED * self.n_trained + _BYTES_COPY * self.n_copy
        return fixed + self.activation_bytes * self.micro_batch

    def lines(self) -> list[str]:
        """For the screen."""
        passes = self.samples / self.n_records
        fixed = self.memory_bytes - self.activation_bytes * self.micro_batch
        return [
            f"recipe {self.recipe}: {self.steps:,} steps of {self.batch_size:,} records "
            f"({self.samples:,} windows, {passes:,.1f} passes over {self.n_records:,} records)",
            f"parameters: {self.n_trained:,} trained, {self.n_copy:,} in the target encoder",
            f"hours on this machine ({self.device}): {self.hours_here:,.1f} (measured: "
            f"{self.samples_per_s:.1f} windows a second over {MEASURED_STEPS - 1} steps of "
            f"{self.measured_batch}; other work on the machine counts against it)",
            f"hours on a GPU: {self.hours_gpu:,.1f} (assumed, not measured: {GPU_TFLOPS:g} TFLOP/s "
            f"sustained; {self.flops_per_sample / 1e9:.2f} GFLOP a window)",
            f"memory: {self.memory_bytes / 1e9:.1f} GB in micro-batches of {self.micro_batch:,} "
            f"({fixed / 1e9:.2f} GB model and optimiser, "
            f"{self.activation_bytes / 1e6:.1f} MB a window in float32); accumulate to need less",
        ]


def estimate_cost(
    recipe_name: str,
    data: BenchmarkData,
    pretraining: Unlabelled | None = None,
    *,
    steps: int | None = None,
) -> Cost:
    """Measure a few steps of a recipe and say what all of it would cost.

    Parameters
    ----------
    recipe_name : str
    data : BenchmarkData
        Its records are pretrained on if `pretraining` is None.
    pretraining : Unlabelled, optional
    steps : int, optional
        In place of the recipe's.

    Returns
    -------
    Cost

    Raises
    ------
    ConfigError
        If the recipe is unknown.
    """
    recipe = get_recipe(recipe_name)
    # the model's own sizes, those of the recipe; the leads of the records may be fewer
    affordable = int(_MEASURED_FLOPS / flops_per_window(recipe.model))
    batch = max(LEAST_BATCH, min(MEASURED_BATCH, affordable))
    if pretraining is None:
        few: Records = ArrayRecords(
            data.labelled.X[: 4 * batch],
            fs=data.rate_hz,
            channels=data.leads,
            units="mV",
        )
        n_records = len(data)
    else:
        X = pretraining.X
        X = X[: 4 * batch] if isinstance(X, np.ndarray) else X
        few = open_records(
            X, fs=pretraining.rate_hz, channels=pretraining.leads, units=pretraining.units
        )
        n_records = len(pretraining)
    train = replace(
        recipe.train,
        steps=MEASURED_STEPS,
        batch_size=batch,
        accumulate=1,
        warmup_steps=1,
        log_every=1,
        diagnose_every=0,
    )
    counter = _SavedBytes()
    with torch.autograd.graph.saved_tensors_hooks(counter.pack, _same):
        pretrain(few, recipe, training=replace(train, steps=1, warmup_steps=0), progress=False)
    fitted = pretrain(few, recipe, training=train, progress=False)
    speed = statistics.median(row["samples_per_s"] for row in fitted.result.rows[1:])
    trained = sum(p.numel() for p in fitted.jepa.parameters() if p.requires_grad)
    everything = sum(p.numel() for p in fitted.jepa.parameters())
    return Cost(
        recipe=recipe.name,
        device=resolve_device(recipe.train.device),
        n_records=n_records,
        steps=steps or recipe.train.steps,
        batch_size=recipe.train.batch_size,
        micro_batch=recipe.train.batch_size // recipe.train.accumulate,
        samples_per_s=speed,
        measured_batch=batch,
        flops_per_sample=flops_per_window(fitted.config),
        n_trained=trained,
        n_copy=everything - trained,
        activation_bytes=counter.n_bytes / batch,
    )


def flops_per_window(config: ECGModelConfig) -> float:
    """Floating-point operations of one training step a window, counted from the sizes.

    Two for each weight and token (multiply and add) and for both products of attention; forward and
    backward of the context encoder and the predictor, forward alone of the target encoder.

    Parameters
    ----------
    config : ECGModelConfig
    """
    n_tokens = config.n_tokens
    n_context = n_tokens * sum(config.keep) / 2
    encoder = (config.dim, config.depth)
    predictor = (config.pred_dim, config.pred_depth)
    patches = 2 * n_tokens * config.dim * len(config.leads) * config.patch
    ends = 2 * n_tokens * 2 * config.dim * config.pred_dim
    target = _blocks(*encoder, n_tokens, config.mlp_ratio) + patches
    context = _blocks(*encoder, n_context, config.mlp_ratio) + patches * sum(config.keep) / 2
    guess = _blocks(*predictor, n_tokens, config.mlp_ratio) + ends
    return target + 3 * (context + guess)


def _blocks(dim: int, depth: int, n_tokens: float, mlp_ratio: float) -> float:
    weights = dim * dim * (4 + 2 * mlp_ratio)
    return depth * (2 * n_tokens * weights + 4 * n_tokens**2 * dim)


class _SavedBytes:
    """Counts the tensors that autograd keeps, each storage once, parameters left out."""

    def __init__(self) -> None:
        self.n_bytes = 0
        self._seen: set[int] = set()

    def pack(self, tensor: Tensor) -> Tensor:
        """Count and keep."""
        base = tensor._base if tensor._base is not None else tensor
        storage = tensor.untyped_storage()
        if not isinstance(base, nn.Parameter) and storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.n_bytes += storage.nbytes()
        return tensor


def _same(tensor: Tensor) -> Tensor:
    return tensor
