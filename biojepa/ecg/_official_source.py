"""Where a loaded model came from, kept beside the model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

Layout = Literal["full", "minified", "classifier"]


@dataclass(frozen=True)
class Source:
    """What a model was loaded from; see `source_of`.

    Parameters
    ----------
    layout : {"full", "minified", "classifier"}
    config : dict
        The file's own settings.
    step : int or None
        Of the pretraining.
    missing : tuple of str
        Keys of the model that the file does not have.
    dropped : tuple of str
        Keys of the file that the model does not have.
    notes : tuple of str
        What was done about either, in sentences.
    eval_config, preprocess : dict or None
        Of a classifier; `preprocess` holds `mean` and `std` by lead, millivolt.
    task : str or None
        Of a classifier.
    """

    layout: Layout
    config: dict[str, Any]
    step: int | None = None
    missing: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    eval_config: dict[str, Any] | None = None
    preprocess: dict[str, Any] | None = field(default=None, compare=False)
    task: str | None = None


def source_of(model: nn.Module) -> Source | None:
    """What `load` or `load_classifier` read this model from; None for others."""
    return model.__dict__.get("official_source")


def remember(model: nn.Module, source: Source) -> None:
    """Keep the source beside the model; it is no parameter and survives pickling."""
    model.__dict__["official_source"] = source
