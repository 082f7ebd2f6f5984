"""The BCI benchmark on the public recordings, and what its settings rest on.

    python -m biojepa.eeg.studies benchmarks --data ../shared/data/eeg --out results/bci --seeds 1
    python -m biojepa.eeg.studies window-mask --data ../shared/data/eeg --out results/bci

`benchmarks` writes one file a table: motor imagery (`mi`) and SSVEP (`ssvep`) with encoders of the
other subjects of the same set; then the shipped `eeg-small`, pretrained on all 64 channels of
EEGMMIDB, is used on the 4 channels of Muse (`erp`) and the 8 of the SSVEP set (`ssvep_transfer`),
as it is and continued on the unlabelled target. `protocol` is how long networks are trained on
labels, on simulated people; `phases` whether lights have the phase that TRCA needs; `window-mask`
is in `window_study`.

Nothing is chosen by what they find.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from biojepa.eeg.benchmark import BCISettings, run_bci_benchmark
from biojepa.eeg.benchmark_data import load_folder, load_simulated
from biojepa.eeg.ssvep import SSVEPTRCA, phase_consistency
from biojepa.eeg.window_study import window_mask_study
from biojepa.engine.files import write_text
from biojepa.evaluation.provenance import code_state
from biojepa.evaluation.report import finite
from biojepa.evaluation.spent import Spent
from biojepa.evaluation.subjects import (
    SubjectFold,
    SubjectRow,
    run_subject_row,
    subject_scores,
    within_subjects,
)

PROTOCOLS = ((80, None), (150, None), (150, 50))  # steps, patience
PROTOCOL_ROWS = ("eegnet", "random-pre-local-full")
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
    state, rows = code_state(), []
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
    record = {"command": "python -m biojepa.eeg.studies protocol", **state, "rows": rows}
    write_text(out / "protocol.json", json.dumps(finite(record), indent=1) + "\n")


def phases(root: Path, out: Path) -> None:
    """Whether lights have the same phase in every trial, which TRCA needs: `phases.json`.

    Parameters
    ----------
    root, out : Path
        Folder of the recordings, and of the result.
    """
    state, found = code_state(), []
    for data in (load_folder("ssvep", root / FOLDERS["ssvep"]), load_simulated("ssvep")):
        task, rate = data.tasks[0], data.rate_hz
        trials = task.trials
        protocol = within_subjects(trials.subject, trials.block, blocks=data.blocks)
        trca = SubjectRow("trca", "TRCA", "classical", partial(_trca, rate))
        scores = run_subject_row(trca, trials.X, trials.y, protocol, 0).values
        accuracy = subject_scores(trials.y, scores, trials.subject, "accuracy")
        for name in data.subjects:
            own = trials.subject == name
            alike = [
                phase_consistency(trials.X[own & (trials.y == k)], hertz, rate).mean()
                for k, hertz in enumerate(task.hertz)
            ]
            row = {"data": data.title, "subject": name, "phase_consistency": float(np.mean(alike))}
            found.append(row | {"trca": accuracy[name]})
    record = {"command": "python -m biojepa.eeg.studies phases", **state, "rows": found}
    write_text(out / "phases.json", json.dumps(finite(record), indent=1) + "\n")


def main(argv: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("study", choices=("benchmarks", "phases", "protocol", "window-mask"))
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
    if args.study == "phases":
        phases(args.data, args.out)
        return
    window_mask_study(args.data / FOLDERS["mi"], args.out, say=_say)


def _trca(sfreq: float, seed: int, fold: SubjectFold) -> SSVEPTRCA:
    return SSVEPTRCA(sfreq=sfreq)


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    main()
