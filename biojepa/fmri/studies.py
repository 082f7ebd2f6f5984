"""Studies of what Brain-JEPA is made of, on real recordings where there are any to be had.

    python -m biojepa.fmri.studies NAME --data ../shared/data/fmri --out results/fmri

- `positions`: gradients, learned, or no positions of the regions (ABIDE, one atlas);
- `sampler`: the corrected masks and the published ones (ABIDE and HCP);
- `normalisation`: z-score of each region, one z-score for the whole run, and the published scaling.
  The last needs raw BOLD: it is measured on simulated people with offsets, and on the five HCP runs
  by the share of variance that it leaves to offsets; the other sets are standardised already;
- `new-atlas`: the features of an atlas that pretraining has not seen (BASC, 64 regions) beside one
  that it has (AAL), on the same people.

Pretraining never sees the people who are probed (development fMRI, or other simulated ones). They
are probed for age as the benchmark does, by its ridge regression and reading, and with all tokens
pooled; differences are paired, with intervals over people. Nothing is chosen by what they find.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.engine.files import write_text
from biojepa.errors import DataError, PlausibilityWarning
from biojepa.estimators.ridge_probe import RidgeProbe
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.regression import mean_absolute_error, pearson_r
from biojepa.evaluation.seeds import bootstrap_seeds
from biojepa.evaluation.spent import Spent
from biojepa.fmri.benchmark_baselines import fc_features
from biojepa.fmri.benchmark_data import load_cohorts
from biojepa.fmri.benchmark_rows import LAYERS, READING
from biojepa.fmri.cohort import BrainCohort
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.model import build_jepa
from biojepa.fmri.preprocess import Normalise, robust_statistics
from biojepa.fmri.pretrain import Pretrained
from biojepa.fmri.region_features import region_features
from biojepa.fmri.simulate import simulate_cohort
from biojepa.fmri.small_budget import out_of_fold

Say = Callable[[str], None]
SIMULATED_SEED = 23
N_PRETRAINED, N_PROBED = 90, 120  # simulated people


@dataclass(frozen=True)
class Variant:
    """One way of making the model.

    Parameters
    ----------
    name : str
    model : mapping
        Settings in place of the preset's.
    normalise : str or None
        In place of the preset's.
    """

    name: str
    model: Mapping[str, Any]
    normalise: Normalise | None = None


@dataclass(frozen=True)
class Budget:
    """Seeds and steps of a study."""

    n_seeds: int
    steps: int | None
    n_resamples: int = 1000


def positions(cohorts: Mapping[str, BrainCohort], budget: Budget, say: Say) -> dict[str, Any]:
    """Gradients against learned and no positions of the regions."""
    kinds = ("gradients", "learned", "none")
    variants = [Variant(kind, {"region_positions": kind}) for kind in kinds]
    return _compare(variants, [cohorts["abide"]], cohorts["development"], budget, say)


def sampler(cohorts: Mapping[str, BrainCohort], budget: Budget, say: Say) -> dict[str, Any]:
    """Corrected against published masks."""
    variants = [Variant(recipe, {"mask_recipe": recipe}) for recipe in ("default", "paper")]
    train = [cohorts["abide"], cohorts["hcp"]]
    return _compare(variants, train, cohorts["development"], budget, say)


def normalisation(cohorts: Mapping[str, BrainCohort], budget: Budget, say: Say) -> dict[str, Any]:
    """z-scores of regions against one of the run and the published scaling."""
    people = simulate_cohort(N_PRETRAINED + N_PROBED, n_sites=1, random_state=SIMULATED_SEED)
    train = people.take(range(N_PRETRAINED))
    test = people.take(range(N_PRETRAINED, len(people)))
    names: tuple[Normalise, ...] = ("region", "global", "robust")
    found = _compare([Variant(name, {}, name) for name in names], [train], test, budget, say)
    found["offsets"] = offset_shares(cohorts)
    return found


def offset_shares(cohorts: Mapping[str, BrainCohort]) -> dict[str, Any]:
    """Share of the variance of real runs that the published scaling leaves to constant offsets.

    None, with the reason, where it cannot be applied.
    """
    found: dict[str, Any] = {}
    for name, cohort in cohorts.items():
        runs = [run.values.astype(np.float64) for run in cohort.runs]
        means = np.stack([x.mean(axis=1) for x in runs])
        try:
            median, iqr = robust_statistics(means, spread=np.stack([x.std(axis=1) for x in runs]))
        except DataError as error:
            found[name] = {"share": None, "why": str(error)}
            continue
        shares = []
        for x in runs:
            scaled = (x - np.array(median)[:, None]) / np.array(iqr)[:, None]
            shares.append(float(scaled.mean(axis=1).var() / scaled.var()))
        found[name] = {"share": float(np.mean(shares)), "n_runs": len(runs)}
    return found


def new_atlas(cohorts: Mapping[str, BrainCohort], budget: Budget, say: Say) -> dict[str, Any]:
    """An atlas that pretraining has seen and one that it has not, on the same people."""
    train = [cohorts["abide"], cohorts["hcp"]]
    found: dict[str, Any] = {}
    for name in ("development", "development-basc"):
        say(f"{cohorts[name].title}:")
        found[name] = _compare([Variant("small", {})], train, cohorts[name], budget, say)
    return {"atlases": found, "note": "gradients of the new atlas: of the probed runs, unlabelled"}


STUDIES: dict[str, Callable[[Mapping[str, BrainCohort], Budget, Say], dict[str, Any]]] = {
    "positions": positions,
    "sampler": sampler,
    "normalisation": normalisation,
    "new-atlas": new_atlas,
}


def _compare(
    variants: Sequence[Variant],
    train: Sequence[BrainCohort],
    probed: BrainCohort,
    budget: Budget,
    say: Say,
) -> dict[str, Any]:
    """Age of the probed people from each variant, pretrained and with random weights."""
    age = probed.column("age").astype(float)
    predict = partial(_predict, probed=probed)
    fc = predict(fc_features(probed))
    runs = [run for cohort in train for run in cohort.runs]
    said: dict[tuple[str, str, str], list[NDArray]] = {}
    seconds: dict[str, float] = {}
    for variant in variants:
        for seed in range(budget.n_seeds):
            began = Spent.now()
            trained = BrainJEPA(
                steps=budget.steps,
                normalise=variant.normalise,
                model=dict(variant.model),
                random_state=seed,
            ).fit(runs)
            seconds[variant.name] = (Spent.now() - began).cpu_s
            for weights, model in (("jepa", trained), ("random", _untrained(trained, seed))):
                for reading in ("pooled", READING):
                    features = _features(model, probed, reading)
                    said.setdefault((variant.name, weights, reading), []).append(predict(features))
    rows = []
    options: dict[str, Any] = {"groups": probed.subjects, "n_resamples": budget.n_resamples}
    options |= {"metric": mean_absolute_error, "random_state": 0}
    y = age[:, None]
    for (name, weights, reading), own in said.items():
        row: dict[str, Any] = {"variant": name, "weights": weights, "reading": reading}
        columns = [p[:, None] for p in own]
        row["mae"] = bootstrap_seeds(y, columns, **options).summary()
        row["seeds"] = [mean_absolute_error(age, p) for p in own]
        row["r"] = float(np.mean([pearson_r(age, p) for p in own]))
        for what, key in (
            ("over_random", (name, "random", reading)),
            ("over_first", (variants[0].name, weights, reading)),
        ):
            if key != (name, weights, reading):
                other = [p[:, None] for p in said[key]]
                row[what] = bootstrap_seeds(y, columns, other, **options).summary()
        rows.append(row)
        say(f"  {name}, {weights}, {reading}: MAE {row['mae']['point']:.3f}, r {row['r']:.3f}")
    return {
        "probed": probed.title,
        "pretrained_on": [cohort.title for cohort in train],
        "sha256": {c.name: c.fingerprint() for c in (*train, probed)},
        "mae_of_the_mean": mean_absolute_error(age, np.full_like(age, age.mean())),
        "connectivity": {"mae": mean_absolute_error(age, fc), "r": pearson_r(age, fc)},
        "cpu_seconds_a_pretraining": seconds,
        "rows": rows,
    }


def _predict(features: NDArray, *, probed: BrainCohort) -> NDArray[np.float64]:
    age = probed.column("age").astype(float)
    return out_of_fold(RidgeProbe, features.astype(np.float64), age, probed)


def _features(model: BrainJEPA, probed: BrainCohort, reading: str) -> NDArray:
    with warnings.catch_warnings():
        # an atlas that the model has not seen is the point of one of the studies
        warnings.filterwarnings("ignore", "fitted the gradients", PlausibilityWarning)
        runs = list(probed.runs)
        if reading == "pooled":
            return model.set_params(pool="mean_std", layer=-1).transform(runs)
        return region_features(
            model, runs, reading=READING, layers=range(model.model_config_.depth)
        )


def _untrained(trained: BrainJEPA, seed: int) -> BrainJEPA:
    """The same model with fresh weights."""
    own = trained.pretrained()
    fresh = BrainJEPA(preset=trained.preset)
    jepa = build_jepa(own.config, gradients=own.atlases[0].gradients, seed=seed)
    fresh.take(Pretrained(jepa, own.config, own.preprocess, own.atlases, own.result, own.training))
    return fresh


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", choices=tuple(STUDIES))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/fmri"))
    parser.add_argument("--out", type=Path, default=Path("results/fmri"))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--steps", type=int, help="in place of the preset's")
    args = parser.parse_args(argv)

    def say(text: str) -> None:
        print(text, flush=True)

    source, began = code_state(), Spent.now()
    budget = Budget(args.seeds, args.steps)
    found = STUDIES[args.study](load_cohorts(args.data), budget, say)
    record = {
        "command": f"python -m biojepa.fmri.studies {args.study}",
        **source,
        **asdict(budget),
        "reading": {"reading": READING, "layers": LAYERS},
        "spent": asdict(Spent.now() - began),
        **found,
    }
    args.out.mkdir(parents=True, exist_ok=True)
    name = f"{args.study.replace('-', '_')}.json"
    write_text(args.out / name, json.dumps(record, indent=1, allow_nan=False) + "\n")


if __name__ == "__main__":
    main()
