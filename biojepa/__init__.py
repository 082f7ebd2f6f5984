"""Joint-embedding predictive pretraining for biosignals.

`import biojepa` loads nothing heavy: each room (`biojepa.ecg`, `biojepa.data`, ...) is imported
when it is first named.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

__version__ = "0.1.0"

_ROOMS = (
    "data",
    "ecg",
    "engine",
    "errors",
    "estimators",
    "evaluation",
    "extras",
    "fmri",
    "layers",
    "plotting",
)


def __getattr__(name: str) -> ModuleType:
    """Import a room when it is first named, so that `biojepa.ecg` needs no import of its own."""
    if name in _ROOMS:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
