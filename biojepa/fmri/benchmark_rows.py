"""The rows of the fMRI benchmark tables, under the names that options and files use.

Rows get the places of runs in their cohort. What an encoder says of a run is read by region
(`region_features`), and fitted by ridge regression, whose penalty is chosen within the training
part; settings were fixed on simulated people and on ABIDE's ages, which no table scores
(`python -m biojepa.fmri.small_budget`).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR

from biojepa.errors import ConfigError
from biojepa.estimators.probe import LinearProbe
from biojepa.estimators.ridge import RidgeProbe as RidgeClassifier
from biojepa.estimators.ridge_probe import RidgeProbe as RidgeRegressor
from biojepa.evaluation.metrics import Floats
from biojepa.evaluation.rows import Kind, PriorClassifier, Row
from biojepa.fmri.benchmark_baselines import (
    TangentSpace,
    confound_features,
    fc_features,
    shrunk_correlations,
    site_features,
)
from biojepa.fmri.benchmark_encoders import Encoders
from biojepa.fmri.benchmark_tasks import BrainTask
from biojepa.fmri.classifier import BrainClassifier
from biojepa.fmri.heads import Head
from biojepa.fmri.recipes import get_recipe
from biojepa.fmri.region_features import Reading
from biojepa.fmri.regressor import BrainRegressor

Places = NDArray[np.int64]
Read = Callable[[Places], Floats]
# fixed by `python -m biojepa.fmri.small_budget` on people that no table scores; a test compares
READING: Reading = "connectivity"
LAYERS = "all"
# fixed by `python -m biojepa.fmri.head_budget` on the same people; a test compares
TUNED_HEAD: Head = "connectivity"
HEAD_STEPS = 40  # of networks trained on labels, as there
HEADLINE = ("fc-jepa", "jepa-linear")  # of which verdicts speak: fixed before anything was scored
# name, title, kind; in the order of the table
ROWS: tuple[tuple[str, str, Kind], ...] = (
    ("chance", "mean or majority", "chance"),
    ("site", "site alone", "chance"),
    ("confounds", "confounds alone", "chance"),
    ("fc-ridge", "functional connectivity, ridge", "classical"),
    ("fc-svm", "functional connectivity, linear SVM", "classical"),
    ("tangent", "tangent space, ridge or logistic", "classical"),
    ("random-pooled", "random weights, all tokens pooled", "random"),
    ("random-init", "random weights, by region", "random"),
    ("jepa-pooled", "Brain-JEPA, frozen, all tokens pooled", "jepa"),
    ("jepa-linear", "Brain-JEPA, frozen, by region", "jepa"),
    ("jepa-attentive", "Brain-JEPA, frozen, attentive head", "jepa"),
    ("jepa-finetune", "Brain-JEPA, fine-tuned", "jepa"),
    ("fc-random", "functional connectivity with random weights", "random"),
    ("fc-jepa", "functional connectivity with Brain-JEPA", "jepa"),
)
TRAINED = ("jepa-attentive", "jepa-finetune")  # networks trained on labels: minutes
_SEEDS = {name: 1 for name in ("chance", "site", "confounds", "fc-ridge", "fc-svm", "tangent")}


def every_layer(preset: str) -> tuple[int, ...]:
    """Numbers of all layers of a preset's encoder."""
    return tuple(range(get_recipe(preset).model.depth))


class OnRuns:
    """A learner on features of runs.

    Parameters
    ----------
    prepare : callable
        `prepare(places of the training part)` gives a function from places to features (n, D).
    learner : estimator
        scikit-learn regressor or classifier of two classes.
    """

    def __init__(self, prepare: Callable[[Places], Read], learner: Any) -> None:
        self.prepare, self.learner = prepare, learner

    def fit(self, X: Places, y: Floats, *, groups: Sequence[object] | None = None) -> OnRuns:
        """Fit on places (n,) and labels (n, 1)."""
        self.read = self.prepare(X)
        labels = y[:, 0].astype(int) if is_classifier(self.learner) else y[:, 0]
        self.learner.fit(self.read(X), labels)
        return self

    def decision_function(self, X: Places) -> Floats:
        """Numbers or log odds, (n, 1)."""
        features = self.read(X)
        if hasattr(self.learner, "decision_function"):
            return np.asarray(self.learner.decision_function(features))[:, None]
        return np.asarray(self.learner.predict(features))[:, None]


class MeanOf:
    """The mean of what several rows say.

    Parameters
    ----------
    parts : sequence of OnRuns
    """

    def __init__(self, parts: Sequence[OnRuns]) -> None:
        self.parts = parts

    def fit(self, X: Places, y: Floats, *, groups: Sequence[object] | None = None) -> MeanOf:
        """Fit every part."""
        for part in self.parts:
            part.fit(X, y, groups=groups)
        return self

    def decision_function(self, X: Places) -> Floats:
        """Mean of numbers or log odds, (n, 1)."""
        return np.mean([part.decision_function(X) for part in self.parts], axis=0)


class RowMaker:
    """Makes the rows of one task.

    Parameters
    ----------
    own : BrainTask
    encoders : Encoders
    head_steps : int or None
        Of networks that are trained on labels.
    """

    def __init__(self, own: BrainTask, encoders: Encoders, *, head_steps: int | None) -> None:
        self.own, self.encoders, self.head_steps = own, encoders, head_steps
        self._kept: dict[str, Floats] = {}

    def rows(self) -> list[Row]:
        """All rows that the task has, in the order of the table."""
        makers: dict[str, Callable[[int, Any], Any]] = {
            "chance": self._chance,
            "site": lambda seed, _: self._simple(site_features),
            "confounds": lambda seed, _: self._simple(
                partial(confound_features, controls=self.own.controls)
            ),
            "fc-ridge": lambda seed, _: self._fc(),
            "fc-svm": lambda seed, _: OnRuns(self._known(fc_features), self._svm()),
            "tangent": lambda seed, _: OnRuns(self._tangent, self._on_tangent()),
            "random-pooled": partial(self._probe, "random", None),
            "random-init": partial(self._probe, "random", READING),
            "jepa-pooled": partial(self._probe, "jepa", None),
            "jepa-linear": partial(self._probe, "jepa", READING),
            "jepa-attentive": partial(self._network, "attentive"),
            "jepa-finetune": partial(self._network, "finetune"),
            "fc-random": lambda seed, X: MeanOf(
                [self._fc(), self._probe("random", READING, seed, X)]
            ),
            "fc-jepa": lambda seed, X: MeanOf([self._fc(), self._probe("jepa", READING, seed, X)]),
        }
        if self.own.task.blocks is None:
            del makers["site"]
        found = []
        for name, title, kind in ROWS:
            if name in makers:
                settings = self._settings(name, kind)
                found.append(Row(name, title, kind, makers[name], _SEEDS.get(name), settings))
        return found

    def _settings(self, name: str, kind: Kind) -> dict[str, Any]:
        if name in _SEEDS:
            return {}
        own: dict[str, Any] = {"encoders": self.encoders.settings}
        own |= {"reading": READING, "layers": LAYERS}
        if name in TRAINED:
            own |= {"head_steps": self.head_steps}
        return own | ({"head": TUNED_HEAD} if name == "jepa-finetune" else {})

    def _chance(self, seed: int, X: Places) -> Any:
        if self.own.numbers:
            nothing = lambda train: lambda places: np.zeros((len(places), 1))  # noqa: E731
            return OnRuns(nothing, DummyRegressor())
        return PriorClassifier(random_state=seed)

    def _simple(self, features: Callable[..., Floats]) -> OnRuns:
        learner = RidgeRegressor() if self.own.numbers else LinearProbe(C=1.0)
        return OnRuns(self._known(features), learner)

    def _fc(self) -> OnRuns:
        return OnRuns(self._known(fc_features), self._ridge())

    def _ridge(self) -> Any:
        if self.own.numbers:
            return RidgeRegressor()
        return make_pipeline(StandardScaler(), RidgeClassifier())

    def _svm(self) -> Any:
        """With features scaled to a norm of about 1, for which C = 1 is meant."""
        shrink = FunctionTransformer(lambda Z: Z / Z.shape[1] ** 0.5)
        if self.own.numbers:
            return TransformedTargetRegressor(
                make_pipeline(StandardScaler(), shrink, SVR(kernel="linear")),
                transformer=StandardScaler(),
            )
        return make_pipeline(StandardScaler(), shrink, SVC(kernel="linear"))

    def _on_tangent(self) -> Any:
        return RidgeRegressor() if self.own.numbers else LogisticRegression(max_iter=1000)

    def _known(self, features: Callable[[Any], Floats]) -> Callable[[Places], Read]:
        """Features that need no fitting, computed once a cohort."""
        name = getattr(features, "func", features).__name__

        def prepare(train: Places) -> Read:
            if name not in self._kept:
                self._kept[name] = features(self.own.cohort)
            return lambda places: self._kept[name][places]

        return prepare

    def _tangent(self, train: Places) -> Read:
        if "matrices" not in self._kept:
            self._kept["matrices"] = shrunk_correlations(self.own.cohort)
        matrices = self._kept["matrices"]
        space = TangentSpace().fit(matrices[train])
        return lambda places: space.transform(matrices[places])

    def _held(self, train: Places) -> frozenset[str]:
        outside = np.delete(self.own.cohort.subjects, train)
        return self.encoders.without(frozenset(outside.tolist()))

    def _probe(self, kind: str, reading: Reading | None, seed: int, X: Places) -> OnRuns:
        cohort = self.own.cohort
        layers = every_layer(self.encoders.preset) if reading else (-1,)

        def prepare(train: Places) -> Read:
            held = self._held(train)
            own = self.encoders.features(kind, seed, held, cohort, reading=reading, layers=layers)
            return lambda places: own[places]

        return OnRuns(prepare, self._ridge())

    def _network(self, mode: str, seed: int, X: Places) -> _Network:
        encoder = FrozenEstimator(self.encoders.pretrained(seed, self._held(X)))
        options: dict[str, Any] = {"mode": mode, "steps": self.head_steps, "random_state": seed}
        options |= {"head": TUNED_HEAD} if mode == "finetune" else {}
        make = BrainRegressor if self.own.numbers else BrainClassifier
        return _Network(make(encoder=encoder, **options), self.own)


@dataclass
class _Network:
    """A network trained on labels, by places."""

    estimator: Any
    own: BrainTask

    def fit(self, X: Places, y: Floats, *, groups: Sequence[object] | None = None) -> _Network:
        labels = y[:, 0] if self.own.numbers else y[:, 0].astype(int)
        self.estimator.fit([self.own.cohort.runs[i] for i in X], labels)
        return self

    def decision_function(self, X: Places) -> Floats:
        runs = [self.own.cohort.runs[i] for i in X]
        if self.own.numbers:
            return np.asarray(self.estimator.predict(runs))[:, None]
        return np.asarray(self.estimator.decision_function(runs))[:, None]


def choose_rows(rows: Sequence[Row], names: Sequence[str] | None) -> list[Row]:
    """Some of the rows, in the order of the table.

    Parameters
    ----------
    rows : sequence of Row
    names : sequence of str or None
        Names or kinds; None for all.

    Raises
    ------
    ConfigError
        If a name is unknown; the nearest is given.
    """
    if names is None:
        return list(rows)
    known = [name for name, _, _ in ROWS] + sorted({kind for _, _, kind in ROWS})
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise ConfigError(f"unknown row {name!r}: {hint}known: {', '.join(known)}")
    return [row for row in rows if row.name in names or row.kind in names]
