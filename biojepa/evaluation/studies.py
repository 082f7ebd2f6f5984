"""Two questions a table does not answer: how many labels, and how much disturbance.

Both fit a row by the benchmark's own protocol: fewer labels of the same training parts, or whole
training parts and disturbed test records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from biojepa.evaluation.label_efficiency import FRACTIONS, nested_subsets
from biojepa.evaluation.metrics import Floats, macro_auc
from biojepa.evaluation.perturbations import PERTURBATIONS, Perturbation
from biojepa.evaluation.protocol import Protocol
from biojepa.evaluation.rows import LabelledSignals, Row, fitted, score

N_DRAWS = 20


@dataclass(frozen=True)
class LabelPoint:
    """AUC of a row with some of the labels.

    Parameters
    ----------
    fraction : float
        Of the patients of each training part.
    n_records : float
        Labelled records of a training part, mean over draws.
    auc : tuple of float
        One a draw; empty if no subset of this size holds two positives of every class.
    """

    fraction: float
    n_records: float
    auc: tuple[float, ...]


def label_efficiency(
    row: Row,
    data: LabelledSignals,
    protocol: Protocol,
    *,
    seed: int = 0,
    fractions: Sequence[float] = FRACTIONS,
    n_draws: int = N_DRAWS,
) -> list[LabelPoint]:
    """AUC over fractions of the labels; the draws are the same for every row.

    Parameters
    ----------
    row : Row
        Its pretraining, which needs no labels, sees the whole training part.
    data : LabelledSignals
    protocol : Protocol
    seed : int
        Of the row.
    fractions : sequence of float
    n_draws : int
        Draws of each fraction; all labels are one draw.

    Returns
    -------
    list of LabelPoint
        In the order of `fractions`.
    """
    points: dict[float, list[float]] = {f: [] for f in fractions}
    sizes: dict[float, list[int]] = {f: [] for f in fractions}
    for draw in range(n_draws):
        wanted = [f for f in fractions if f < 1 or draw == 0]
        values = {f: np.full(data.y.shape, np.nan) for f in wanted}
        for number, split in enumerate(protocol.splits):
            subsets = nested_subsets(
                data.y[split.train],
                data.groups[split.train],
                fractions=wanted,
                random_state=np.random.default_rng([draw, number]),
            )
            for fraction, rows in subsets.items():
                if rows is None:
                    values.pop(fraction, None)
                if fraction in values and rows is not None:
                    model = fitted(row, data, split.train, split.train[rows], seed)
                    found = score(model, data.X[split.test], data.y.shape[1], row.name)
                    values[fraction][split.test] = found
                    sizes[fraction].append(len(rows))
        for fraction, found in values.items():
            points[fraction].append(macro_auc(data.y[protocol.test], found[protocol.test]))
    return [
        LabelPoint(f, float(np.mean(sizes[f])) if points[f] else float("nan"), tuple(points[f]))
        for f in fractions
    ]


def robustness(
    row: Row,
    data: LabelledSignals,
    protocol: Protocol,
    *,
    rate_hz: float,
    seed: int = 0,
    perturbations: Mapping[str, Mapping[str, Perturbation]] = PERTURBATIONS,
) -> dict[str, dict[str, float]]:
    """Macro AUC on disturbed test records; fitted on undisturbed ones.

    Parameters
    ----------
    row : Row
    data : LabelledSignals
    protocol : Protocol
    rate_hz : float
        Of the signals, hertz.
    seed : int
        Of the row; the disturbances are the same for every row and seed.
    perturbations : mapping of family to mapping of level to function

    Returns
    -------
    dict of family to dict of level to float
        The family "none" has one level, "".
    """
    levels: list[tuple[str, str, Perturbation | None]] = [("none", "", None)]
    for family, functions in perturbations.items():
        levels += [(family, level, function) for level, function in functions.items()]
    values: list[Floats] = [np.full(data.y.shape, np.nan) for _ in levels]
    for split in protocol.splits:
        model = fitted(row, data, split.train, split.train, seed)
        for number, (_, _, function) in enumerate(levels):
            X = data.X[split.test]
            if function is not None:
                rng = np.random.default_rng([number, int(split.test[0])])
                X = function(X, rate_hz, rng)
            values[number][split.test] = score(model, X, data.y.shape[1], row.name)
    test = protocol.test
    found: dict[str, dict[str, float]] = {}
    for (family, level, _), value in zip(levels, values, strict=True):
        found.setdefault(family, {})[level] = macro_auc(data.y[test], value[test])
    return found
