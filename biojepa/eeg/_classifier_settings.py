"""Which settings a `SignalJEPAClassifier` can have."""

from __future__ import annotations

from typing import Any, Literal, get_args

from biojepa.eeg.finetune import Protocol
from biojepa.eeg.heads import Architecture
from biojepa.errors import ConfigError
from biojepa.estimators.labels import check_class_weight

Regime = Literal["new", "full", "linear"]


def check_settings(estimator: Any) -> None:
    """Refuse what cannot be used, by name.

    Raises
    ------
    ConfigError
    """
    for name, kind in (("architecture", Architecture), ("regime", Regime)):
        if getattr(estimator, name) not in get_args(kind):
            raise ConfigError(
                f"expected {name} in {get_args(kind)}, got {getattr(estimator, name)!r}"
            )
    if estimator.regime == "linear" and estimator.architecture == "pre-local":
        raise ConfigError(
            "expected architecture 'post-local' or 'contextual' with regime 'linear', got "
            "'pre-local', which has no features before its filters are trained: take regime "
            "'new'"
        )
    for name in ("n_filters", "adapt_steps"):
        if not getattr(estimator, name) > 0:
            raise ConfigError(f"expected {name} above 0, got {getattr(estimator, name)}")
    protocol_of(estimator)
    check_class_weight(estimator.class_weight)


def protocol_of(estimator: Any) -> Protocol:
    """How its network is trained.

    Raises
    ------
    ConfigError
        If a setting of it is out of range.
    """
    return Protocol(
        epochs=estimator.epochs,
        batch_size=estimator.batch_size,
        lr=estimator.lr,
        warmup_epochs=estimator.warmup_epochs,
        frozen=estimator.regime == "new",
        patience=estimator.patience,
        validation_fraction=estimator.validation_fraction,
        precision=estimator.precision,
    )
