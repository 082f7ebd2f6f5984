"""Bootstrap intervals over patients.

Records of one patient are not independent: whole patients (groups) are drawn with replacement, all
of their records come along. With `compare_to` the two scores are read on the same resamples, which
gives the interval of their difference (paired). Intervals are percentiles of the resamples.

When a resample lacks a class, the default is to average over the classes that it has and to count
how often that happened. The PTB-XL benchmark (Strodthoff et al., arXiv 2004.13701) redraws until
every class has a positive (`rule="helme"`, after its repository), which on the 71 statements keeps
about one resample in nine, and not a random one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.metrics import (
    Floats,
    Kind,
    as_columns,
    auprc,
    brier,
    check_probabilities,
    class_values,
    macro_auc,
)

Metric = Callable[[NDArray[Any], NDArray[Any]], float]
ResampleRule = Literal["present", "helme"]
RandomState = int | np.random.Generator | np.random.RandomState | None

# Metrics that are computed for many resamples at once.
_BY_WEIGHTS: dict[Any, Kind] = {macro_auc: "auc", auprc: "auprc", brier: "brier"}
_CHUNK = 200  # resamples held in memory at a time
_MAX_REDRAWS = 1_000  # draws per wanted resample before rule="helme" gives up


@dataclass(frozen=True)
class BootstrapResult:
    """A metric, or a difference of two, with its interval.

    Parameters
    ----------
    point : float
        On the records as they are; with `compare_to`, first minus second.
    low, high : float
        Ends of the interval.
    confidence : float
    n_records, n_groups : int
    n_resamples : int
        Resamples that the interval rests on.
    n_undefined : int
        Resamples left out because the metric was not defined at all on them.
    n_classes, n_classes_missing : int
        Classes given, and those that the point leaves out (no positive or no negative); 0 for a
        metric of one's own.
    n_resamples_incomplete : int
        Resamples whose mean lacks a class that the point has.
    rule : str
    is_difference : bool
    values : ndarray, shape (n_resamples,)
        The resampled metric or difference.
    """

    point: float
    low: float
    high: float
    confidence: float
    n_records: int
    n_groups: int
    n_resamples: int
    n_undefined: int
    n_classes: int
    n_classes_missing: int
    n_resamples_incomplete: int
    rule: str
    is_difference: bool
    values: Floats = field(repr=False, compare=False)

    def summary(self) -> dict[str, Any]:
        """Everything but the resampled values, as plain numbers for JSON."""
        numbers = asdict(self)
        del numbers["values"]
        return numbers

    def __str__(self) -> str:
        return f"{self.point:.3f} ({self.confidence:.0%} {self.low:.3f} to {self.high:.3f})"


def bootstrap_metric(
    y_true: ArrayLike,
    y_score: ArrayLike,
    *,
    metric: Metric = macro_auc,
    groups: ArrayLike | None = None,
    n_resamples: int = 1000,
    confidence: float = 0.95,
    random_state: RandomState = None,
    compare_to: ArrayLike | None = None,
    rule: ResampleRule = "present",
) -> BootstrapResult:
    """Interval of a metric over patients, or of the difference of two scores.

    Parameters
    ----------
    y_true, y_score : array-like, shape (n,) or (n, C)
        As `metric` takes them; see `macro_auc`.
    metric : callable
        `metric(y_true, y_score) -> float`. `macro_auc`, `auprc` and `brier` run on all resamples
        at once; any other is called once a resample, and a `DataError` from it means "not
        defined here".
    groups : array-like, shape (n,), optional
        Patient of each record. Without it every record is its own patient.
    n_resamples : int
    confidence : float
        Between 0 and 1.
    random_state : int, Generator, RandomState or None
    compare_to : array-like, shape of `y_score`, optional
        Scores of another model on the same records: the result is metric(y_score) minus
        metric(compare_to).
    rule : {"present", "helme"}
        "present": mean over the classes that a resample has. "helme": redraw until every class
        has a positive.

    Returns
    -------
    BootstrapResult

    Raises
    ------
    DataError
        If labels, scores or groups are not usable, there are fewer than two patients, or too few
        resamples are defined.
    ConfigError
        If a setting is out of range.
    """
    if n_resamples < 2 or not 0 < confidence < 1 or rule not in get_args(ResampleRule):
        raise ConfigError(
            "expected n_resamples >= 2, 0 < confidence < 1 and rule of "
            f"{list(get_args(ResampleRule))}, got {n_resamples}, {confidence} and {rule!r}"
        )
    rng = _generator(random_state)
    scores = [y_score] if compare_to is None else [y_score, compare_to]
    reading = _Reading(y_true, scores, metric)
    group, n_groups = _groups(groups, reading.n_records)

    positive = reading.positives() if rule == "helme" else None
    parts: list[Floats] = []
    n_incomplete = 0
    for weights in _resamples(rng, group, n_groups, n_resamples, positive):
        values, incomplete = reading.of(weights)
        parts.append(values)
        n_incomplete += incomplete
    values = np.concatenate(parts)
    defined = values[~np.isnan(values)]
    if len(defined) < 2:
        raise DataError(
            f"expected a metric that is defined on resamples of {n_groups} patients, got "
            f"{len(defined)} defined of {n_resamples}: there are too few records of a class"
        )
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return BootstrapResult(
        point=reading.point,
        low=float(low),
        high=float(high),
        confidence=confidence,
        n_records=reading.n_records,
        n_groups=n_groups,
        n_resamples=len(defined),
        n_undefined=len(values) - len(defined),
        n_classes=reading.n_classes,
        n_classes_missing=reading.n_classes_missing,
        n_resamples_incomplete=n_incomplete,
        rule=rule,
        is_difference=compare_to is not None,
        values=defined,
    )


class _Reading:
    """A metric, or the difference of two, on weighted records."""

    def __init__(self, y_true: ArrayLike, scores: list[ArrayLike], metric: Metric) -> None:
        self.metric = metric
        self.kind = _BY_WEIGHTS.get(metric)
        self.y: NDArray[Any] = np.asarray(y_true)
        self.scores: list[NDArray[Any]] = [np.asarray(score) for score in scores]
        if any(score.shape != self.scores[0].shape for score in self.scores):
            raise DataError(
                f"expected compare_to of the shape of y_score {self.scores[0].shape}, got "
                f"{self.scores[1].shape}"
            )
        if self.scores[0].ndim == 0 or self.y.ndim == 0 or len(self.y) != len(self.scores[0]):
            raise DataError(
                "expected labels and scores of the same records, got shapes "
                f"{self.y.shape} and {self.scores[0].shape}"
            )
        self.point = float(metric(self.y, self.scores[0]))
        if len(scores) == 2:
            self.point -= float(metric(self.y, self.scores[1]))
        self.n_records = len(self.y)
        self.n_classes = self.n_classes_missing = 0
        if self.kind is not None:
            columns = [as_columns(self.y, score) for score in self.scores]
            self.y, self.scores = columns[0][0], [score for _, score in columns]
            if self.kind == "brier":
                for score in self.scores:
                    check_probabilities(score)
            whole = class_values(
                self.y, self.scores[0], np.ones((self.n_records, 1)), kind=self.kind
            )
            self.present = ~np.isnan(whole[:, 0])
            self.n_classes = len(whole)
            self.n_classes_missing = int((~self.present).sum())

    def positives(self) -> NDArray[np.bool_]:
        """Which records are positive in each class, shape (n, C)."""
        y = as_columns(self.y, self.scores[0])[0]
        positive = y == 1
        if not positive.any(0).all():
            raise DataError(
                'expected a positive in every class for rule="helme", got none in columns '
                f'{np.flatnonzero(~positive.any(0)).tolist()}: use rule="present"'
            )
        return positive

    def of(self, weights: Floats) -> tuple[Floats, int]:
        """Metric of each resample (columns of weights), and how many lack a class."""
        if self.kind is None:
            return np.array([self._once(column) for column in weights.T]), 0
        by_class = [class_values(self.y, score, weights, kind=self.kind) for score in self.scores]
        by_class = [values[self.present] for values in by_class]
        found = ~np.isnan(by_class[0])
        n_found = found.sum(0)
        sums = np.where(found, by_class[0], 0.0).sum(0)
        if len(by_class) == 2:
            sums = sums - np.where(found, by_class[1], 0.0).sum(0)
        means = np.full(len(sums), np.nan)
        np.divide(sums, n_found, out=means, where=n_found > 0)
        return means, int(((n_found > 0) & ~found.all(0)).sum())

    def _once(self, counts: Floats) -> float:
        rows = np.repeat(np.arange(self.n_records), counts.astype(np.int64))
        try:
            values = [float(self.metric(self.y[rows], score[rows])) for score in self.scores]
        except DataError:
            return float("nan")
        return values[0] if len(values) == 1 else values[0] - values[1]


def _resamples(
    rng: np.random.Generator,
    group: NDArray[np.intp],
    n_groups: int,
    n_resamples: int,
    positive: NDArray[np.bool_] | None,
) -> Iterator[Floats]:
    """Yield weights of the records, shape (n, up to _CHUNK), n_resamples columns in all."""
    n_left, n_drawn = n_resamples, 0
    while n_left:
        size = min(_CHUNK, n_left) if positive is None else _CHUNK
        drawn = rng.integers(n_groups, size=(size, n_groups))
        slots = drawn + n_groups * np.arange(size)[:, None]
        counts = np.bincount(slots.ravel(), minlength=size * n_groups).reshape(size, n_groups)
        weights = counts.T[group].astype(np.float64)
        n_drawn += size
        if positive is not None:
            weights = weights[:, (positive.T.astype(np.float64) @ weights > 0).all(0)][:, :n_left]
            if n_drawn > _MAX_REDRAWS * n_resamples:
                raise DataError(
                    "expected resamples with a positive in every class, got "
                    f"{n_resamples - n_left} after {n_drawn} draws: a class is too rare for "
                    'rule="helme", use rule="present"'
                )
        n_left -= weights.shape[1]
        if weights.shape[1]:
            yield weights


def _groups(groups: ArrayLike | None, n_records: int) -> tuple[NDArray[np.intp], int]:
    if groups is None:
        group, n_groups = np.arange(n_records), n_records
    else:
        labels = np.asarray(groups)
        if labels.shape != (n_records,):
            raise DataError(f"expected groups of shape ({n_records},), got {labels.shape}")
        if pd.isna(labels).any():
            row = int(np.flatnonzero(pd.isna(labels))[0])
            raise DataError(f"expected a patient for every record, got none in row {row}")
        group, names = pd.factorize(labels)
        n_groups = len(names)
    if n_groups < 2:
        raise DataError(f"expected at least two patients to resample, got {n_groups}")
    return group, n_groups


def _generator(random_state: RandomState) -> np.random.Generator:
    if isinstance(random_state, np.random.RandomState):
        return np.random.default_rng(random_state.randint(2**31, size=4))
    return np.random.default_rng(random_state)
