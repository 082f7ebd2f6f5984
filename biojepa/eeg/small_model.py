"""Make the model in the box, `SignalJEPA.from_pretrained("eeg-small")`, and measure it.

    python -m biojepa.eeg.small_model --data ../shared/data/eeg/eegmmidb

Pretrains the `small` preset on the imagery runs of the subjects `SEEN`, without labels, rounds the
weights to float16, and probes the frozen encoder on the subjects `UNSEEN` against encoders with
random weights: rest or imagery, and left or right fist, within a subject, one run left out in
turn. Preset and probe were fixed on the subjects `SEEN` alone. On one machine, torch and thread
count the weights come out bit for bit; `--check` makes them anew and compares.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.bci import BCIRecordings, cut_trials
from biojepa.data.bci_folders import read_eegmmidb
from biojepa.eeg._encoder_file import write_encoder
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.model import build_jepa
from biojepa.engine.files import read_tensors, write_text
from biojepa.errors import DataError
from biojepa.estimators.probe import LinearProbe
from biojepa.evaluation.metrics import macro_auc
from biojepa.evaluation.provenance import code_state

NAME, SEED, N_RANDOM = "eeg-small", 0, 5
FOLDER = Path(__file__).resolve().parents[1] / "models" / NAME
SEEN, UNSEEN = ("S001", "S007", "S023"), ("S002", "S003", "S013")
RUNS = ("R04", "R08", "R12")  # imagined left and right fist, with rest between the trials
PIECE_S = 8.375  # a window starts anywhere in the first half of a piece
N_TIMES = 536  # of a trial: four tokens
C = 0.003  # of the probe, on standardised features; fixed on the subjects seen
TASKS: dict[str, dict[str, tuple[str, ...]]] = {
    "rest or imagery": {"rest": ("rest",), "imagery": ("left", "right")},
    "left or right": {"left": ("left",), "right": ("right",)},
}
FEATURES = ("all tokens", "each channel")
ROOMS = ("data", "eeg", "engine", "estimators", "evaluation", "layers")  # behind the figures
SAME_AUC = 0.02  # a model made elsewhere is the same model within this


def load(root: Path) -> BCIRecordings:
    """Every run of imagery below `root`.

    Raises
    ------
    DataError
        If a run of a subject is not there.
    """
    recordings = read_eegmmidb(root)
    there = {(run.subject, run.name) for run in recordings.runs}
    wanted = [(subject, run) for subject in (*SEEN, *UNSEEN) for run in RUNS]
    absent = ["".join(pair) + ".edf" for pair in wanted if pair not in there]
    if absent:
        raise DataError(
            f"expected the runs {', '.join(RUNS)} of {', '.join((*SEEN, *UNSEEN))} below {root}, "
            f"got none of {', '.join(absent)}: fetch EEGMMIDB's"
        )
    return recordings


def train(recordings: BCIRecordings, *, preset: str = "small") -> SignalJEPA:
    """Pretrain on the runs of `SEEN`; what was seen goes by the names of the files."""
    pieces = recordings.pieces(PIECE_S)
    model = _reader(recordings, SignalJEPA(preset=preset, random_state=SEED))
    model.fit(np.concatenate([pieces[subject] for subject in SEEN]))
    model.training_ = model.training_ | {
        "ids": [run.subject + run.name for run in recordings.runs if run.subject in SEEN],
        "ids_are": "names of EEGMMIDB's files: subject and run",
    }
    return model


def read_off(model: SignalJEPA, X: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Frozen features: mean and deviation of all tokens, and the mean token of each channel."""
    channels = [tokens.mean(axis=1).ravel() for tokens in model.encode(X)]
    return dict(zip(FEATURES, (model.transform(X), np.stack(channels)), strict=True))


def left_out_auc(features: NDArray, y: NDArray[np.int64], runs: NDArray[np.str_]) -> float:
    """AUC of a linear probe, the mean over the runs, each judged by a probe of the others."""
    aucs = []
    for run in np.unique(runs):
        test = runs == run
        probe = LinearProbe(C=C).fit(features[~test], y[~test])
        aucs.append(macro_auc(y[test], probe.decision_function(features[test])))
    return float(np.mean(aucs))


def random_twin(model: SignalJEPA, seed: int) -> SignalJEPA:
    """The same estimator with fresh weights."""
    twin = copy.copy(model)
    twin.jepa_ = build_jepa(model.model_config_, seed=1000 + seed).eval()
    return twin


def measure(
    model: SignalJEPA,
    recordings: BCIRecordings,
    *,
    subjects: Sequence[str] = UNSEEN,
    n_random: int = N_RANDOM,
) -> list[dict[str, Any]]:
    """Rows of AUC by subject, task and features: the model's and those of random encoders."""
    rows: list[dict[str, Any]] = []
    _reader(recordings, model)
    models = [model, *(random_twin(model, seed) for seed in range(n_random))]
    for subject, (task, classes) in product(subjects, TASKS.items()):
        own = replace(recordings, runs=tuple(r for r in recordings.runs if r.subject == subject))
        trials = cut_trials(own, classes, start_s=0.0, n_times=N_TIMES)
        features = [read_off(each, trials.X) for each in models]
        for kind in FEATURES:
            auc, *random = (left_out_auc(f[kind], trials.y, trials.block) for f in features)
            row = {"subject": subject, "task": task, "features": kind, "n_trials": len(trials)}
            rows.append(row | {"auc": auc, "random": random})
    return rows


def summarise(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Mean over subjects, and mean and range of what each gains over random weights."""
    found = []
    for task in TASKS:
        for kind in FEATURES:
            own = [r for r in rows if (r["task"], r["features"]) == (task, kind)]
            gains = [r["auc"] - float(np.mean(r["random"])) for r in own]
            found.append(
                {
                    "task": task,
                    "features": kind,
                    "auc": float(np.mean([r["auc"] for r in own])),
                    "random": float(np.mean([np.mean(r["random"]) for r in own])),
                    "gain": {
                        "mean": float(np.mean(gains)),
                        "least": min(gains),
                        "largest": max(gains),
                    },
                }
            )
    return found


def verdict(summary: Sequence[Mapping[str, Any]], n_subjects: int) -> str:
    """One sentence on pretraining against random weights."""
    kinds: dict[str, list[str]] = {"ahead": [], "behind": [], "mixed": []}
    for row in summary:
        gain = row["gain"]
        kind = "ahead" if gain["least"] > 0 else "behind" if gain["largest"] < 0 else "mixed"
        kinds[kind].append(f"{row['task']} ({row['features']})")
    words = {kind: ", ".join(names) or "nothing" for kind, names in kinds.items()}
    return (
        f"In every one of {n_subjects} subjects, pretraining is ahead of random weights for "
        f"{words['ahead']} and behind for {words['behind']}; mixed for {words['mixed']}. "
        f"{n_subjects} subjects carry no claim of significance."
    )


def make_card(
    model: SignalJEPA, summary: Sequence[Mapping[str, Any]], source: Mapping[str, Any]
) -> dict[str, Any]:
    """What people should know before they use it."""
    return {
        "name": NAME,
        "method": "Signal-JEPA (Guetschel, Moreau & Tangermann 2024, arXiv 2403.11772), preset "
        "`small` of biojepa",
        "not": "the published weights braindecode/signal-jepa, which have seen far more EEG",
        "data": f"runs {', '.join(RUNS)} (imagined fists, with the rests between) of "
        f"subjects {', '.join(SEEN)} of EEGMMIDB, 64 channels, about "
        f"{model.training_['n_records'] * PIECE_S / 60:.0f} minutes, no labels",
        "attribution": "EEG Motor Movement/Imagery Dataset, Schalk et al. 2004, IEEE TBME "
        "51:1034, doi 10.1109/TBME.2004.827072; PhysioNet, Goldberger et al. 2000, Circulation "
        "101:e215; ODC-By 1.0",
        "licence": "weights: ODC-By 1.0, with the attribution; code: MIT",
        "input": "any EEG channels with a known place, microvolt or MNE objects; average "
        f"reference, {model.preprocess_.rate_hz:g} Hz, 0.5-40 Hz are applied by the model",
        "recipe": {"preset": "small", "seed": SEED, "weights": "rounded to float16"},
        "command": "python -m biojepa.eeg.small_model",
        "results": {
            "task": f"linear probe (C = {C}) on frozen features of trials of {N_TIMES} samples of "
            f"subjects {', '.join(UNSEEN)}, none of them seen, within the subject, one of three "
            f"runs left out in turn, AUC; random weights: mean of {N_RANDOM} draws",
            "verdict": verdict(summary, len(UNSEEN)),
            "rows": list(summary),
        },
        "limits": [
            "not a medical device",
            f"frozen features: {verdict(summary, len(UNSEEN))}",
            "three subjects seen and three judged, one amplifier and one paradigm; the subjects "
            "were picked so that some are decodable",
            "the local encoder is blind to the amplitude of a channel: band power, on which "
            "classical pipelines for imagery rest, does not show in the features",
            "a start for continued pretraining on your own EEG (init='eeg-small'), no substitute "
            "for it",
        ],
        "subjects_seen": list(SEEN),
        "seen": "every run is in training.json, the `training_['ids']` that "
        "biojepa.data.splits.check_no_leakage compares with yours",
        **source,
    }


def same(folder: Path, model: SignalJEPA) -> bool:
    """Whether the weights of a folder are bit for bit those of a model."""
    kept = read_tensors(folder / "model.safetensors")
    made = {name: value.half() for name, value in model.pretrained().jepa.export_state().items()}
    return kept.keys() == made.keys() and all(kept[k].equal(made[k]) for k in kept)


def main(argv: Sequence[str] | None = None, *, say: Callable[[str], None] = print) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eeg/eegmmidb"))
    parser.add_argument("--results", type=Path, default=Path("results"))
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--check", action="store_true", help="make it anew and compare")
    args = parser.parse_args(argv)
    recordings = load(args.data)
    source = code_state(ROOMS) | {"sha256": dict(recordings.sha256 or {})}
    model = train(recordings)
    if args.check:
        if same(args.out, model):
            say(f"{args.out}: the weights are the same, bit for bit")
            return 0
        kept, made = (
            np.mean([row["auc"] for row in measure(each, recordings, n_random=0)])
            for each in (SignalJEPA.from_pretrained(args.out), model)
        )
        say(f"{args.out}: other weights; AUC differs by {made - kept:+.4f} (allowed {SAME_AUC})")
        return int(abs(made - kept) > SAME_AUC)
    history = [{k: round(v, 4) for k, v in row.items()} for row in model.history_]
    write_encoder(args.out, model.pretrained(), model.reading(), half=True)
    rounded = SignalJEPA.from_pretrained(args.out)
    rows = measure(rounded, recordings)
    summary = summarise(rows)
    card = make_card(rounded, summary, source)
    write_encoder(args.out, rounded.pretrained(), rounded.reading(), half=True, card=card)
    if not same(args.out, model):
        raise DataError(f"expected the weights that were trained in {args.out}, got others")
    record = {
        "command": card["command"],
        **source,
        "seen": list(SEEN),
        "unseen": list(UNSEEN),
        "probe": {"C": C},
        "verdict": card["results"]["verdict"],
        "summary": summary,
        "rows": rows,
        "history": history,
    }
    write_text(args.results / "eeg_small.json", json.dumps(record, indent=1) + "\n")
    say(card["results"]["verdict"])
    return 0


def _reader(recordings: BCIRecordings, model: SignalJEPA) -> SignalJEPA:
    """The model, told how to read arrays of these recordings."""
    return model.set_params(sfreq=recordings.rate_hz, ch_names=recordings.channels)


if __name__ == "__main__":
    raise SystemExit(main())
