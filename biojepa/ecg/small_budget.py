"""Does pretraining help on a small budget? The measurement behind the `small` preset.

    python -m biojepa.ecg.small_budget --data ../shared/data/ecg --out results

Pretrains on the 1,783 unlabelled records of the extra set alone, freezes the encoder, and probes
the five superclasses on the 350 labelled PTB-XL records, patient-grouped five-fold, against random
encoders with the same pooling, layers, scale and C. `--choose` fixes the probe beforehand on the
460 labelled records of the extra set, with an encoder pretrained on the other 1,323; the 350 are
not read there.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data.splits import overlap_statement, patient_folds
from biojepa.data.wfdb_reader import read_wfdb
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.model import build_jepa
from biojepa.ecg.ptbxl import load_labels, load_table, record_paths, superclasses
from biojepa.engine.files import write_text
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.metrics import class_values, macro_auc, per_class_auc
from biojepa.evaluation.provenance import code_state

CLASSES = ("CD", "HYP", "MI", "NORM", "STTC")
C_GRID = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
POOLS = ("mean", "mean_std")
LAYERS: tuple[int | str, ...] = (-1, "all")
N_RANDOM, N_SEEDS, N_FOLDS, N_RESAMPLES = 5, 3, 5, 2000
ROOMS = ("data", "ecg", "engine", "estimators", "evaluation", "layers")  # behind the figures
EXTRA = "ptbxl_extra_unlabelled/ptbxl_extra_100hz_8lead_int16.npz"


@dataclass(frozen=True)
class RecordSet:
    """Records of one rate and length with what is known of them.

    Parameters
    ----------
    values : ndarray of float32, shape (n, leads, time)
    leads : tuple of str
    units : str
    y : ndarray, shape (n, 5)
        Superclasses, 0/1; rows of unlabelled records are NaN.
    patients : ndarray of str, shape (n,)
        `""` where unknown.
    """

    values: np.ndarray
    leads: tuple[str, ...]
    units: str
    y: np.ndarray
    patients: np.ndarray


def load_extra(root: Path) -> RecordSet:
    """The extra set: 100 Hz, 8 leads, per-lead z-scores, labels of 460."""
    with np.load(root / EXTRA, allow_pickle=False) as z:
        values = (z["x"] / np.float32(z["scale"])).astype(np.float32)
        leads = tuple(str(lead) for lead in z["leads"])
        codes = [str(c) for c in z["scp_codes"]]
        patients = np.array([str(p) if p >= 0 else "" for p in z["patient_id"]])
    y = np.full((len(codes), len(CLASSES)), np.nan)
    found = superclasses(root / "ptbxl", codes)
    for row, (text, names) in enumerate(zip(codes, found, strict=True)):
        if text:
            y[row] = [name in names for name in CLASSES]
    return RecordSet(values, leads, "arbitrary", y, patients)


def load_labelled(root: Path) -> RecordSet:
    """The 350 labelled records at 100 Hz; those without a superclass are negative for all five."""
    ptbxl = root / "ptbxl"
    table = load_table(ptbxl)
    ids = table.index.to_numpy()
    labels = load_labels(ptbxl, "superdiagnostic")
    y = np.zeros((len(ids), len(CLASSES)))
    place = {ecg_id: i for i, ecg_id in enumerate(ids)}
    for ecg_id, row in zip(labels.ecg_id, labels.y, strict=True):
        y[place[ecg_id]] = row
    records = [read_wfdb(path) for path in record_paths(ptbxl, ids, rate_hz=100)]
    patients = np.array([str(int(p)) for p in table["patient_id"]])
    values = np.stack([r.values for r in records])
    return RecordSet(values, records[0].channels, "mV", y, patients)


def estimator(records: RecordSet, *, seed: int) -> ECGJEPA:
    """The `small` preset for a record set."""
    return ECGJEPA(
        preset="small",
        fs=100,
        leads=records.leads,
        units=records.units,
        random_state=seed,
    )


def random_encoder(trained: ECGJEPA, seed: int) -> ECGJEPA:
    """The same estimator with fresh weights."""
    twin = copy.copy(trained)
    twin.jepa_ = build_jepa(trained.model_config_, seed=1000 + seed).eval()
    return twin


def out_of_fold(
    features: np.ndarray, records: RecordSet, *, C: float, fold_seed: int = 0
) -> np.ndarray:
    """Decision values of a linear probe for records that it was not fitted on, (n, 5)."""
    scores = np.full(records.y.shape, np.nan)
    folds = patient_folds(records.patients, records.y, n_splits=N_FOLDS, random_state=fold_seed)
    for train, test in folds:
        probe = LinearProbe(C=C).fit(features[train], records.y[train].astype(int))
        scores[test] = probe.decision_function(features[test])
    return scores


def choose_probe(models: Sequence[ECGJEPA], records: RecordSet) -> dict[str, Any]:
    """Pool, layers and C with the best mean AUC over these models, out of fold."""
    table: list[dict[str, Any]] = []
    for pool, layer in product(POOLS, LAYERS):
        probed = [m.set_params(pool=pool, layer=layer).transform(records.values) for m in models]
        for C in C_GRID:
            aucs = [macro_auc(records.y, out_of_fold(f, records, C=C)) for f in probed]
            row = {"pool": pool, "layer": layer, "C": C, "auc": float(np.mean(aucs)), "aucs": aucs}
            table.append(row)
    best = max(table, key=lambda row: row["auc"])
    return {name: best[name] for name in ("pool", "layer", "C")} | {"table": table}


def difference_interval(
    y: np.ndarray,
    trained: Sequence[np.ndarray],
    random: Sequence[np.ndarray],
    patients: np.ndarray,
    *,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Mean AUC of `trained` minus that of `random`, with a 95 % patient-bootstrap interval."""
    rng = np.random.default_rng(seed)
    names, codes = np.unique(patients, return_inverse=True)
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), N_RESAMPLES)
    weights = np.concatenate([np.ones((1, len(y))), drawn[:, codes]]).T.astype(float)

    def mean_auc(group: Sequence[np.ndarray]) -> np.ndarray:
        aucs = [class_values(y, scores, weights, kind="auc") for scores in group]
        return np.nanmean(np.stack(aucs), axis=(0, 1))

    gaps = mean_auc(trained) - mean_auc(random)
    low, high = np.percentile(gaps[1:], [2.5, 97.5])
    return float(gaps[0]), float(low), float(high)


def choose(root: Path, out: Path, say: Callable[[str], None]) -> None:
    """Fix the probe on the labelled part of the extra set and write `ecg_probe_choice.json`."""
    source = provenance(root)
    extra = load_extra(root)
    known = ~np.isnan(extra.y[:, 0])
    labelled = RecordSet(
        extra.values[known], extra.leads, extra.units, extra.y[known], extra.patients[known]
    )
    trained = estimator(extra, seed=0).fit(extra.values[~known])
    models = [trained, random_encoder(trained, 0), random_encoder(trained, 1)]
    choice = choose_probe(models, labelled)
    record = {
        "command": "python -m biojepa.ecg.small_budget --choose",
        **source,
        "n_records": int(known.sum()),
        "n_pretraining": int((~known).sum()),
        "models": ["small, seed 0", "random, seed 1000", "random, seed 1001"],
        **choice,
    }
    write_text(out / "ecg_probe_choice.json", json.dumps(record, indent=1) + "\n")
    say(f"pool {choice['pool']}, layer {choice['layer']}, C {choice['C']}")


def measure(root: Path, out: Path, say: Callable[[str], None]) -> None:
    """Score the 350 and write `ecg_small_budget.json`."""
    probe = json.loads((out / "ecg_probe_choice.json").read_text())
    C, pool, layer = probe["C"], probe["pool"], probe["layer"]
    source = provenance(root)
    extra, labelled = load_extra(root), load_labelled(root)
    known = [p for p in extra.patients if p]
    overlap = overlap_statement(known, labelled.patients, len(extra.patients) - len(known))
    say(overlap)

    rows: list[dict[str, Any]] = []
    scores: dict[str, list[np.ndarray]] = {"small": [], "random": [], "small+scale": []}
    scores["random+scale"] = []

    def score(name: str, seed: int, model: ECGJEPA, **facts: Any) -> None:
        model.set_params(leads=labelled.leads, units=labelled.units, pool=pool, layer=layer)
        for suffix, scale in (("", False), ("+scale", True)):
            features = model.set_params(scale=scale).transform(labelled.values)
            found = out_of_fold(features, labelled, C=C)
            scores[name + suffix].append(found)
            auc = macro_auc(labelled.y, found)
            classes = per_class_auc(labelled.y, found, classes=list(CLASSES))["auc"]
            by_class = dict(zip(CLASSES, map(float, classes), strict=True))
            rows.append(
                {"model": name + suffix, "seed": seed, "auc": auc, "classes": by_class, **facts}
            )
            say(f"{name + suffix:13} seed {seed}: mean AUC {auc:.4f}")

    for seed in range(N_SEEDS):
        began = time.perf_counter()
        trained = estimator(extra, seed=seed).fit(extra.values)
        last = trained.history_[-1]
        score(
            "small",
            seed,
            trained,
            seconds=round(time.perf_counter() - began, 1),
            steps=int(last["step"]),
            rankme=round(last["rankme"], 2),
        )
    for seed in range(N_RANDOM):
        score("random", seed, random_encoder(trained, seed))
    gaps = {}
    for suffix in ("", "+scale"):
        pair = scores["small" + suffix], scores["random" + suffix]
        mean, low, high = difference_interval(labelled.y, *pair, labelled.patients)
        gaps["difference" + suffix] = {"mean": mean, "low": low, "high": high}
        say(f"small{suffix} - random{suffix}: {mean:+.4f} [{low:+.4f}, {high:+.4f}]")
    record = {
        "command": "python -m biojepa.ecg.small_budget",
        **source,
        "n_pretraining": len(extra.values),
        "n_labelled": len(labelled.values),
        "n_patients": len(set(labelled.patients)),
        "overlap": overlap,
        "probe": {"pool": pool, "layer": layer, "C": C, "chosen_by": "ecg_probe_choice.json"},
        "n_resamples": N_RESAMPLES,
        "rows": rows,
        **gaps,
    }
    write_text(out / "ecg_small_budget.json", json.dumps(record, indent=1) + "\n")


def provenance(root: Path) -> dict[str, Any]:
    """Commit, versions and hashes of the data behind a result."""
    ptbxl = root / "ptbxl"
    signals = hashlib.sha256()
    for path in sorted((ptbxl / "records100").rglob("*.dat")):
        signals.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    files = {EXTRA: root / EXTRA, "ptbxl/ptbxl_database.csv": ptbxl / "ptbxl_database.csv"}
    hashes = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    return {
        **code_state(ROOMS),
        "sha256": hashes | {"ptbxl/records100/*.dat": signals.hexdigest()},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ecg"))
    parser.add_argument("--out", type=Path, default=Path("results"))
    parser.add_argument("--choose", action="store_true", help="fix the probe first")
    args = parser.parse_args(argv)
    run = choose if args.choose else measure
    run(args.data, args.out, lambda text: print(text, flush=True))


if __name__ == "__main__":
    main()
