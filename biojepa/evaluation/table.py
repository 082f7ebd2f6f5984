"""The benchmark table: every row's metrics, intervals over patients, and paired differences.

A row of several seeds is judged by the mean of its seeds' AUC, see `seeds`.

Letters: n records, C classes, S seeds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from biojepa.evaluation.bootstrap import BootstrapResult, bootstrap_metric
from biojepa.evaluation.calibration import Reliability, expected_calibration_error, reliability
from biojepa.evaluation.exclusive import accuracy, most_likely
from biojepa.evaluation.metrics import Floats, auprc, brier, class_values, macro_auc
from biojepa.evaluation.protocol import Protocol, fix_on_validation
from biojepa.evaluation.rows import Kind, LabelledSignals, Row, Scores
from biojepa.evaluation.seeds import bootstrap_seeds
from biojepa.evaluation.thresholds import f1_per_class

HELME_RESAMPLES, HELME_CONFIDENCE = 100, 0.90  # as the PTB-XL benchmark reports its intervals


@dataclass(frozen=True)
class RowResult:
    """What one row reached.

    Parameters
    ----------
    name, title, kind
        Of the row.
    seeds : tuple of int
    seed_auc : tuple of float
        Macro AUC of each seed.
    auc : BootstrapResult
        Mean over the seeds, with its interval over patients.
    difference : BootstrapResult or None
        To the strongest classical row; None for that row itself, or if there is none.
    auc_helme : (float, float, float) or None
        Mean, 5 % and 95 % of the resamples under the rule of the PTB-XL benchmark (first seed);
        None where a class has no positive.
    auprc, f1, brier, brier_scaled, ece, ece_scaled : float
        Means over the seeds; "scaled" is after temperature scaling.
    per_class : DataFrame
        One line a class: auc, auprc, f1 (means over the seeds), n_positive, n_negative.
    reliability, reliability_scaled : Reliability
        Of all seeds' answers.
    minutes, cpu_minutes : float
        Of fitting and scoring a seed, wall and processor time; pretraining that rows share is
        counted apart.
    accuracy : float or None
        Share of records whose most likely class is theirs (mean over the seeds), where every record
        has exactly one; the F1 is then that of the most likely class.
    """

    name: str
    title: str
    kind: Kind
    seeds: tuple[int, ...]
    seed_auc: tuple[float, ...]
    auc: BootstrapResult
    difference: BootstrapResult | None
    auc_helme: tuple[float, float, float] | None
    auprc: float
    f1: float
    brier: float
    brier_scaled: float
    ece: float
    ece_scaled: float
    per_class: pd.DataFrame
    reliability: Reliability
    reliability_scaled: Reliability
    minutes: float
    cpu_minutes: float
    accuracy: float | None = None

    def numbers(self) -> dict[str, Any]:
        """As plain values for JSON."""
        plain = ["name", "title", "kind", "seeds", "seed_auc", "auc_helme", "auprc", "f1"]
        plain += ["brier", "brier_scaled", "ece", "ece_scaled", "minutes", "cpu_minutes"]
        plain += ["accuracy"]
        return {
            **{key: getattr(self, key) for key in plain},
            "auc": self.auc.summary(),
            "difference": None if self.difference is None else self.difference.summary(),
            "per_class": self.per_class.to_dict(orient="index"),
            "reliability": [list(map(float, part)) for part in self.reliability],
            "reliability_scaled": [list(map(float, part)) for part in self.reliability_scaled],
        }


def strongest(auc: Mapping[str, float], rows: Sequence[Row]) -> str | None:
    """The classical row with the largest AUC: chosen on the test records, in its favour."""
    classical = [row.name for row in rows if row.kind == "classical" and row.name in auc]
    return max(classical, key=lambda name: auc[name], default=None)


def make_table(
    rows: Sequence[Row],
    scores: Mapping[str, Mapping[int, Scores]],
    data: LabelledSignals,
    protocol: Protocol,
    *,
    n_resamples: int = 1000,
    random_state: int = 0,
) -> list[RowResult]:
    """Results of all rows, in their order.

    Parameters
    ----------
    rows : sequence of Row
    scores : mapping of row name to mapping of seed to Scores
        Rows without scores are left out.
    data : LabelledSignals
    protocol : Protocol
    n_resamples : int
        Of patients.
    random_state : int

    Returns
    -------
    list of RowResult

    Raises
    ------
    DataError
        If no class can be judged.
    """
    test = protocol.test
    y, groups = data.y[test], data.groups[test]
    done = [row for row in rows if scores.get(row.name)]
    auc = {
        row.name: float(np.mean([macro_auc(y, s.values[test]) for s in scores[row.name].values()]))
        for row in done
    }
    best = strongest(auc, done)
    results = []
    for row in done:
        runs = scores[row.name]
        other = (
            None if best in (None, row.name) else [s.values[test] for s in scores[best].values()]
        )
        own = [s.values[test] for s in runs.values()]
        options: dict[str, Any] = {
            "groups": groups,
            "n_resamples": n_resamples,
            "random_state": random_state,
        }
        difference = None if other is None else bootstrap_seeds(y, own, other, **options)
        results.append(
            RowResult(
                name=row.name,
                title=row.title,
                kind=row.kind,
                seeds=tuple(runs),
                seed_auc=tuple(macro_auc(y, s) for s in own),
                auc=bootstrap_seeds(y, own, **options),
                difference=difference,
                auc_helme=_helme(y, own[0], random_state),
                minutes=float(np.mean([s.spent.wall_s for s in runs.values()])) / 60,
                cpu_minutes=float(np.mean([s.spent.cpu_s for s in runs.values()])) / 60,
                **_fixed_metrics(data, [s.values for s in runs.values()], protocol),
            )
        )
    return results


def _helme(y: Floats, scores: Floats, random_state: int) -> tuple[float, float, float] | None:
    """Record-level resamples, redrawn until every class has a positive."""
    if not (y == 1).any(0).all() or not (y == 0).any(0).all():
        return None
    found = bootstrap_metric(
        y,
        scores,
        n_resamples=HELME_RESAMPLES,
        confidence=HELME_CONFIDENCE,
        rule="helme",
        random_state=random_state,
    )
    return float(found.values.mean()), found.low, found.high


def _fixed_metrics(data: LabelledSignals, runs: list[Floats], protocol: Protocol) -> dict[str, Any]:
    """Metrics that need probabilities or thresholds, and the table of classes."""
    test = protocol.test
    y = data.y[test]
    fixed = [fix_on_validation(data.y, run, protocol, exclusive=data.exclusive) for run in runs]
    called = [(r[test], f.thresholds) for r, f in zip(runs, fixed, strict=True)]
    if data.exclusive:
        called = [(most_likely(r[test]), np.full(y.shape[1], 0.5)) for r in runs]
    f1 = np.stack([f1_per_class(y, values, limits) for values, limits in called])
    one = np.ones((len(y), 1))
    columns = {
        kind: np.mean([class_values(y, r[test], one, kind=kind)[:, 0] for r in runs], axis=0)
        for kind in ("auc", "auprc")
    }
    known = ~np.isnan(f1).all(0)
    mean_f1 = np.full(y.shape[1], np.nan)
    mean_f1[known] = f1[:, known].mean(0)
    per_class = pd.DataFrame(
        {
            **columns,
            "f1": mean_f1,
            "n_positive": (y == 1).sum(0),
            "n_negative": (y == 0).sum(0),
        },
        index=pd.Index(data.classes, name="class"),
    )
    labels = np.concatenate([y] * len(runs))
    said, scaled = (
        np.concatenate([getattr(f, name) for f in fixed]) for name in ("said", "scaled")
    )
    return {
        "auprc": float(np.mean([auprc(y, r[test]) for r in runs])),
        "f1": float(mean_f1[known].mean()) if known.any() else float("nan"),
        "brier": float(np.mean([brier(y, f.said) for f in fixed])),
        "brier_scaled": float(np.mean([brier(y, f.scaled) for f in fixed])),
        "ece": float(np.mean([expected_calibration_error(y, f.said) for f in fixed])),
        "ece_scaled": float(np.mean([expected_calibration_error(y, f.scaled) for f in fixed])),
        "per_class": per_class,
        "reliability": reliability(labels, said),
        "reliability_scaled": reliability(labels, scaled),
        "accuracy": float(np.mean([accuracy(y, r[test]) for r in runs]))
        if data.exclusive
        else None,
    }
