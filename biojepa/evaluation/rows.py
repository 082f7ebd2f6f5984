"""Rows of a benchmark table: how a classifier is made, fitted by the protocol, and kept on disk.

A row makes scikit-learn-like objects: `fit(X, y, groups=)` on raw signals (n, channels, time) with
0/1 columns, and `decision_function(X)` (n, classes). Where every record has exactly one class
they are fitted on class numbers instead (see `biojepa.evaluation.exclusive`). What a row fitted and
scored is kept in a folder, so that a benchmark that was stopped goes on where it was.

Letters: n records, C classes.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from biojepa.data.splits import check_no_leakage
from biojepa.engine.files import check_folder, read_json, read_tensors, write_folder
from biojepa.errors import DataError
from biojepa.evaluation.exclusive import OneOf, class_numbers
from biojepa.evaluation.metrics import Floats
from biojepa.evaluation.protocol import Protocol as EvaluationProtocol
from biojepa.evaluation.spent import Spent

Signals = NDArray[np.float32]
Kind = Literal["chance", "random", "classical", "supervised", "mae", "jepa"]


class Classifier(Protocol):
    """What a row makes."""

    def fit(self, X: Signals, y: Floats, *, groups: Sequence[object] | None = None) -> Any:
        """Fit on signals (n, channels, time), columns (n, C) and patients (n,)."""

    def decision_function(self, X: Signals) -> Floats:
        """Scores (n, C)."""


@dataclass(frozen=True)
class Row:
    """A row of the table.

    Parameters
    ----------
    name : str
        Short, for options and files.
    title : str
        For people.
    kind : {"chance", "random", "classical", "supervised", "mae", "jepa"}
        "classical" rows are the simple baselines that the others are held against.
    make : callable
        `make(seed, X_train) -> Classifier`; the signals of the training part are for pretraining
        without labels.
    n_seeds : int or None
        At most so many seeds: 1 if every seed gives the same, or if seeds cost too much.
    settings : mapping
        All else that the scores depend on, JSON-able: scores of other settings are not reused.
    """

    name: str
    title: str
    kind: Kind
    make: Callable[[int, Signals], Classifier]
    n_seeds: int | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


class Kept(Protocol):
    """What scores are kept for: a row of any table."""

    @property
    def name(self) -> str:
        """Short, for files."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All else that the scores depend on."""


@dataclass(frozen=True)
class Scores:
    """Scores of one row and seed.

    Parameters
    ----------
    values : ndarray, shape (n, C)
        Of test and validation records; NaN elsewhere.
    spent : Spent
        On fitting and scoring.
    """

    values: Floats
    spent: Spent


@dataclass(frozen=True)
class LabelledSignals:
    """What a benchmark is run on.

    Parameters
    ----------
    X : ndarray of float32, shape (n, channels, time)
    y : ndarray, shape (n, C)
        0/1 columns.
    groups : ndarray, shape (n,)
        Patients.
    classes : tuple of str
    exclusive : bool
        Every record has exactly one class, and classifiers are told so.

    Raises
    ------
    DataError
        If `exclusive` and a record has not exactly one class.
    """

    X: Signals
    y: Floats
    groups: NDArray[Any]
    classes: tuple[str, ...]
    exclusive: bool = False

    def __post_init__(self) -> None:
        if self.exclusive:
            class_numbers(self.y)

    def fingerprint(self) -> str:
        """Hash of signals, labels, patients, class names and what kind of task it is."""
        kind = ["one class a record"] if self.exclusive else []
        total = hashlib.sha256(json.dumps([list(self.classes), self.X.shape, *kind]).encode())
        for record in self.X:
            total.update(np.ascontiguousarray(record, dtype="<f4").tobytes())
        total.update(np.ascontiguousarray(self.y, dtype="<f8").tobytes())
        total.update("\n".join(map(str, self.groups)).encode())
        return total.hexdigest()


class PriorClassifier:
    """Chance: the base rate of each class, with noise that breaks the ties.

    Without noise the rates of different training parts would be scores of their own, and their
    AUC below one half: a fold with more positives has left fewer to the others. Every set
    of records gets a draw of its own: one draw for all folds would follow the order of the records.
    """

    def __init__(self, *, random_state: int) -> None:
        self.random_state = random_state

    def fit(
        self, X: Signals, y: Floats, *, groups: Sequence[object] | None = None
    ) -> PriorClassifier:
        """Count positives of columns or classes; one half of a record of each kind is added."""
        if y.ndim == 1:
            y = (y[:, None] == np.unique(y)).astype(np.float64)
        known = (~np.isnan(y)).sum(0)
        rate = (np.nansum(y, axis=0) + 0.5) / (known + 1)
        self.log_odds_ = np.log(rate / (1 - rate))
        return self

    def decision_function(self, X: Signals) -> Floats:
        """Log odds of the base rates, plus noise."""
        content = zlib.crc32(np.ascontiguousarray(X).tobytes())
        rng = np.random.default_rng([self.random_state, content])
        return self.log_odds_ + rng.standard_normal((len(X), len(self.log_odds_)))


def run_row(
    row: Row,
    data: LabelledSignals,
    protocol: EvaluationProtocol,
    seed: int,
    *,
    allow_leakage: bool = False,
) -> Scores:
    """Fit and score a row by the protocol.

    Parameters
    ----------
    row : Row
    data : LabelledSignals
    protocol : Protocol
    seed : int
    allow_leakage : bool
        Go on although a patient stands on both sides.

    Returns
    -------
    Scores

    Raises
    ------
    LeakageError
        If a patient is in the training part and among those that are judged.
    DataError
        If the row gives scores of another shape.
    """
    values = np.full(data.y.shape, np.nan)
    began = Spent.now()
    for split in protocol.splits:
        judged = np.concatenate([split.test, split.validation])
        check_no_leakage(data.groups[split.train], data.groups[judged], allow_leakage=allow_leakage)
        model = fitted(row, data, split.train, split.train, seed)
        values[judged] = score(model, data.X[judged], data.y.shape[1], row.name)
    return Scores(values, Spent.now() - began)


def fitted(
    row: Row, data: LabelledSignals, unlabelled: NDArray, labelled: NDArray, seed: int
) -> Classifier:
    """A classifier of the row; `unlabelled` rows may serve its pretraining."""
    model: Classifier = row.make(seed, data.X[unlabelled])
    if data.exclusive:
        model = OneOf(model)
    model.fit(data.X[labelled], data.y[labelled], groups=data.groups[labelled].tolist())
    return model


def score(model: Classifier, X: Signals, n_classes: int, name: str) -> Floats:
    """Scores of a fitted classifier, checked.

    Raises
    ------
    DataError
        If they are not (n, C).
    """
    found = np.asarray(model.decision_function(X), dtype=np.float64)
    if found.shape != (len(X), n_classes):
        raise DataError(
            f"expected scores ({len(X)}, {n_classes}) of the row {name!r}, got {found.shape}"
        )
    return found


class ScoreFolder:
    """Scores on disk, found again by everything that they depend on.

    Parameters
    ----------
    folder : Path or None
        None keeps nothing.
    context : mapping
        What holds for all rows: hash of the data, protocol, versions. JSON-able.
    """

    def __init__(self, folder: Path | None, context: Mapping[str, Any]) -> None:
        self.folder, self.context = folder, dict(context)

    def get(self, row: Kept, seed: int) -> Scores | None:
        """The scores if they are there."""
        path = self._path(row, seed)
        if path is None or not path.is_dir():
            return None
        check_folder(path)
        values = read_tensors(path / "scores.safetensors")["scores"].numpy()
        return Scores(values, Spent(**read_json(path / "row.json")["spent"]))

    def put(self, row: Kept, seed: int, scores: Scores) -> None:
        """Keep scores; whole or not at all."""
        path = self._path(row, seed)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        spent = asdict(scores.spent)
        text = {"row": row.name, "seed": seed, "spent": spent, "key": self._key(row)}
        write_folder(
            path, {"scores": {"scores": torch.from_numpy(scores.values)}}, {"row.json": text}
        )

    def _key(self, row: Kept) -> dict[str, Any]:
        return {**self.context, "row": row.name, "settings": dict(row.settings)}

    def _path(self, row: Kept, seed: int) -> Path | None:
        if self.folder is None:
            return None
        text = json.dumps(self._key(row), sort_keys=True)
        return self.folder / f"{row.name}-s{seed}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
