"""A linear probe during pretraining: the only monitor that is downstream.

RankMe can rise while features get worse, so where a few labelled records exist, watch this too.
Pass it to the loop as `evaluate=`; it never enters the training.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from biojepa.data.splits import patient_split
from biojepa.engine.masked import MaskedJEPA
from biojepa.errors import DataError
from biojepa.estimators.features import extract_features
from biojepa.estimators.probe import LinearProbe


class OnlineProbe:
    """Mean AUC of a linear probe on frozen features, for `train(..., evaluate=probe)`.

    Parameters
    ----------
    records : sequence of ndarray of float32, shape (C, T)
        Labelled records as the model sees them (`ECGJEPA.prepare`, `.values`); none of them needs
        to be in the pretraining data.
    y : ndarray, shape (n,) or (n, n_classes)
        Labels 0/1.
    groups : sequence, shape (n,), optional
        Patients; no patient is on both sides of the split. Every record by itself if not given.
    window, shortest : int
        Samples of the model's window, and the length that shorter records are padded to.
    pool : {"mean_std", "mean", "register"}
    C : float
        Inverse penalty of the probe.
    test_share : float
        Share of the patients that is scored.
    random_state : int
        Of the split.

    Raises
    ------
    DataError
        If the scored part has no class with both labels.

    Notes
    -----
    The value is for watching. Choosing a checkpoint by it (`monitor="probe"`) uses these labels
    for selection: score the choice on other records.
    """

    def __init__(
        self,
        records: Sequence[NDArray],
        y: NDArray,
        *,
        window: int,
        shortest: int,
        groups: Sequence | None = None,
        pool: str = "mean_std",
        C: float = 0.01,
        test_share: float = 0.4,
        random_state: int = 0,
    ) -> None:
        self.records = [np.asarray(record, dtype=np.float32) for record in records]
        labels = np.asarray(y)
        self.y = labels[:, None] if labels.ndim == 1 else labels
        if len(self.y) != len(self.records):
            raise DataError(f"expected one label a record, got {len(self.y)}: {len(self.records)}")
        names = np.arange(len(self.y)) if groups is None else np.asarray(groups)
        self.fit_rows, self.score_rows = patient_split(
            names, fractions=(1 - test_share, test_share), random_state=random_state
        )
        self.columns = [
            k
            for k in range(self.y.shape[1])
            if all(
                len(np.unique(self.y[rows, k])) == 2 for rows in (self.fit_rows, self.score_rows)
            )
        ]
        if not self.columns:
            raise DataError(
                "expected a class with both labels on both sides of the split, got none: give "
                "more labelled records"
            )
        self.window, self.shortest, self.pool, self.C = window, shortest, pool, C

    def __call__(self, objective: MaskedJEPA, step: int) -> dict[str, float]:
        """`{"probe": mean AUC}` of the downstream network as it is now."""
        features = extract_features(
            objective,
            self.records,
            window=self.window,
            shortest=self.shortest,
            pool=self.pool,
            layers=[-1],
            device=next(objective.parameters()).device.type,
        )
        y = self.y[:, self.columns].astype(int)
        probe = LinearProbe(C=self.C).fit(features[self.fit_rows], y[self.fit_rows])
        scores = np.asarray(probe.decision_function(features[self.score_rows]))
        scores = scores.reshape(len(self.score_rows), -1)
        truth = y[self.score_rows]
        aucs = [roc_auc_score(truth[:, k], scores[:, k]) for k in range(truth.shape[1])]
        return {"probe": float(np.mean(aucs))}
