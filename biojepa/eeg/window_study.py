"""S-JEPA's own question, at a small budget: how long a window, how large a mask.

    python -m biojepa.eeg.studies window-mask --data ../shared/data/eeg --out results/bci

Pretrains on one half of EEGMMIDB's people and judges the other, both ways round, for windows of 1,
4 and 16 tokens and the paper's blocks of 40, 60 and 80 % of the head, all 64 channels. Nothing is
chosen by what it finds.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from sklearn.frozen import FrozenEstimator

from biojepa.data.bci import BCIRecordings
from biojepa.data.bci_folders import read_eegmmidb
from biojepa.eeg.benchmark_data import from_recordings
from biojepa.eeg.benchmark_rows import BATCH, HEAD_LR, PRECISION, epochs_for
from biojepa.eeg.classifier import SignalJEPAClassifier
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.files import write_text
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.report import finite
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import (
    SubjectFold,
    SubjectResult,
    SubjectRow,
    chance_bound,
    run_subject_row,
    subject_results,
    within_subjects,
)
from biojepa.plotting.subjects import plot_grid

TOKENS, RADII = (1, 4, 16), (0.4, 0.6, 0.8)
# ours, by the minutes they take: windows of 16 tokens are costly
STUDY_STEPS, STUDY_BATCH, STUDY_HEAD_STEPS = 40, 16, 40
HEADS = {"contextual, frozen": ("contextual", "linear"), "pre-local, frozen": ("pre-local", "new")}
Say = Callable[[str], None]


def window_mask(
    recordings: BCIRecordings,
    *,
    tokens: Sequence[int] = TOKENS,
    radii: Sequence[float] = RADII,
    preset: str = "small",
    steps: int = STUDY_STEPS,
    head_steps: int = STUDY_HEAD_STEPS,
    say: Say = print,
) -> dict[str, Any]:
    """Accuracy within subjects, rest against imagery, by window and mask of pretraining.

    Parameters
    ----------
    recordings : BCIRecordings
        One half of the people is pretrained on, the other judged, both ways round.
    tokens : sequence of int
        Window, tokens of about a second.
    radii : sequence of float
        Of a block, head radii.
    preset : str
    steps, head_steps : int
        Of pretraining, and of the filters of the pre-local network.
    say : callable

    Returns
    -------
    dict
        `rows`: result of each window, mask and head; `random`: of random weights; `bound`.
    """
    (task,) = (t for t in from_recordings("mi", recordings).tasks if t.name == "rest vs imagery")
    trials, people = task.trials, recordings.subjects
    halves = (people[: len(people) // 2], people[len(people) // 2 :])
    judged_by = {name: k for k, half in enumerate(halves) for name in halves[1 - k]}
    longest = _samples(max(tokens), preset) / recordings.rate_hz
    pieces = recordings.pieces(longest + 0.1)
    protocol = within_subjects(trials.subject, trials.block, blocks="run")

    def judge(encoders: Sequence[SignalJEPA] | None, name: str) -> list[SubjectResult]:
        rows = []
        for title, (architecture, regime) in HEADS.items():

            def make(seed: int, fold: SubjectFold, a: Any = architecture, r: Any = regime) -> Any:
                epochs = epochs_for(len(fold.train), head_steps)
                return SignalJEPAClassifier(
                    architecture=a,
                    regime=r,
                    encoder=None
                    if encoders is None
                    else FrozenEstimator(encoders[judged_by[fold.subject]]),
                    preset=preset,
                    sfreq=recordings.rate_hz,
                    ch_names=list(recordings.channels),
                    epochs=epochs,
                    batch_size=BATCH,
                    lr=HEAD_LR,
                    patience=None,
                    precision=PRECISION,
                    random_state=seed,
                )

            rows.append(SubjectRow(title, title, "jepa", make))
        scores = {
            row.name: {0: run_subject_row(row, trials.X, trials.y, protocol, 0)} for row in rows
        }
        found = subject_results(rows, scores, trials.y, trials.subject, "accuracy")
        say(f"{name}: " + ", ".join(f"{r.name} {r.mean:.3f}" for r in found))
        return found

    random = judge(None, "random weights")
    rows = []
    for n_tokens in tokens:
        for radius in radii:
            began = Spent.now()
            encoders = [
                SignalJEPA(
                    preset=preset,
                    steps=steps,
                    batch_size=STUDY_BATCH,
                    sfreq=recordings.rate_hz,
                    ch_names=list(recordings.channels),
                    model={
                        "n_times": _samples(n_tokens, preset),
                        "radius": radius,
                        "masks": "paper",
                    },
                    random_state=0,
                ).fit(np.concatenate([pieces[name] for name in half]))
                for half in halves
            ]
            spent = Spent.now() - began
            loss = float(np.mean([encoder.history_[-1]["loss"] for encoder in encoders]))
            for own, control in zip(
                judge(encoders, f"{n_tokens} tokens, {radius:.0%}"), random, strict=True
            ):
                rows.append(
                    {
                        "tokens": n_tokens,
                        "radius": radius,
                        "head": own.name,
                        "mean": own.mean,
                        "subjects": own.subjects,
                        "over_random": vars(own.over(control)),
                        "pretraining_cpu_s": spent.cpu_s,
                        "pretraining_loss": loss,
                    }
                )
    return {
        "halves": [list(half) for half in halves],
        "bound": chance_bound(trials.y[trials.subject == people[0]], "accuracy"),
        "random": [{"head": r.name, "mean": r.mean, "subjects": r.subjects} for r in random],
        "rows": rows,
    }


def window_mask_study(root: Path, out: Path, *, say: Say = print) -> None:
    """Run it on EEGMMIDB and write `window_mask.json`.

    Parameters
    ----------
    root, out : Path
        Folder of EEGMMIDB, and of the results.
    say : callable
    """
    state, began = code_state(), Spent.now()
    recordings = read_eegmmidb(root)
    found = window_mask(recordings, say=say)
    record = {
        "command": "python -m biojepa.eeg.studies window-mask",
        **state,
        "sha256": recordings.sha256,
        "channels": list(recordings.channels),
        "steps": STUDY_STEPS,
        "batch_size": STUDY_BATCH,
        "head_steps": STUDY_HEAD_STEPS,
        "spent": vars(Spent.now() - began),
        **found,
    }
    text = json.dumps(finite(record), indent=1, allow_nan=False)
    write_text(out / "window_mask.json", text + "\n")


def plot_window_mask(found: Mapping[str, Any]) -> Figure:
    """The picture of what `window_mask` found: a panel a head, a line a mask."""
    curves = {
        head: {
            f"{row['radius']:.0%}": {
                r["tokens"]: r["mean"]
                for r in found["rows"]
                if r["head"] == head and r["radius"] == row["radius"]
            }
            for row in found["rows"]
        }
        for head in HEADS
    }
    controls = {r["head"]: r["mean"] for r in found["random"]}
    return plot_grid(curves, controls, bound=found["bound"], label="accuracy, mean of subjects")


def _samples(n_tokens: int, preset: str) -> int:
    config: EEGModelConfig = get_recipe(preset).config({"Cz": (0.0, 0.0, 0.1)})
    return config.samples_of(n_tokens)
