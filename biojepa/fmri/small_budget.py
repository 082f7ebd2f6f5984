"""Fixes how the frozen `small` preset is read, on people whom no benchmark table scores.

    python -m biojepa.fmri.small_budget --data ../shared/data/fmri --out results/fmri

Two settings: simulated people (pretraining on some, age and group of others), and the ages of ABIDE
(pretraining on ABIDE and HCP; tables score ABIDE's diagnoses, not its ages). For each reading and
layer, pretrained and random weights are probed by the ridge regression of the benchmark. The
reading with the least error of pretrained weights, relative to the mean's, is the benchmark's; a
test compares the two. Writes `small_budget.json`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from biojepa.data.splits import patient_folds
from biojepa.engine.files import write_text
from biojepa.estimators.ridge import RidgeProbe as RidgeClassifier
from biojepa.estimators.ridge_probe import RidgeProbe as RidgeRegressor
from biojepa.evaluation.metrics import Floats, macro_auc
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.regression import mean_absolute_error, pearson_r
from biojepa.evaluation.spent import Spent
from biojepa.fmri.benchmark_baselines import fc_features
from biojepa.fmri.benchmark_data import load_cohorts
from biojepa.fmri.benchmark_encoders import Encoders
from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.recipes import get_recipe
from biojepa.fmri.region_features import Reading
from biojepa.fmri.simulate import simulate_cohort

READINGS: tuple[Reading | None, ...] = (None, "region", "connectivity")
SEED = 11  # of the simulated people; the benchmark's have another
N_PRETRAINED, N_PROBED = 120, 160
Say = Callable[[str], None]


def settings_of(root: Path) -> dict[str, tuple[dict[str, BrainCohort], BrainCohort]]:
    """What is pretrained on, and who is probed, for each setting."""
    people = simulate_cohort(N_PRETRAINED + N_PROBED, random_state=SEED)
    train = people.take(range(N_PRETRAINED))
    test = people.take(range(N_PRETRAINED, len(people)))
    found = {"simulated": ({"simulated": train}, test)}
    real = load_cohorts(root)
    if "abide" in real:
        both: dict[str, BrainCohort] = {k: real[k] for k in ("abide", "hcp") if k in real}
        found["abide"] = both, real["abide"]
    return found


def probe(features: NDArray, cohort: BrainCohort) -> dict[str, float]:
    """Error of age out of fold, and AUC of the group where people are simulated."""
    Z = features.astype(np.float64)
    age = cohort.column("age").astype(float)
    found = {"age_mae": 0.0, "age_r": 0.0}
    predicted = out_of_fold(RidgeRegressor, Z, age, cohort)
    found["age_mae"] = mean_absolute_error(age, predicted)
    found["age_r"] = pearson_r(age, predicted)
    if cohort.simulated:
        group = cohort.column("group").astype(int)
        found["group_auc"] = macro_auc(group, out_of_fold(_classifier, Z, group, cohort))
    return found


def out_of_fold(make: Callable[[], Any], Z: Floats, y: NDArray, cohort: BrainCohort) -> Floats:
    """What a learner says of each run, fitted on the runs of other folds' subjects.

    Parameters
    ----------
    make : callable
        A new learner.
    Z : ndarray, shape (n, D)
    y : ndarray, shape (n,)
    cohort : BrainCohort
        Whose runs they are.

    Returns
    -------
    ndarray, shape (n,)
    """
    found = np.full(len(y), np.nan)
    for train, test in patient_folds(cohort.subjects, y, random_state=0):
        model = make().fit(Z[train], y[train])
        read = getattr(model, "decision_function", model.predict)
        found[test] = read(Z[test])
    return found


def compare(root: Path, keep: Path, *, n_seeds: int, steps: int | None, say: Say) -> dict[str, Any]:
    """Every reading and layer, of pretrained and random weights, in both settings."""
    depth = get_recipe("small").model.depth
    layers = [(0,), (depth - 1,), tuple(range(depth))]
    rows: list[dict[str, Any]] = []
    facts: dict[str, Any] = {}
    for setting, (pretraining, probed) in settings_of(root).items():
        nobody = frozenset[str]()
        encoders = Encoders(pretraining, [nobody], keep, steps=steps, say=say)
        age = probed.column("age").astype(float)
        mean = mean_absolute_error(age, np.full_like(age, age.mean()))
        facts[setting] = {
            "n_pretrained": sum(map(len, pretraining.values())),
            "n_probed": len(probed),
            "mae_of_the_mean": mean,
            "connectivity": probe(fc_features(probed), probed),
            "sha256": encoders.data | {"probed": probed.fingerprint()},
        }
        say(f"{setting}: mean {mean:.3f}, connectivity {facts[setting]['connectivity']}")
        for reading in READINGS:
            for chosen in layers:
                for weights in ("random", "jepa"):
                    runs = []
                    for seed in range(n_seeds):
                        features = encoders.features(
                            weights, seed, nobody, probed, reading=reading, layers=chosen
                        )
                        runs.append(probe(features, probed))
                    row: dict[str, Any] = {"setting": setting, "weights": weights}
                    row |= {"reading": reading or "pooled"}
                    row |= {"layers": list(chosen), "relative": []}
                    row["relative"] = [run["age_mae"] / mean for run in runs]
                    rows.append(row | {key: [run[key] for run in runs] for key in runs[0]})
                    say(f"  {row['reading']} {chosen} {weights}: {runs}")
        facts[setting]["pretraining"] = vars(encoders.total())
    return {"settings": facts, "rows": rows, "chosen": choose(rows)}


def choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The reading and layers with the least relative error of pretrained weights, over settings."""
    errors: dict[tuple[str, tuple[int, ...]], list[float]] = {}
    for row in rows:
        if row["weights"] == "jepa":
            key = row["reading"], tuple(row["layers"])
            errors.setdefault(key, []).append(float(np.mean(row["relative"])))
    reading, layers = min(errors, key=lambda key: float(np.mean(errors[key])))
    return {"reading": reading, "layers": list(layers)}


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fmri"))
    parser.add_argument("--out", type=Path, default=Path("results/fmri"))
    parser.add_argument("--keep", type=Path, default=Path("runs/fmri_small_budget"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, help="in place of the preset's")
    args = parser.parse_args(argv)

    def say(text: str) -> None:
        print(text, flush=True)

    source, began = code_state(), Spent.now()
    found = compare(args.data, args.keep, n_seeds=args.seeds, steps=args.steps, say=say)
    record = {
        "command": "python -m biojepa.fmri.small_budget",
        **source,
        "steps": args.steps or get_recipe("small").train.steps,
        "seeds": args.seeds,
        "spent": vars(Spent.now() - began),
        **found,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    write_text(args.out / "small_budget.json", json.dumps(record, indent=1) + "\n")
    say(f"chosen: {found['chosen']}")


def _classifier() -> Any:
    return make_pipeline(StandardScaler(), RidgeClassifier())


if __name__ == "__main__":
    main()
