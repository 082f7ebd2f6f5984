"""The BCI benchmark on the public recordings, and S-JEPA's own question: window and mask.

    python -m biojepa.eeg.studies benchmarks --data ../shared/data/eeg --out results/bci --seeds 1
    python -m biojepa.eeg.studies window-mask --data ../shared/data/eeg --out results/bci

`benchmarks` writes one file a table: motor imagery (`mi`) and SSVEP (`ssvep`) with encoders of the
other subjects of the same set; then the shipped `eeg-small`, pretrained on all 64 channels of
EEGMMIDB, is used on the 4 channels of Muse (`erp`) and the 8 of the SSVEP set (`ssvep_transfer`),
as it is and continued on the unlabelled target. `protocol` is how long networks are trained on
labels, on simulated people. `window-mask` pretrains on one half of EEGMMIDB's people and judges the
other, both ways round, for windows of 1, 4 and 16 tokens and blocks of 40, 60 and 80 % of the head.

Nothing is chosen by what they find.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.frozen import FrozenEstimator

from biojepa.data.bci import BCIRecordings
from biojepa.data.bci_folders import read_eegmmidb
from biojepa.eeg.benchmark import BCISettings, run_bci_benchmark
from biojepa.eeg.benchmark_data import MOTOR, from_recordings, load_folder, load_simulated
from biojepa.eeg.benchmark_rows import BATCH, HEAD_LR, epochs_for
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

PROTOCOLS = ((80, None), (150, None), (250, None), (250, 50))  # steps, patience
PROTOCOL_ROWS = ("eegnet", "random-pre-local-full")
TOKENS, RADII = (1, 4, 16), (0.4, 0.6, 0.8)
# ours, by the minutes they take: windows of 16 tokens are costly
STUDY_STEPS, STUDY_BATCH, STUDY_HEAD_STEPS = 40, 16, 40
HEADS = {"contextual, frozen": ("contextual", "linear"), "pre-local, frozen": ("pre-local", "new")}
RUNS = ("mi", "ssvep", "erp", "ssvep_transfer")
TRANSFER = Path("eeg-small")  # whose people are none of the sets it is used on
FOLDERS = {"mi": "eegmmidb", "erp": "muse_erp", "ssvep": "ssvep_exoskeleton"}
QUICK = BCISettings(n_seeds=1)
Say = Callable[[str], None]


def benchmarks(
    root: Path,
    out: Path,
    keep: Path,
    *,
    only: Sequence[str] = RUNS,
    settings: BCISettings = QUICK,
    jobs: int = 1,
    say: Say = print,
) -> None:
    """Run the tables and write `NAME.json` of each.

    Parameters
    ----------
    root : Path
        Folder with `eegmmidb/`, `muse_erp/` and `ssvep_exoskeleton/`.
    out, keep : Path
        Folder of the results, and of all else.
    only : sequence of str
        Names of `RUNS`.
    settings : BCISettings
    jobs : int
        Processes.
    say : callable
    """
    for name in RUNS:
        if name not in only:
            continue
        own = settings
        paradigm = name.partition("_")[0]
        if name in ("erp", "ssvep_transfer"):
            own = replace(settings, encoder=TRANSFER)
        data = load_folder(paradigm, root / FOLDERS[paradigm])  # type: ignore[arg-type]
        state, began = code_state(), Spent.now()
        outcome = run_bci_benchmark(data, keep / paradigm, settings=own, jobs=jobs, say=say)
        record = {
            "command": f"python -m biojepa.eeg.studies benchmarks --seeds {settings.n_seeds}",
            "jobs": jobs,
            "wall_s": (Spent.now() - began).wall_s,  # less if a part was there already
            "load_of_the_machine": os.getloadavg()[2],
            **outcome.numbers(),
        }
        record["facts"] |= state
        write_text(out / f"{name}.json", json.dumps(finite(record), indent=1) + "\n")


def protocol(out: Path, keep: Path, *, say: Say = print) -> None:
    """How long networks are trained on labels, judged on simulated people: `protocol.json`.

    Parameters
    ----------
    out, keep : Path
        Folder of the result, and of all else.
    say : callable
    """
    data = load_simulated("mi", n_subjects=4, random_state=7)
    rows = []
    for head_steps, patience in PROTOCOLS:
        settings = replace(
            QUICK, rows=PROTOCOL_ROWS, steps=1, head_steps=head_steps, patience=patience
        )
        outcome = run_bci_benchmark(data, keep / "protocol", settings=settings, say=say)
        rows += [
            {
                "head_steps": head_steps,
                "patience": patience,
                "task": table.task,
                "evaluation": table.evaluation,
                "row": r.name,
                "mean": r.mean,
                "cpu_s": 60 * r.cpu_minutes,
            }
            for table in outcome.tables
            for r in table.results
        ]
    record = {"command": "python -m biojepa.eeg.studies protocol", **code_state(), "rows": rows}
    write_text(out / "protocol.json", json.dumps(finite(record), indent=1) + "\n")


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
                    }
                )
    return {
        "halves": [list(half) for half in halves],
        "bound": chance_bound(trials.y[trials.subject == people[0]], "accuracy"),
        "random": [{"head": r.name, "mean": r.mean, "subjects": r.subjects} for r in random],
        "rows": rows,
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", choices=("benchmarks", "protocol", "window-mask"))
    parser.add_argument("--data", type=Path, default=Path("../shared/data/eeg"))
    parser.add_argument("--out", type=Path, default=Path("results/bci"))
    parser.add_argument("--keep", type=Path, default=Path("runs/bci"))
    parser.add_argument("--only", nargs="*", choices=RUNS, default=RUNS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    args = parser.parse_args(argv)

    args.out.mkdir(parents=True, exist_ok=True)
    if args.study == "benchmarks":
        settings = BCISettings(n_seeds=args.seeds)
        options = {"only": args.only, "settings": settings, "jobs": args.jobs}
        benchmarks(args.data, args.out, args.keep, **options, say=_say)
        return
    if args.study == "protocol":
        protocol(args.out, args.keep, say=_say)
        return
    began = Spent.now()
    recordings = read_eegmmidb(args.data / FOLDERS["mi"]).pick(MOTOR)
    found = window_mask(recordings, say=_say)
    record = {
        "command": "python -m biojepa.eeg.studies window-mask",
        **code_state(),
        "sha256": recordings.sha256,
        "channels": list(recordings.channels),
        "steps": STUDY_STEPS,
        "batch_size": STUDY_BATCH,
        "head_steps": STUDY_HEAD_STEPS,
        "spent": vars(Spent.now() - began),
        **found,
    }
    text = json.dumps(finite(record), indent=1, allow_nan=False)
    write_text(args.out / "window_mask.json", text + "\n")
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
    figure = plot_grid(curves, controls, bound=found["bound"], label="accuracy, mean of subjects")
    figure.savefig(args.out / "window_mask.png", dpi=110)


def _say(text: str) -> None:
    print(text, flush=True)


def _samples(n_tokens: int, preset: str) -> int:
    config: EEGModelConfig = get_recipe(preset).config({"Cz": (0.0, 0.0, 0.1)})
    return config.samples_of(n_tokens)


if __name__ == "__main__":
    main()
