"""Learned spatial filters of a `SignalJEPAClassifier` as maps over the head."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from sklearn.utils.validation import check_is_fitted

from biojepa.eeg.classifier import SignalJEPAClassifier
from biojepa.errors import DataError
from biojepa.plotting.topomap import plot_filters

LEAST_CHANNELS = 4


def plot_spatial_filters(classifier: SignalJEPAClassifier, *, title: str | None = None) -> Figure:
    """Draw the filters of a fitted classifier.

    Parameters
    ----------
    classifier : SignalJEPAClassifier
        Of regime "new" or "full".
    title : str, optional
        Its architecture and regime by default.

    Returns
    -------
    Figure
        One map a filter, scaled to its largest weight: what is looked at, not where a source is.

    Raises
    ------
    DataError
        If it has no filters, or fewer than four channels with a place.
    NotFittedError
        If it is not fitted.
    """
    check_is_fitted(classifier)
    if classifier.network_ is None:
        raise DataError(
            "expected a classifier with spatial filters, got regime 'linear', which has none: fit "
            "one of regime 'new' or 'full'"
        )
    places = np.asarray(classifier.positions_, dtype=np.float64)
    known = np.any(places != 0, axis=1)
    if known.sum() < LEAST_CHANNELS:
        raise DataError(
            f"expected at least {LEAST_CHANNELS} channels with a place for a map of the head, got "
            f"{known.sum()} of {len(known)}: name them as the 10-05 system does, or pass montage="
        )
    if title is None:
        title = f"Spatial filters, {classifier.architecture}, regime {classifier.regime!r}"
    return plot_filters(classifier.spatial_filters_[known].T, places[known], title=title)
