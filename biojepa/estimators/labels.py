"""Labels as users have them: one class a record, or several 0/1 columns with unknown entries.

Letters: n records, K classes or columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import issparse
from sklearn.utils import check_consistent_length, column_or_1d
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from biojepa.errors import CheckpointError, ConfigError, DataError

_LARGEST_LABEL = 1 << 16  # bytes; texts take four a character

ClassWeight = str | Mapping[Any, float] | None


@dataclass(frozen=True)
class LabelCode:
    """What a classifier predicts, and how.

    Parameters
    ----------
    classes : ndarray, shape (K,)
        Sorted classes; column numbers for 0/1 columns.
    columns : bool
        Whether several may apply to a record.
    dtype : numpy.dtype
        Of `predict`'s answer.
    """

    classes: NDArray
    columns: bool
    dtype: np.dtype

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def classes_(self) -> NDArray | list[NDArray]:
        """As scikit-learn's scorers expect: for columns, a list of [0, 1] per column."""
        if self.columns:
            return [np.array([0, 1], dtype=self.dtype) for _ in self.classes]
        return self.classes

    def to_config(self) -> dict[str, Any]:
        """As a JSON-able dict.

        Raises
        ------
        ConfigError
            If classes are neither text nor numbers.
        """
        values = self.classes.tolist()
        if not all(isinstance(v, str | int | float) for v in values):
            raise ConfigError(f"expected classes of text or numbers to save them, got {values[:3]}")
        return {"classes": values, "columns": self.columns, "dtype": self.dtype.str}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> LabelCode:
        """From the dict of `to_config`.

        Raises
        ------
        CheckpointError
            If it is not such a dict.
        """
        try:
            values, columns, dtype = (config[k] for k in ("classes", "columns", "dtype"))
            kind = np.dtype(dtype)
            if kind.kind not in "biufUO" or kind.itemsize > _LARGEST_LABEL:
                raise ValueError(f"no dtype of labels: {dtype!r}")
            return cls(np.array(values, dtype=None if columns else kind), bool(columns), kind)
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"expected classes, columns and dtype of the labels, got {config!r} ({error})"
            ) from error

    def probabilities(self, logits: NDArray) -> NDArray[np.float64]:
        """From logits (n, K): softmax over classes, or sigmoid of each column."""
        logits = np.asarray(logits, dtype=np.float64)
        if self.columns:
            return 0.5 * (1.0 + np.tanh(0.5 * logits))
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shifted / shifted.sum(axis=1, keepdims=True)

    def decision(self, logits: NDArray) -> NDArray[np.float64]:
        """As `decision_function` has it: for two classes, the difference of the logits (n,)."""
        logits = np.asarray(logits, dtype=np.float64)
        if self.columns or len(self) > 2:
            return logits
        return logits[:, 1] - logits[:, 0]

    def predict(self, decision: NDArray) -> NDArray:
        """Classes (n,), or 0/1 columns (n, K), from `decision`."""
        if self.columns:
            return (decision > 0).astype(self.dtype)
        if decision.ndim == 1:
            return self.classes[(decision > 0).astype(int)]
        return self.classes[decision.argmax(axis=1)]


def read_labels(y: Any, n_records: int, *, estimator: str) -> tuple[LabelCode, NDArray]:
    """Understand labels.

    Parameters
    ----------
    y : array-like, shape (n,) or (n, K)
        Classes of any kind; or K > 1 columns of 0, 1 and NaN (unknown).
    n_records : int
    estimator : str
        Who asks, for the messages.

    Returns
    -------
    code : LabelCode
    labels : ndarray
        Class numbers (n,) of int64; or columns (n, K) of float64 with NaN where unknown.

    Raises
    ------
    DataError
        If labels are missing, of another number, neither classes nor 0/1 columns, or of one
        class only.
    ValueError
        scikit-learn's "Unknown label type" for continuous labels.
    """
    if y is None:
        raise DataError(
            f"{estimator} requires y to be passed, but the target y is None: give one label a "
            "record"
        )
    if issparse(y):
        raise DataError("expected dense labels y, got a sparse matrix: pass y.toarray()")
    labels = _as_array(y)
    if labels.ndim == 0:
        raise DataError(f"expected y of shape (n,) or (n, classes), got the single value {y!r}")
    try:
        check_consistent_length(np.empty(n_records), labels)
    except ValueError:
        raise DataError(
            f"expected one label a record, got {n_records} records and {len(labels)} labels"
        ) from None
    if labels.ndim == 2 and labels.shape[1] > 1:
        return _columns(labels)
    labels = column_or_1d(labels, warn=True)
    missing = _missing(labels)
    if missing.any():
        raise DataError(
            f"expected finite labels, got y that contains NaN, infinity or None for "
            f"{missing.sum()} of {len(labels)} records: leave these records out (unknown labels "
            "may stay in y of several 0/1 columns)"
        )
    check_classification_targets(labels)
    classes, index = np.unique(labels, return_inverse=True)
    if len(classes) < 2:
        raise DataError(
            f"expected at least 2 classes, got y of one class only ({classes[0]!r}): give records "
            "of another class too"
        )
    return LabelCode(classes, False, classes.dtype), index.astype(np.int64)


def class_weights(
    code: LabelCode, labels: NDArray, weight: ClassWeight
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Weights of a network's loss.

    Parameters
    ----------
    code, labels
        Of `read_labels`.
    weight : "balanced", dict or None
        As in scikit-learn; for columns, of the classes 0 and 1 in each.

    Returns
    -------
    class_weight, pos_weight : ndarray, shape (K,), or None
        Factors on classes (columns), and on the positives of columns.

    Raises
    ------
    ConfigError
        If it is neither, or names a class that does not exist.
    """
    check_class_weight(weight)
    if weight is None:
        return None, None
    if not code.columns:
        given = weight if isinstance(weight, str) else dict(weight)
        try:
            return compute_class_weight(given, classes=code.classes, y=code.classes[labels]), None
        except ValueError as error:
            raise ConfigError(f"class_weight: {error}") from error
    if isinstance(weight, str):
        n_positive = (labels == 1).sum(axis=0)
        n_negative = (labels == 0).sum(axis=0)
        both = (n_positive > 0) & (n_negative > 0)
        known = np.maximum(n_positive + n_negative, 1)
        negative = np.where(both, known / np.maximum(2 * n_negative, 1), 1.0)
        positive = np.where(both, known / np.maximum(2 * n_positive, 1), 1.0)
        return negative, positive / negative
    negative_weight, positive_weight = (float(weight.get(c, 1.0)) for c in (0, 1))
    if negative_weight <= 0:
        raise ConfigError(f"expected a class_weight above 0 for 0 in columns, got {weight!r}")
    shape = len(code)
    return np.full(shape, negative_weight), np.full(shape, positive_weight / negative_weight)


def check_class_weight(weight: ClassWeight) -> None:
    """Refuse what is neither "balanced", a dict nor None.

    Raises
    ------
    ConfigError
    """
    if weight is not None and weight != "balanced" and not isinstance(weight, Mapping):
        raise ConfigError(f"expected class_weight 'balanced', a dict or None, got {weight!r}")


def draw_seed(random_state: Any) -> int:
    """An integer seed from any kind of random state; None draws from fresh entropy.

    numpy's global generator is used only if it is what was given.
    """
    if random_state is None:
        return int(np.random.default_rng().integers(2**31 - 1))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**31 - 1))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, int | np.integer) and random_state >= 0:
        return int(random_state)
    raise ConfigError(
        f"expected random_state to be an int >= 0, RandomState, Generator or None, got "
        f"{random_state!r}"
    )


def _as_array(y: ArrayLike) -> NDArray:
    """An array of the labels; lists of unequal rows are refused."""
    try:
        return np.asarray(y)
    except ValueError as error:
        raise DataError(
            f"expected y of shape (n,) or (n, classes), got lists of unequal length ({error}): "
            "turn lists of names into 0/1 columns first (MultiLabelBinarizer)"
        ) from error


def _columns(labels: NDArray) -> tuple[LabelCode, NDArray]:
    try:
        values = labels.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"expected 0, 1 or NaN in the columns of y, got {error}") from error
    odd = ~(np.isnan(values) | (values == 0) | (values == 1))
    if odd.any():
        raise DataError(
            f"expected 0, 1 or NaN (unknown) in the columns of y, got {values[odd][0]:g}: one "
            "column a class, or class labels of shape (n,)"
        )
    if np.isnan(values).all():
        raise DataError("expected at least one known label, got only NaN in y")
    dtype = labels.dtype if labels.dtype.kind in "iufb" else np.dtype(np.int64)
    return LabelCode(np.arange(labels.shape[1]), True, dtype), values


def _missing(labels: NDArray) -> NDArray[np.bool_]:
    if labels.dtype.kind == "f":
        return ~np.isfinite(labels)
    if labels.dtype.kind != "O":
        return np.zeros(len(labels), dtype=bool)
    return np.array([v is None or (isinstance(v, float) and not np.isfinite(v)) for v in labels])
