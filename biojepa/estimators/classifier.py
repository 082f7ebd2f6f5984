"""What the classifiers of recordings share: probabilities and classes of what was fitted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from biojepa.estimators.labels import LabelCode


class RecordClassifier(ClassifierMixin, BaseEstimator):
    """Base of the classifiers of recordings.

    `fit` of a subclass sets `classes_`, and either `probe_`, which reads `_features(X)`, or
    `_code`, which turns the `_logits(X)` of a network, (n, K), into probabilities; or both, if the
    probe was fitted to numbers that stand for classes.
    """

    _code: LabelCode
    _features: Callable[[Any], NDArray]
    _logits: Callable[[Any], NDArray]

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Log odds or logits: (n,) for two classes, else (n, K)."""
        check_is_fitted(self)
        if (probe := self._probe()) is not None:
            return probe.decision_function(self._features(X))
        return self._code.decision(self._logits(X))

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Probability of each class, (n, K); of 1 in each column for 0/1 columns."""
        check_is_fitted(self)
        if (probe := self._probe()) is not None:
            return probe.predict_proba(self._features(X))
        return self._code.probabilities(self._logits(X))

    def predict(self, X: Any) -> NDArray:
        """Classes (n,), or 0/1 columns (n, K)."""
        check_is_fitted(self)
        if hasattr(self, "_code"):  # else the probe knows what it was fitted to
            return self._code.predict(self.decision_function(X))
        return self._probe().predict(self._features(X))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        tags.input_tags.three_d_array = True
        return tags

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "classes_")  # else MOABB binds a function that does not unpickle

    def _probe(self) -> Any:
        return getattr(self, "probe_", None)
