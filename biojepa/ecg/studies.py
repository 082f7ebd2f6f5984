"""Two studies on real recordings: how much to mask, and which diagnostic tells good features.

    python -m biojepa.ecg.studies mask-ratio --data ../shared/data/ecg --out results
    python -m biojepa.ecg.studies diagnostics --data ../shared/data/ecg --out results

Both pretrain the `small` preset on the unlabelled extra set and probe the 350 labelled PTB-XL
records as `biojepa.ecg.small_budget` does (same folds, pool, layers and C, fixed elsewhere).
Nothing is chosen by what they find: they describe, and a preset that followed them would have to be
judged on other records. `mask-ratio` writes `ecg_mask_ratio.json`, `diagnostics` writes
`ecg_diagnostics.json`.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from biojepa.data.records import ArrayRecords
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.pretrain import Pretrained, make_preprocess, model_leads, pretrain
from biojepa.ecg.recipes import get_recipe
from biojepa.ecg.small_budget import (
    RecordSet,
    difference_interval,
    load_extra,
    load_labelled,
    out_of_fold,
    provenance,
    random_encoder,
)
from biojepa.engine.files import write_text
from biojepa.engine.objective import Objective
from biojepa.engine.train import TrainResult
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.report import finite

RATIOS = (0.5, 0.75, 0.8, 0.9)  # masked share; ours: drawn within 0.05 of it, as published
HALF_WIDTH = 0.05
# settings of each run; ours: SIGReg's statistic is large and takes a small weight
REGULARISERS: Mapping[str, Mapping[str, Any]] = {
    "vicreg": {"regulariser": "vicreg"},
    "sigreg": {"regulariser": "sigreg", "regulariser_weight": 0.02},
    "none": {"regulariser": "none"},
}
DIAGNOSTICS = ("rankme", "lidar", "alpha_req", "std", "sigreg", "skill", "loss")
N_CHECKPOINTS = 10
Say = Callable[[str], None]
Probe = Mapping[str, Any]


def mask_ratio(
    extra: RecordSet,
    labelled: RecordSet,
    *,
    probe: Probe,
    ratios: Sequence[float] = RATIOS,
    n_seeds: int = 3,
    preset: str = "small",
    steps: int | None = None,
    say: Say = print,
) -> dict[str, Any]:
    """Mean AUC of a linear probe by the masked share of the tokens, and of random weights.

    Parameters
    ----------
    extra : RecordSet
        To pretrain on.
    labelled : RecordSet
        To probe.
    probe : mapping
        `pool`, `layer` and `C`.
    ratios : sequence of float
    n_seeds : int
    preset : str
    steps : int, optional
        In place of the preset's.
    say : callable

    Returns
    -------
    dict
        `rows`: for each share the AUC of every seed, and the difference to random weights of the
        same seeds with its interval over patients; `random`: their AUC.
    """
    scores: dict[float, list[np.ndarray]] = {}
    random: list[np.ndarray] = []
    rows = []
    for ratio in ratios:
        keep = (1 - ratio - HALF_WIDTH, 1 - ratio + HALF_WIDTH)
        for seed in range(n_seeds):
            model = ECGJEPA(
                preset=preset,
                steps=steps,
                fs=100,
                leads=extra.leads,
                units=extra.units,
                model={"keep": keep},
                random_state=seed,
            ).fit(extra.values)
            scores.setdefault(ratio, []).append(_out_of_fold(model, labelled, probe))
            say(f"masked {ratio:g}, seed {seed}: {macro_auc(labelled.y, scores[ratio][-1]):.4f}")
            if len(random) <= seed:
                random.append(_out_of_fold(random_encoder(model, seed), labelled, probe))
        gap = difference_interval(labelled.y, scores[ratio], random, labelled.patients)
        rows.append(
            {
                "masked": ratio,
                "auc": [macro_auc(labelled.y, s) for s in scores[ratio]],
                "difference": dict(zip(("mean", "low", "high"), gap, strict=True)),
            }
        )
    return {"rows": rows, "random": [macro_auc(labelled.y, s) for s in random]}


def diagnostics(
    extra: RecordSet,
    labelled: RecordSet,
    *,
    probe: Probe,
    regularisers: Sequence[str] = tuple(REGULARISERS),
    n_checkpoints: int = N_CHECKPOINTS,
    preset: str = "small",
    steps: int | None = None,
    seed: int = 0,
    say: Say = print,
) -> dict[str, Any]:
    """Rank correlation of what needs no labels with what the features are worth.

    Parameters
    ----------
    extra, labelled, probe, preset, steps, say
        As in `mask_ratio`.
    regularisers : sequence of str
        One run each.
    n_checkpoints : int
        Of each run, evenly spaced.
    seed : int

    Returns
    -------
    dict
        `checkpoints`: regulariser, step, diagnostics and probe AUC of each; `spearman`: for each
        diagnostic the rank correlation within each run and over all of them.
    """
    recipe = get_recipe(preset)
    total = steps or recipe.train.steps
    every = max(1, total // n_checkpoints)
    train = replace(
        recipe.train,
        steps=total,
        warmup_steps=round(recipe.train.warmup_steps * total / recipe.train.steps),
        diagnose_every=every,
        log_every=every,
        seed=seed,
    )
    records = ArrayRecords(extra.values, fs=100, channels=extra.leads, units=extra.units)
    leads = model_leads(extra.leads, len(extra.leads), recipe, None)
    preprocess = make_preprocess(recipe, leads, records, units=extra.units)

    def evaluate(objective: Objective, step: int) -> dict[str, float]:
        jepa: Any = copy.deepcopy(objective)
        model = ECGJEPA(preset=preset, fs=100)
        config = replace(jepa.encoder.config, leads=leads)
        model.take(Pretrained(jepa, config, preprocess, TrainResult(), {}))
        return {"auc": macro_auc(labelled.y, _out_of_fold(model, labelled, probe))}

    checkpoints: list[dict[str, Any]] = []
    for name in regularisers:
        fitted = pretrain(
            records,
            recipe,
            units=extra.units,
            model=dict(REGULARISERS[name]),
            training=train,
            evaluate=evaluate,
            every=every,
        )
        rows = _merged(fitted.result.rows)
        checkpoints += [{"regulariser": name, **row} for row in rows if "auc" in row]
        reached = ", ".join(f"{c['auc']:.3f}" for c in checkpoints if c["regulariser"] == name)
        say(f"{name}: AUC {reached}")
    return {"checkpoints": checkpoints, "spearman": rank_correlations(checkpoints)}


def rank_correlations(checkpoints: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Spearman's rho of each diagnostic with `auc`, within each run and over all.

    Parameters
    ----------
    checkpoints : sequence of mapping
        With `regulariser`, `auc` and the diagnostics, as far as they were logged.

    Returns
    -------
    dict of str to dict
        For each diagnostic: run (or "all") to `{"rho": float or None, "n": int}`; None where fewer
        than three checkpoints have both, or one of them does not vary.
    """
    runs = dict.fromkeys(str(c["regulariser"]) for c in checkpoints)
    found: dict[str, Any] = {}
    for name in DIAGNOSTICS:
        found[name] = {}
        for run in [*runs, "all"]:
            pairs = np.array(
                [
                    (c[name], c["auc"])
                    for c in checkpoints
                    if run in (c["regulariser"], "all") and math.isfinite(c.get(name, math.nan))
                ]
            ).reshape(-1, 2)
            varies = len(pairs) >= 3 and (np.ptp(pairs, axis=0) > 0).all()
            rho = float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic) if varies else None
            found[name][run] = {"rho": rho, "n": len(pairs)}
    return found


def _out_of_fold(model: ECGJEPA, records: RecordSet, probe: Probe) -> np.ndarray:
    """Scores of the probe on these records, never fitted on their patient."""
    model.set_params(leads=records.leads, units=records.units)
    model.set_params(pool=probe["pool"], layer=probe["layer"])
    return out_of_fold(model.transform(records.values), records, C=probe["C"])


def _merged(rows: Sequence[Mapping[str, float]]) -> list[dict[str, float]]:
    """What was logged at one step, as one row."""
    by_step: dict[int, dict[str, float]] = {}
    for row in rows:
        by_step.setdefault(int(row["step"]), {}).update(row)
    return [by_step[step] for step in sorted(by_step)]


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", choices=("mask-ratio", "diagnostics"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--seeds", type=int, default=3, help="of mask-ratio")
    parser.add_argument("--steps", type=int, help="in place of the preset's")
    args = parser.parse_args(argv)
    chosen = json.loads((args.out / "ecg_probe_choice.json").read_text(encoding="utf-8"))
    probe = {name: chosen[name] for name in ("pool", "layer", "C")}
    probe["chosen_by"] = "ecg_probe_choice.json"
    source = provenance(args.data)
    extra, labelled = load_extra(args.data), load_labelled(args.data)

    def say(text: str) -> None:
        print(text, flush=True)

    if args.study == "mask-ratio":
        options: dict[str, Any] = {"n_seeds": args.seeds}
        found = mask_ratio(
            extra, labelled, probe=probe, steps=args.steps, n_seeds=args.seeds, say=say
        )
    else:
        options = {}
        found = diagnostics(extra, labelled, probe=probe, steps=args.steps, say=say)
    record = {
        "command": f"python -m biojepa.ecg.studies {args.study}",
        **source,
        "steps": args.steps or get_recipe("small").train.steps,
        "n_pretraining": len(extra.values),
        "n_labelled": len(labelled.values),
        "n_patients": len(set(labelled.patients)),
        "probe": probe,
        **options,
        **found,
    }
    name = {"mask-ratio": "ecg_mask_ratio.json", "diagnostics": "ecg_diagnostics.json"}
    text = json.dumps(finite(record), indent=1, allow_nan=False)
    write_text(args.out / name[args.study], text + "\n")


if __name__ == "__main__":
    main()
