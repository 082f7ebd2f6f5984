"""Settings of a training run; every field is a command-line option of the same name."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any

from biojepa.engine.schedules import WarmupCosine
from biojepa.errors import ConfigError

# float16 would need a loss scale, whose skipped steps and state are no function of the step
PRECISIONS = ("32-true", "bf16-mixed", "64-true")
STRATEGIES = ("auto", "ddp", "fsdp")


@dataclass(frozen=True)
class TrainConfig:
    """How an Objective is trained.

    Parameters
    ----------
    steps : int
        Optimiser steps.
    batch_size : int
        Records per optimiser step, over all processes and micro-batches.
    accumulate : int
        Micro-batches a step is split into; saves memory, changes batch statistics only.
    lr, warmup_lr, final_lr : float
        Peak, start of the warm-up, end of the cosine.
    warmup_steps : int
    weight_decay, final_weight_decay : float
        Start and end of a cosine; None keeps the start.
    beta1, beta2, eps : float
        Of AdamW.
    schedule_horizon : float
        Length of the schedules in multiples of `steps` (V-JEPA: 1.25).
    clip : float
        Largest gradient norm of each clip group; 0 is off.
    precision : {"32-true", "bf16-mixed", "64-true"}
    device : {"auto", "cpu", "cuda", "mps"}
    devices, num_nodes : int
        Processes on this machine, and machines.
    strategy : {"auto", "ddp", "fsdp"}
        `fsdp` shards weights and optimiser with FSDP2.
    compile : bool
        Compile the transformer blocks with torch.compile.
    recompute : bool
        Make the hidden layers of the transformers' MLPs again in the backward pass: a third of the
        activations' memory less for a few per cent of the time, and the same result.
    workers : int
        Loader processes; 0 is right for memory-mapped stores.
    seed : int
    log_every, diagnose_every, checkpoint_every : int
        In steps; `diagnose_every=0` switches diagnostics off.
    diagnose_records : int
        Records in the batch that diagnostics are computed on.
    keep_last : int
        Checkpoints that are kept besides the best one.
    max_skipped : int
        Consecutive non-finite steps after which training stops with an error.
    collapse_patience : int
        Consecutive bad diagnostics before the collapse alarm.
    stop_on_collapse : bool
        Stop with an error instead of a warning.
    tensorboard : bool
        Also write TensorBoard events.
    """

    steps: int = 1000
    batch_size: int = 64
    accumulate: int = 1
    lr: float = 1e-3
    warmup_lr: float = 1e-6
    final_lr: float = 1e-6
    warmup_steps: int = 100
    weight_decay: float = 0.01
    final_weight_decay: float | None = None
    beta1: float = 0.9
    beta2: float = 0.99
    eps: float = 1e-6
    schedule_horizon: float = 1.0
    clip: float = 0.0
    precision: str = "32-true"
    device: str = "auto"
    devices: int = 1
    num_nodes: int = 1
    strategy: str = "auto"
    compile: bool = False
    recompute: bool = False
    workers: int = 0
    seed: int = 0
    log_every: int = 10
    diagnose_every: int = 100
    checkpoint_every: int = 1000
    diagnose_records: int = 256
    keep_last: int = 2
    max_skipped: int = 20
    collapse_patience: int = 3
    stop_on_collapse: bool = False
    tensorboard: bool = False

    def __post_init__(self) -> None:
        self._check_types()
        counts = ["steps", "batch_size", "accumulate", "devices", "num_nodes", "keep_last"]
        counts += ["log_every", "checkpoint_every", "diagnose_records", "max_skipped"]
        for name in counts:
            if getattr(self, name) < 1:
                raise ConfigError(f"expected {name} >= 1, got {getattr(self, name)}")
        amounts = ["lr", "warmup_lr", "final_lr", "weight_decay", "clip", "eps"]
        for name in [*amounts, "warmup_steps", "diagnose_every", "workers", "seed"]:
            if not 0 <= getattr(self, name) < float("inf"):
                raise ConfigError(f"expected a finite {name} >= 0, got {getattr(self, name)}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ConfigError(f"expected 0 <= beta < 1, got {self.beta1} and {self.beta2}")
        if self.precision not in PRECISIONS:
            raise ConfigError(f"expected precision in {PRECISIONS}, got {self.precision!r}")
        if self.strategy not in STRATEGIES:
            raise ConfigError(f"expected strategy in {STRATEGIES}, got {self.strategy!r}")
        if self.warmup_steps >= self.steps > 1:
            raise ConfigError(
                f"expected warmup_steps below steps={self.steps}, got {self.warmup_steps}"
            )

    def _check_types(self) -> None:
        """Refuse values of another type, as files may hold them, before they are compared."""
        kinds = {bool: "true or false", Integral: "a whole number", Real: "a number", str: "text"}
        for f in fields(self):
            value = getattr(self, f.name)
            optional = f.name == "final_weight_decay"
            kind = {bool: bool, int: Integral, str: str}.get(type(f.default), Real)
            good = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
            if not good and not (optional and value is None):
                raise ConfigError(f"expected {kinds[kind]} as {f.name}, got {value!r}")

    def lr_at(self, step: int) -> float:
        """Learning rate of a step."""
        schedule = WarmupCosine(
            self.lr, self.final_lr, warmup_steps=self.warmup_steps, warmup_from=self.warmup_lr
        )
        return schedule(step, round(self.steps * self.schedule_horizon))

    def weight_decay_at(self, step: int) -> float:
        """Weight decay of a step."""
        if self.final_weight_decay is None:
            return self.weight_decay
        schedule = WarmupCosine(
            self.weight_decay, self.final_weight_decay, warmup_steps=0, warmup_from=0.0
        )
        return schedule(step, round(self.steps * self.schedule_horizon))


FREE_TO_CHANGE = frozenset(
    {"workers", "device", "log_every", "checkpoint_every", "keep_last", "tensorboard", "compile"}
    | {"recompute"}
    | {"max_skipped", "collapse_patience", "stop_on_collapse"}
)  # settings that do not enter the result of a run


def changed_settings(before: dict[str, Any], now: TrainConfig) -> list[str]:
    """Settings that differ and would make a resumed run another run, as `name: a -> b`."""
    current = asdict(now)
    return [
        f"{f.name}: {before[f.name]} -> {current[f.name]}"
        for f in fields(TrainConfig)
        if f.name in before and f.name not in FREE_TO_CHANGE and before[f.name] != current[f.name]
    ]
