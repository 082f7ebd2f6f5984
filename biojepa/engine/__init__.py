"""The engine: Objectives, masked prediction, momentum targets, one training loop.

It knows no modality and no labels.
"""

from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.objective import Losses, Objective
from biojepa.engine.signals import MaskPlan, Signals
from biojepa.engine.target import Target
from biojepa.engine.train import TrainResult, train

__all__ = [
    "Losses",
    "MaskPlan",
    "MaskedJEPA",
    "Objective",
    "Signals",
    "Target",
    "TrainConfig",
    "TrainResult",
    "train",
]
