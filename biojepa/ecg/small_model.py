"""Make the model in the box, `ECGJEPA.from_pretrained("ecg-small")`, and measure it.

    python -m biojepa.ecg.small_model --data ../shared/data/ecg

Pretrains the `small` preset on the training folds 1-8 of the extra PTB-XL recordings alone, rounds
the weights to float16, probes the frozen encoder on the 350 labelled records as `small_budget`
does, and writes the folder with its card. On one machine, torch and thread count the weights come
out bit for bit; `--check` makes them anew and compares.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.ecg._encoder_file import write_encoder
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.small_budget import (
    EXTRA,
    N_RANDOM,
    RecordSet,
    difference_interval,
    estimator,
    load_extra,
    load_labelled,
    out_of_fold,
    provenance,
    random_encoder,
)
from biojepa.engine.files import read_tensors
from biojepa.errors import DataError
from biojepa.evaluation.bootstrap import bootstrap_metric
from biojepa.evaluation.metrics import macro_auc

NAME, SEED = "ecg-small", 0
FOLDER = Path(__file__).resolve().parents[1] / "models" / NAME
SAME_AUC = 0.01  # a model made elsewhere is the same model within this


def train(root: Path) -> ECGJEPA:
    """Pretrain on folds 1-8 of the extra recordings; what was seen goes by PTB-XL's names."""
    extra = load_extra(root)
    with np.load(root / EXTRA, allow_pickle=False) as z:
        part, ids = z["split"] == "train", z["ecg_id"]
    model = estimator(extra, seed=SEED).fit(extra.values[part])
    names = [name for i in ids[part] for name in (str(i), f"{i:05d}_lr", f"{i:05d}_hr")]
    model.training_ = model.training_ | {
        "ids": names,
        "ids_are": "ecg_id of PTB-XL, and the names of its 100 and 500 Hz files",
    }
    return model


def measure(model: ECGJEPA, records: RecordSet, probe: dict[str, Any]) -> dict[str, Any]:
    """Mean AUC of the frozen encoder and of random ones, with patient-bootstrap intervals."""
    model.set_params(leads=records.leads, units=records.units)
    results: dict[str, Any] = {}
    for scale in (False, True):
        scores = []
        for each in [model, *(random_encoder(model, seed) for seed in range(N_RANDOM))]:
            each.set_params(pool=probe["pool"], layer=probe["layer"], scale=scale)
            scores.append(out_of_fold(each.transform(records.values), records, C=probe["C"]))
        own = bootstrap_metric(records.y, scores[0], groups=records.patients, random_state=0)
        gap = difference_interval(records.y, scores[:1], scores[1:], records.patients)
        results["with scale" if scale else "without scale"] = {
            "mean_auc": own.summary(),
            "over_random": dict(zip(("mean", "low", "high"), gap, strict=True)),
        }
    return results


def make_card(model: ECGJEPA, results: dict[str, Any], source: dict[str, Any]) -> dict[str, Any]:
    """What people should know before they use it."""
    config = model.model_config_
    return {
        "name": NAME,
        "method": "ECG-JEPA (Weimann & Conrad 2024, arXiv 2410.13867), preset `small` of biojepa",
        "not": "the public ECG-JEPA weights of other benchmarks, which are Kim's, another model",
        "data": (
            f"{model.training_['n_records']:,} recordings of PTB-XL (folds 1-8 of a derived set: "
            "8 leads, 100 Hz, 0.5-40 Hz, z-score per lead), no labels"
        ),
        "attribution": (
            "PTB-XL, Wagner et al. 2020, Scientific Data 7:154, doi 10.1038/s41597-020-0495-6, "
            "CC BY 4.0; changed as said under data"
        ),
        "licence": "weights: CC BY 4.0; code: MIT",
        "input": f"{', '.join(config.leads)} at {config.rate_hz:g} Hz after the stored filter",
        "recipe": {"preset": "small", "seed": SEED, "weights": "rounded to float16"},
        "command": "python -m biojepa.ecg.small_model",
        "results": {
            "task": "five PTB-XL superclasses, 350 records of ecg_id <= 500, linear probe, "
            "patient-grouped five-fold, mean AUC, 95 % patient bootstrap",
            **results,
        },
        "limits": [
            "not a medical device; no threshold was ever set for a clinical use",
            "one hospital, recordings of 1984-1987 in the test; other devices were not tested",
            "patients of 1,323 of the 1,783 extra recordings are unknown: a few may be in the test",
            "amplitude is removed by normalisation: use scale=True where voltage matters",
        ],
        "seen": "every recording is in training.json, the `training_['ids']` that "
        "biojepa.data.splits.check_no_leakage compares with yours",
        **source,
    }


def same(folder: Path, model: ECGJEPA) -> bool:
    """Whether the weights of a folder are bit for bit those of a model."""
    kept = read_tensors(folder / "model.safetensors")
    made = {name: value.half() for name, value in model.pretrained().jepa.export_state().items()}
    return kept.keys() == made.keys() and all(kept[k].equal(made[k]) for k in kept)


def main(argv: Sequence[str] | None = None, *, say: Callable[[str], None] = print) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="make it anew and compare")
    args = parser.parse_args(argv)
    source = provenance(args.data)
    probe = json.loads((args.results / "ecg_probe_choice.json").read_text())
    model = train(args.data)
    if args.check:
        if same(args.out, model):
            say(f"{args.out}: the weights are the same, bit for bit")
            return 0
        kept = _auc(ECGJEPA.from_pretrained(args.out), args.data, probe)
        gap = _auc(model, args.data, probe) - kept
        say(f"{args.out}: other weights; mean AUC differs by {gap:+.4f} (allowed {SAME_AUC})")
        return int(abs(gap) > SAME_AUC)
    write_encoder(args.out, model.pretrained(), model.reading(), half=True)
    rounded = ECGJEPA.from_pretrained(args.out).set_params(fs=100)
    results = measure(rounded, load_labelled(args.data), probe)
    rounded.set_params(pool=probe["pool"], layer=probe["layer"], scale=False)
    card = make_card(rounded, results, source)
    write_encoder(args.out, rounded.pretrained(), rounded.reading(), half=True, card=card)
    if not same(args.out, model):
        raise DataError(f"expected the weights that were trained in {args.out}, got others")
    say(json.dumps(results, indent=1))
    return 0


def _auc(model: ECGJEPA, root: Path, probe: dict[str, Any]) -> float:
    records = load_labelled(root)
    model.set_params(fs=100, leads=records.leads, units=records.units)
    model.set_params(pool=probe["pool"], layer=probe["layer"])
    return macro_auc(records.y, out_of_fold(model.transform(records.values), records, C=probe["C"]))


if __name__ == "__main__":
    raise SystemExit(main())
