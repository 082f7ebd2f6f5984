"""The encoder behind a classifier: a saved or fitted one."""

from __future__ import annotations

from os import PathLike
from typing import Any

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.pretrain import Pretrained
from biojepa.errors import ConfigError


def pretrained_of(encoder: Any, *, verify: bool) -> Pretrained | None:
    """What a classifier's `encoder=` stands for; None for none.

    Raises
    ------
    ConfigError
        If it is nothing that holds a fitted `SignalJEPA`, or one that `clone` would un-fit.
    CheckpointError
        If the model folder cannot be read.
    """
    if encoder is None:
        return None
    if isinstance(encoder, SignalJEPA):
        raise ConfigError(
            "expected encoder=FrozenEstimator(...), a model folder or a shipped name, got a bare "
            "SignalJEPA, which scikit-learn's clone would un-fit: pass FrozenEstimator(encoder) "
            "(from sklearn.frozen) of the fitted one, or encoder.save_pretrained(folder) and the "
            "folder"
        )
    if isinstance(encoder, FrozenEstimator):
        fitted = encoder.estimator
        if not isinstance(fitted, SignalJEPA):
            raise ConfigError(
                "expected FrozenEstimator of a fitted SignalJEPA, got one of "
                f"{type(fitted).__name__}"
            )
        check_is_fitted(fitted)
    elif isinstance(encoder, str | PathLike):
        fitted = SignalJEPA.from_pretrained(encoder, verify=verify)
    else:
        raise ConfigError(
            "expected encoder= a model folder, a shipped name, FrozenEstimator(fitted_signaljepa) "
            f"or None, got {type(encoder).__name__}"
        )
    return fitted.pretrained()
