"""The rows of the ECG benchmark table, under the names that options and files use.

Every row gets the same raw signals in millivolt. Frozen encoders and beat features are computed
once a record; what is fitted on labels is a linear probe with the settings that
`results/ecg_probe_choice.json` fixed on other records.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.frozen import FrozenEstimator

from biojepa.ecg.beats import BeatFeatures
from biojepa.ecg.benchmark_data import BenchmarkData
from biojepa.ecg.benchmark_encoders import PROBE_C, READING, Encoders, FeatureMemo
from biojepa.ecg.classifier import ECGClassifier
from biojepa.ecg.combination import Combined, Way
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.scratch import ResNetClassifier
from biojepa.errors import ConfigError
from biojepa.estimators.per_class import PerClass
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.rocket import RocketClassifier
from biojepa.evaluation.rows import Classifier, Kind, PriorClassifier, Row

HEADLINE = "jepa-scale"  # of which the verdict speaks: fixed before any record was scored
# name, title, kind; in the order of the table
ROWS: tuple[tuple[str, str, Kind], ...] = (
    ("chance", "chance (base rates)", "chance"),
    ("random-init", "random weights, frozen, linear", "random"),
    ("hydra-multirocket", "Hydra-MultiRocket, ridge", "classical"),
    ("beats-lr", "beat features, logistic", "classical"),
    ("beats-gbm", "beat features, boosted trees", "classical"),
    ("resnet", "1-D ResNet from scratch", "supervised"),
    ("mae", "masked autoencoder, frozen, linear", "mae"),
    ("jepa-linear", "JEPA, frozen, linear", "jepa"),
    ("jepa-attentive", "JEPA, frozen, attentive", "jepa"),
    ("jepa-finetune", "JEPA, fine-tuned", "jepa"),
    ("jepa-scale", "JEPA, frozen, with scale", "jepa"),
    ("jepa-beats", "JEPA, frozen, with beat features", "jepa"),
    ("jepa-beats-trees", "JEPA, frozen, with trees on beat features", "jepa"),
    ("continued", "JEPA continued on the training part, frozen", "jepa"),
    ("train-only", "JEPA of the training part alone, frozen", "jepa"),
)
# every seed of these gives the same, or (the last two) pretrains once more for every fold
_SEEDS = {"chance": 1, "beats-lr": 1, "continued": 1, "train-only": 1}
# what `python -m biojepa.ecg.combination` fixed on other records; a test compares them
COMBINATION: Way = "mean log odds"
# shorthands for --rows, besides the kinds
GROUPS = {
    "frozen": (
        "random-init",
        "mae",
        "jepa-linear",
        "jepa-scale",
        "jepa-beats",
        "jepa-beats-trees",
    ),
    "trained": ("resnet", "jepa-attentive", "jepa-finetune"),
    "domain": ("continued", "train-only"),
}


Features = Callable[[NDArray], NDArray]  # (n, leads, time) -> (n, D)


class FeatureClassifier:
    """A classifier of features that are computed without labels.

    Parameters
    ----------
    features : sequence of callable
        `f(X (n, leads, time)) -> (n, D)`; their columns are put side by side.
    classifier : object
        With `fit(features, y)` and `decision_function(features)`.
    """

    def __init__(self, features: Sequence[Features], classifier: Any) -> None:
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
        self._beats = FeatureMemo(self._beat_features)

    def rows(self) -> list[Row]:
        """All rows, in the order of the table."""
        pretrained = self.encoders.settings | {"reading": READING, "C": PROBE_C}
        return [
            Row(
                name,
                title,
                kind,
                partial(self._make, name),
                n_seeds=_SEEDS.get(name),
                settings={"head_steps": self.head_steps}
                | (pretrained if kind in ("random", "mae", "jepa") else {}),
            )
            for name, title, kind in ROWS
        ]

    def _make(self, name: str, seed: int, X: NDArray) -> Classifier:
        """An unfitted classifier of a row; X is the training part, for pretraining."""
        encoders, beats = self.encoders, self._beats
        signals: dict[str, Any] = {"fs": self.data.rate_hz, "leads": self.data.leads}
        match name:
            case "chance":
                return PriorClassifier(random_state=seed)
            case "random-init":
                return self._probe(self._features(encoders.random(seed, X)))
            case "hydra-multirocket":
                return RocketClassifier(random_state=seed, **signals)
            case "beats-lr":
                return FeatureClassifier([beats], LinearProbe())
            case "beats-gbm":
                trees = HistGradientBoostingClassifier(early_stopping=False)
                return FeatureClassifier([beats], PerClass(trees, random_state=seed))
            case "resnet":
                own = ResNetClassifier(random_state=seed, **signals)
                return own if self.head_steps is None else own.set_params(steps=self.head_steps)
            case "mae":
                return self._probe(self._features(encoders.mae(seed, X)))
            case "jepa-linear":
                return self._probe(self._features(encoders.pretrained(seed, X)))
            case "jepa-attentive":
                return self._network("attentive", seed, X)
            case "jepa-finetune":
                return self._network("finetune", seed, X)
            case "jepa-scale":
                return self._probe(self._features(encoders.pretrained(seed, X), scale=True))
            case "jepa-beats":
                return self._probe(self._features(encoders.pretrained(seed, X)), beats)
            case "jepa-beats-trees":
                jepa = self._features(encoders.pretrained(seed, X))
                both = partial(Combined, jepa(X[:1]).shape[1], way=COMBINATION, C=PROBE_C)
                return FeatureClassifier([jepa, beats], both(random_state=seed))
            case "continued":
                return self._probe(self._features(encoders.continued(seed, X)))
            case "train-only":
                return self._probe(self._features(encoders.train_only(seed, X)))
        raise ConfigError(f"unknown row {name!r}: known: {[row[0] for row in ROWS]}")

    def _probe(self, *features: Features) -> FeatureClassifier:
        return FeatureClassifier(features, LinearProbe(C=PROBE_C))

    def _features(self, encoder: ECGJEPA, *, scale: bool = False) -> Features:
        """Features of an encoder, kept; those without scale lack the last columns."""
        if id(encoder) not in self._memos:
            self._memos[id(encoder)] = encoder, FeatureMemo(encoder.transform)
        memo = self._memos[id(encoder)][1]
        n_scales = len(encoder.model_config_.leads)
        return memo if scale else lambda X: memo(X)[:, :-n_scales]

    def _beat_features(self, X: NDArray) -> NDArray:
        features = BeatFeatures(fs=self.data.rate_hz, leads=self.data.leads)
        return features.fit(X).transform(X)

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
