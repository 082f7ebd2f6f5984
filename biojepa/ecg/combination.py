"""How to put JEPA features and beat features together: fixed on records that are never scored.

    python -m biojepa.ecg.combination --data ../shared/data/ecg --out results

Pretrains on the unlabelled records of the extra set that have no labels (1,323), and compares
four ways on its 460 labelled ones, patient-grouped five-fold. The 350 of the benchmark are not read
here. Writes `ecg_combination_choice.json`, which the row `jepa-beats-trees` follows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.ensemble import HistGradientBoostingClassifier

from biojepa.data.splits import patient_folds
from biojepa.ecg.beats import BeatFeatures
from biojepa.ecg.small_budget import (
    N_FOLDS,
    estimator,
    load_extra,
    provenance,
)
from biojepa.engine.files import write_text
from biojepa.estimators.per_class import PerClass
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.metrics import macro_auc

Way = Literal["logistic", "trees", "mean log odds", "mean probability"]
WAYS: tuple[Way, ...] = get_args(Way)
N_SEEDS = 2
CLIP = 1e-6  # a probability of 0 or 1 has no log odds


class Combined:
    """JEPA features and beat features in one classifier of 0/1 columns.

    Parameters
    ----------
    n_jepa : int
        The first so many columns are JEPA features, the others beat features.
    way : {"logistic", "trees", "mean log odds", "mean probability"}
        One logistic regression or boosted trees on all columns; or the mean of what a logistic
        regression on JEPA features and boosted trees on beat features say.
    C : float
        Inverse strength of the penalty of the logistic regression.
    random_state : int
        Of the trees.
    """

    def __init__(self, n_jepa: int, *, way: Way, C: float, random_state: int = 0) -> None:
        self.n_jepa, self.way, self.C, self.random_state = n_jepa, way, C, random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Combined:
        """Fit on features (n, D) and columns (n, K)."""
        every = np.asarray(X)
        jepa, beats = every[:, : self.n_jepa], every[:, self.n_jepa :]
        linear = LinearProbe(C=self.C)
        trees = PerClass(
            HistGradientBoostingClassifier(early_stopping=False), random_state=self.random_state
        )
        if self.way == "logistic":
            self.parts_ = [(slice(None), linear.fit(every, y))]
        elif self.way == "trees":
            self.parts_ = [(slice(None), trees.fit(every, y))]
        else:
            self.parts_ = [
                (slice(None, self.n_jepa), linear.fit(jepa, y)),
                (slice(self.n_jepa, None), trees.fit(beats, y)),
            ]
        return self

    def decision_function(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log odds (n, K)."""
        every = np.asarray(X)
        said = np.stack([part.decision_function(every[:, own]) for own, part in self.parts_])
        if self.way == "mean probability":
            return logit(np.clip(expit(said).mean(0), CLIP, 1 - CLIP))
        return said.mean(0)


def compare(
    jepa: NDArray, beats: NDArray, y: NDArray, patients: NDArray, *, C: float, seed: int
) -> dict[str, float]:
    """Macro AUC out of fold of each way, and of either kind of features alone.

    Parameters
    ----------
    jepa, beats : ndarray, shape (n, D)
    y : ndarray, shape (n, K)
    patients : ndarray, shape (n,)
    C : float
    seed : int
        Of the trees.
    """
    both = np.concatenate([jepa, beats], axis=1)
    n_jepa = jepa.shape[1]
    makers: dict[str, tuple[NDArray, Callable[[], Any]]] = {
        "JEPA alone, logistic": (jepa, partial(LinearProbe, C=C)),
        "beats alone, trees": (beats, partial(Combined, 0, way="trees", C=C, random_state=seed)),
    }
    for way in WAYS:
        makers[way] = both, partial(Combined, n_jepa, way=way, C=C, random_state=seed)
    folds = patient_folds(patients, y, n_splits=N_FOLDS, random_state=0)
    found = {}
    for name, (features, make) in makers.items():
        scores = np.full(y.shape, np.nan)
        for train, test in folds:
            fitted = make().fit(features[train], y[train].astype(int))
            scores[test] = fitted.decision_function(features[test])
        found[name] = macro_auc(y, scores)
    return found


def choose(root: Path, out: Path, say: Callable[[str], None]) -> None:
    """Compare on the labelled part of the extra set and write `ecg_combination_choice.json`."""
    source = provenance(root)
    probe = json.loads((out / "ecg_probe_choice.json").read_text(encoding="utf-8"))
    extra = load_extra(root)
    known = ~np.isnan(extra.y[:, 0])
    values, y, patients = extra.values[known], extra.y[known], extra.patients[known]
    measures = BeatFeatures(fs=100, leads=extra.leads, units=extra.units)
    beats = measures.fit(values).transform(values)
    rows = []
    for seed in range(N_SEEDS):
        model = estimator(extra, seed=seed).fit(extra.values[~known])
        jepa = model.set_params(pool=probe["pool"], layer=probe["layer"]).transform(values)
        rows.append(compare(jepa, beats, y, patients, C=probe["C"], seed=seed))
        say(f"seed {seed}: " + ", ".join(f"{name} {auc:.4f}" for name, auc in rows[-1].items()))
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    best = max(WAYS, key=lambda way: means[way])
    record = {
        "command": "python -m biojepa.ecg.combination",
        **source,
        "n_records": int(known.sum()),
        "n_pretraining": int((~known).sum()),
        "amplitude": "none: the extra set is z-scored, so that beat features are in units of it",
        "C": probe["C"],
        "way": best,
        "auc": means,
        "seeds": rows,
    }
    write_text(out / "ecg_combination_choice.json", json.dumps(record, indent=1) + "\n")
    say(f"chosen: {best}")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    parser.add_argument("--out", type=Path, default=Path("results"))
    args = parser.parse_args(argv)
    choose(args.data, args.out, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
