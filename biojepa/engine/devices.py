"""One place where Lightning Fabric is made: devices, precision, processes, sharding."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import nn

from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError, DeviceError

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def resolve_device(device: str) -> str:
    """`"cpu"`, `"cuda"` or `"mps"` for a wish that may be `"auto"`.

    Raises
    ------
    DeviceError
        If the device is not there.
    ConfigError
        If the name is unknown.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    if device not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"expected device 'auto', 'cpu', 'cuda' or 'mps', got {device!r}")
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[device]:
        raise DeviceError(f"this machine has no {device} device: use device='cpu' or 'auto'")
    return device


def make_fabric(config: TrainConfig) -> Fabric:
    """Lightning Fabric for a run; imported here, since it costs seconds.

    Raises
    ------
    DeviceError, ConfigError
    """
    from lightning_fabric import Fabric
    from lightning_fabric.strategies.ddp import DDPStrategy
    from lightning_fabric.strategies.model_parallel import ModelParallelStrategy

    # its import switches its own chatter on; warnings still come through
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    accelerator = resolve_device(config.device)
    strategy: str | DDPStrategy | ModelParallelStrategy = "auto"
    several = config.devices * config.num_nodes > 1
    if config.strategy == "fsdp":
        ranks = config.devices * config.num_nodes
        strategy = ModelParallelStrategy(
            parallelize_fn=shard, data_parallel_size=ranks, tensor_parallel_size=1
        )
    elif several or config.strategy == "ddp":
        backend = "nccl" if accelerator == "cuda" else "gloo"
        strategy = DDPStrategy(process_group_backend=backend)
    if several and accelerator == "mps":
        raise ConfigError("expected devices=1 on MPS, which runs in one process")
    return Fabric(
        accelerator=accelerator,
        devices=config.devices,
        num_nodes=config.num_nodes,
        strategy=strategy,
        precision=cast(Any, config.precision),
    )


def shard(model: nn.Module, mesh: Any) -> nn.Module:
    """FSDP2: shard every transformer block, then the rest; copies are sharded as their source."""
    from torch.distributed.fsdp import fully_shard

    for part in model.modules():
        if getattr(part, "compile_unit", False):
            fully_shard(part, mesh=mesh["data_parallel"])
    fully_shard(model, mesh=mesh["data_parallel"])
    return model
