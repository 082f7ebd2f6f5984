"""The rows of the ECG benchmark table, under the names that options and files use.

Every row gets the same raw signals in millivolt. Frozen encoders and beat features are computed
once a record; what is fitted on labels is a linear probe with the settings that
`results/ecg_probe_choice.json` fixed on other records.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.frozen import FrozenEstimator

from biojepa.ecg.benchmark_data import BenchmarkData
from biojepa.ecg.benchmark_encoders import Encoders, FeatureMemo
from biojepa.ecg.classifier import ECGClassifier
from biojepa.ecg.estimator import ECGJEPA
from biojepa.errors import ConfigError
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.rows import Classifier, Kind, PriorClassifier, Row

HEADLINE = "jepa-scale"  # of which the verdict speaks: fixed before any record was scored
# shorthands for --rows
GROUPS = {
    "frozen": ("random-init", "jepa-linear", "jepa-scale"),
    "trained": ("jepa-attentive", "jepa-finetune"),
    "domain": ("continued", "train-only"),
}


class FeatureClassifier:
    """A classifier of features that are computed without labels.

    Parameters
    ----------
    features : sequence of callable
        `f(X (n, leads, time)) -> (n, D)`; their columns are put side by side.
    classifier : object
        With `fit(features, y)` and `decision_function(features)`.
    """

    def __init__(self, features: Sequence[Callable[[NDArray], NDArray]], classifier: Any) -> None:
        self.features, self.classifier = features, classifier

    def fit(
        self, X: NDArray, y: NDArray, *, groups: Sequence[object] | None = None
    ) -> FeatureClassifier:
        """Fit the classifier on the features of X."""
        self.classifier.fit(self._columns(X), y)
        return self

    def decision_function(self, X: NDArray) -> NDArray[np.float64]:
        """Scores (n, C)."""
        return np.asarray(self.classifier.decision_function(self._columns(X)), dtype=np.float64)

    def _columns(self, X: NDArray) -> NDArray:
        return np.concatenate([f(X) for f in self.features], axis=1)


class RowMaker:
    """Makes rows for one benchmark; encoders and features are shared between them.

    Parameters
    ----------
    data : BenchmarkData
    encoders : Encoders
    head_steps : int or None
        Of the attentive head and of fine-tuning, in place of their own.
    """

    def __init__(
        self, data: BenchmarkData, encoders: Encoders, *, head_steps: int | None = None
    ) -> None:
        self.data, self.encoders, self.head_steps = data, encoders, head_steps
        self._memos: dict[int, tuple[ECGJEPA, FeatureMemo]] = {}

    def rows(self) -> list[Row]:
        """All rows, in the order of the table."""
        jepa, encoders = self._frozen, self.encoders
        return [
            Row(
                "chance",
                "chance (base rates)",
                "chance",
                lambda seed, X: PriorClassifier(random_state=seed),
                seeded=False,
            ),
            self._row(
                "random-init",
                "random weights, frozen, linear",
                "random",
                lambda seed, X: jepa(encoders.random(seed, X)),
            ),
            self._row(
                "jepa-linear",
                "JEPA, frozen, linear",
                "jepa",
                lambda seed, X: jepa(encoders.pretrained(seed, X)),
            ),
            self._row(
                "jepa-attentive",
                "JEPA, frozen, attentive",
                "jepa",
                lambda seed, X: self._network("attentive", seed, X),
            ),
            self._row(
                "jepa-finetune",
                "JEPA, fine-tuned",
                "jepa",
                lambda seed, X: self._network("finetune", seed, X),
            ),
            self._row(
                "jepa-scale",
                "JEPA, frozen, with scale",
                "jepa",
                lambda seed, X: jepa(encoders.pretrained(seed, X), scale=True),
            ),
            self._row(
                "continued",
                "JEPA continued on the training part, frozen",
                "jepa",
                lambda seed, X: jepa(encoders.continued(seed, X)),
            ),
            self._row(
                "train-only",
                "JEPA of the training part alone, frozen",
                "jepa",
                lambda seed, X: jepa(encoders.train_only(seed, X)),
            ),
        ]

    def _row(self, name: str, title: str, kind: Kind, make: Callable[..., Classifier]) -> Row:
        settings = self.encoders.settings | {"head_steps": self.head_steps}
        return Row(name, title, kind, make, settings=settings)

    def _frozen(self, encoder: ECGJEPA, *, scale: bool = False) -> FeatureClassifier:
        """A linear probe on the encoder's features; those without scale lack the last columns."""
        if id(encoder) not in self._memos:
            self._memos[id(encoder)] = encoder, FeatureMemo(encoder.transform)
        memo = self._memos[id(encoder)][1]
        if scale:
            return FeatureClassifier([memo], LinearProbe())
        n_scales = len(encoder.model_config_.leads)
        return FeatureClassifier([lambda X: memo(X)[:, :-n_scales]], LinearProbe())

    def _network(self, mode: Any, seed: int, X: NDArray) -> ECGClassifier:
        return ECGClassifier(
            encoder=FrozenEstimator(self.encoders.pretrained(seed, X)),
            mode=mode,
            fs=self.data.rate_hz,
            leads=self.data.leads,
            steps=self.head_steps,
            random_state=seed,
        )


def choose_rows(rows: Sequence[Row], wanted: Sequence[str] | None) -> list[Row]:
    """The rows of these names or groups, in the order of the table; None for all.

    Raises
    ------
    ConfigError
        If a name is unknown; the nearest is given.
    """
    if wanted is None:
        return list(rows)
    known = {row.name for row in rows}
    names: set[str] = set()
    for name in wanted:
        found = set(GROUPS.get(name, (name,)))
        found |= {row.name for row in rows if row.kind == name}
        if not found & known:
            near = difflib.get_close_matches(name, [*known, *GROUPS], n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"unknown row {name!r}: {hint}known: {', '.join(sorted(known))}")
        names |= found
    return [row for row in rows if row.name in names]
