"""`BrainRegressor`: age, scores and other numbers from runs, for scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from biojepa.estimators.labels import draw_seed
from biojepa.estimators.ridge_probe import RidgeProbe, read_targets
from biojepa.fmri._predictor import BrainPredictor, Mode
from biojepa.fmri.gradients import BrainGradients
from biojepa.fmri.heads import Head
from biojepa.fmri.preprocess import Normalise
from biojepa.fmri.records import Orientation


class BrainRegressor(RegressorMixin, BrainPredictor):
    """Predict numbers from fMRI runs with a pretrained encoder, or train one from scratch.

    Parameters
    ----------
    encoder, mode, head, preset, tr, regions, orientation, gradients, normalise, pool, layer, steps,
    batch_size, lr, layer_decay, drop_path, validation_fraction, patience, device, precision,
    verify, random_state, verbose
        See `BrainClassifier`; `mode="linear"` is ridge regression.
    alpha : float or None
        Strength of the penalty of `mode="linear"`; None chooses it by cross-validation.

    Attributes
    ----------
    probe_ : RidgeProbe or None
        With `mode="linear"`.
    network_ : BrainNet or None
        With the other modes; predicts targets scaled by `target_mean_` and `target_std_`.
    target_mean_, target_std_ : ndarray, shape (K,)
    history_ : list of dict
        Logged metrics of the training.
    n_features_in_ : int
        Frames of a 2-D array (runs of one region), or regions.

    Examples
    --------
    >>> import numpy as np
    >>> from biojepa.fmri import BrainRegressor
    >>> runs = [np.random.default_rng(i).standard_normal((80, 12)) for i in range(8)]
    >>> regressor = BrainRegressor(preset="tiny", tr=2.0, random_state=0)
    >>> regressor.fit(runs, np.arange(8.0)).predict(runs).shape
    (8,)

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
        alpha: float | None = None,
        steps: int | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        layer_decay: float | None = None,
        drop_path: float | None = None,
        validation_fraction: float = 0.2,
        patience: int | None = None,
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
        self.alpha = alpha
        self.steps = steps
        self.batch_size = batch_size
        self.lr = lr
        self.layer_decay = layer_decay
        self.drop_path = drop_path
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.precision = precision
        self.verify = verify
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: Any, y: Any, *, groups: Sequence[object] | None = None) -> BrainRegressor:
        """Fit on runs and numbers.

        Parameters
        ----------
        X
            As in `BrainJEPA.fit`.
        y : array-like, shape (n,) or (n, K)
            Numbers; with several columns, NaN where unknown.
        groups : sequence, shape (n,), optional
            Subjects, for the held-out part of early stopping.

        Returns
        -------
        BrainRegressor

        Raises
        ------
        DataError, ConfigError, CheckpointError, TrainingError
            With what was expected, what came, and the fix.
        """
        self._check()
        seed = draw_seed(self.random_state)
        reader, table = self._open_reader(X, seed)
        targets, self._flat = read_targets(y, len(table), estimator="BrainRegressor")
        self.target_mean_ = np.nanmean(targets, axis=0)
        spread = np.nanstd(targets, axis=0)
        self.target_std_ = np.where(spread > 0, spread, 1.0)
        self.probe_: RidgeProbe | None = None
        self.network_ = None
        self.history_: list[dict[str, float]] = []
        if self.mode == "linear":
            given = targets[:, 0] if self._flat else targets
            self.probe_ = RidgeProbe(alpha=self.alpha).fit(reader.transform(table), given)
            return self
        scaled = ((targets - self.target_mean_) / self.target_std_).astype(np.float32)
        known = ~np.isnan(scaled).all(axis=1)
        self._fit_net(table, scaled, scaled.shape[1], seed, loss="mse", known=known, groups=groups)
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """Numbers, (n,) or (n, K)."""
        check_is_fitted(self)
        if self.probe_ is not None:
            return self.probe_.predict(self._features(X))
        out = self._outputs(X) * self.target_std_ + self.target_mean_
        return out[:, 0] if self._flat else out

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
