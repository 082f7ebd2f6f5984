"""Saliency of a benchmark's frozen model, on ECG paper."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from biojepa.ecg.benchmark_data import BenchmarkData
from biojepa.evaluation.occlusion import occlusion_saliency
from biojepa.evaluation.protocol import Protocol
from biojepa.evaluation.report import Picture
from biojepa.evaluation.rows import Classifier, Row, fitted
from biojepa.plotting.saliency import plot_saliency

PATCH_S = 0.2  # ours: a token of the small preset
N_PICTURES = 2
HEALTHY = "NORM"


def saliency_pictures(
    rows: Sequence[Row], data: BenchmarkData, protocol: Protocol
) -> list[Picture]:
    """The records of which a frozen JEPA is surest, and rightly, one of each of two classes.

    Parameters
    ----------
    rows : sequence of Row
        Rows that were run; "jepa-linear" is taken, or the first JEPA row.
    data : BenchmarkData
    protocol : Protocol
        The model of its first split is shown on a record that it has not seen.

    Returns
    -------
    list of Picture
        Empty without a JEPA row.
    """
    jepa = [row for row in rows if row.kind == "jepa"]
    if not jepa:
        return []
    row = next((row for row in jepa if row.name == "jepa-linear"), jepa[0])
    split, labelled = protocol.splits[0], data.labelled
    model = fitted(row, labelled, split.train, split.train, 0)
    scores = np.asarray(model.decision_function(labelled.X[split.test]))
    surest = np.where(labelled.y[split.test] == 1, scores, -np.inf)
    ranked = np.argsort(-surest.max(0))
    classes = [c for c in ranked if labelled.classes[c] != HEALTHY and surest[:, c].max() > -np.inf]
    patch = max(1, round(PATCH_S * data.rate_hz))
    pictures = []
    for c in classes[:N_PICTURES]:
        place = int(split.test[surest[:, c].argmax()])
        found = occlusion_saliency(partial(_log_odds, model, c), labelled.X[place], patch=patch)
        name, seconds = labelled.classes[c], patch / data.rate_hz
        figure = plot_saliency(
            labelled.X[place],
            data.leads,
            data.rate_hz,
            found,
            patch_s=seconds,
            title=f"{name}: record {data.ids[place]}",
        )
        caption = (
            f"{row.title}: orange stretches speak for {name}, blue ones against it (change of the "
            f"log odds when {seconds:g} s of one lead are bridged by a straight line). It shows "
            "what the model used, not where the disease is."
        )
        pictures.append(Picture(f"Where the model looks: {name}", caption, figure))
    return pictures


def _log_odds(model: Classifier, column: int, batch: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.asarray(model.decision_function(batch)[:, column])
