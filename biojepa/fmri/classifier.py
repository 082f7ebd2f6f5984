"""`BrainClassifier`: a linear, attentive or fine-tuned classifier of runs for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.frozen import FrozenEstimator

from biojepa.estimators.classifier import RecordClassifier
from biojepa.estimators.labels import (
    ClassWeight,
    check_class_weight,
    class_weights,
    draw_seed,
    read_labels,
)
from biojepa.estimators.probe import LinearProbe
from biojepa.fmri._predictor import BrainPredictor, Mode, as_tensor
from biojepa.fmri.gradients import BrainGradients
from biojepa.fmri.heads import Head
from biojepa.fmri.preprocess import Normalise
from biojepa.fmri.records import Orientation


class BrainClassifier(RecordClassifier, BrainPredictor):
    """Classify fMRI runs with a pretrained encoder, or train one from scratch.

    Parameters
    ----------
    encoder : str, path, FrozenEstimator or None
        Model folder, or `FrozenEstimator(fitted_brainjepa)`. It is never changed. None takes
        random weights: with `mode="finetune"` that is supervised training from scratch, in the
        other modes the control that pretraining has to beat.
    mode : {"linear", "attentive", "finetune"}
        Pooled features of the frozen encoder and logistic regression; the frozen encoder and a
        one-query attention head; or all weights, those of a copy of the encoder.
    head : {"attentive", "mean", "connectivity"}, optional
        Of the last two modes; "mean" (the published one) for `mode="finetune"`. "connectivity"
        reads how the tokens of regions go together, and starts as ridge regression.
    preset : {"small", "tiny", "paper", "paper-s", "paper-b", "paper-l"}
        Of a new model, if `encoder` is None.
    tr, regions, orientation, gradients, normalise
        See `BrainJEPA`.
    pool, layer : optional
        Features of `mode="linear"`; see `BrainJEPA`.
    C : float
        Inverse strength of the penalty of `mode="linear"`.
    steps, batch_size, lr : optional
        Of the last two modes; by default 50 passes over the runs.
    layer_decay : float, optional
        With `mode="finetune"`: factor on the learning rate for each block further from the head;
        0.75 by default.
    drop_path : float, optional
        With `mode="finetune"`: largest probability of dropping a residual branch; 0.1 by default.
    validation_fraction : float
        Share of the subjects (runs) held out for early stopping.
    patience : int, optional
        Of the twenty looks at the held-out loss over a training, how many without a smaller one
        stop it; the weights of the smallest are kept. None trains on all runs to the end.
    class_weight : "balanced", dict or None
        As in scikit-learn; for 0/1 columns, of the classes 0 and 1 in each.
    device : {"auto", "cpu", "cuda", "mps"}
    precision : {"fp32", "bf16"}
    verify : bool
        Compare checksums of the encoder.
    random_state : int, RandomState, Generator or None
    verbose : bool

    Attributes
    ----------
    classes_ : ndarray, shape (K,), or list of K arrays [0, 1] for 0/1 columns
    probe_ : LinearProbe or None
        With `mode="linear"`.
    network_ : BrainNet or None
        With the other modes.
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Frames of a 2-D array (runs of one region), or regions.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.fmri import BrainClassifier
    >>> runs = [np.random.default_rng(i).standard_normal((80, 12)) for i in range(8)]
    >>> classifier = BrainClassifier(preset="tiny", tr=2.0, random_state=0)
    >>> classifier.fit(runs, [0, 1] * 4).predict_proba(runs).shape
    (8, 2)

    References
    ----------
    Dong et al. 2024, arXiv:2409.19407.
    """

    def __init__(
        self,
        *,
        encoder: str | PathLike | FrozenEstimator | None = None,
        mode: Mode = "linear",
        head: Head | None = None,
        preset: str = "small",
        tr: float | None = None,
        regions: Sequence[str] | None = None,
        orientation: Orientation = "auto",
        gradients: ArrayLike | str | PathLike | BrainGradients | None = None,
        normalise: Normalise | None = None,
        pool: str = "mean_std",
        layer: int | Sequence[int] | str = -1,
        C: float = 0.01,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        layer_decay: float | None = None,
        drop_path: float | None = None,
        validation_fraction: float = 0.2,
        patience: int | None = None,
        class_weight: ClassWeight = None,
        device: str = "auto",
        precision: str = "fp32",
        verify: bool = True,
        random_state: Any = None,
        verbose: bool = False,
    ) -> None:
        self.encoder = encoder
        self.mode = mode
        self.head = head
        self.preset = preset
        self.tr = tr
        self.regions = regions
        self.orientation = orientation
        self.gradients = gradients
        self.normalise = normalise
        self.pool = pool
        self.layer = layer
        self.C = C
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.layer_decay = layer_decay
        self.drop_path = drop_path
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.class_weight = class_weight
        self.device = device
        self.precision = precision
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> BrainClassifier:
        """Fit on labelled runs.

        Parameters
        ----------
        X
            As in `BrainJEPA.fit`.
        y : array-like, shape (n,) or (n, K)
            Classes; or columns of 0, 1 and NaN (unknown).
        groups : sequence, shape (n,), optional
            Subjects, for the held-out part of early stopping.

        Returns
        -------
        BrainClassifier

        Raises
        ------
        DataError, ConfigError, CheckpointError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check()
        check_class_weight(self.class_weight)
        seed = draw_seed(self.random_state)
        reader, table = self._open_reader(X, seed)
        code, labels = read_labels(y, len(table), estimator="BrainClassifier")
        self._code, self.classes_ = code, code.classes_
        self.probe_: LinearProbe | None = None
        self.network_ = None
        self.history_: list[dict[str, float]] = []
        if self.mode == "linear":
            probe = LinearProbe(C=self.C, class_weight=self.class_weight, random_state=seed)
            targets = labels if code.columns else code.classes[labels]
            self.probe_ = probe.fit(reader.transform(table), targets)
            return self
        known = ~np.isnan(labels).all(axis=1) if code.columns else np.ones(len(labels), dtype=bool)
        weight, positive = class_weights(code, labels[known], self.class_weight)
        self._fit_net(
            table,
            labels,
            len(code),
            seed,
            loss="bce" if code.columns else "ce",
            class_weight=as_tensor(weight),
            pos_weight=as_tensor(positive),
            known=known,
            groups=groups,
        )
        return self

    def _logits(self, X: Any) -> NDArray[np.float32]:
        return self._outputs(X)
