"""`biojepa demo`: from files on disk to a pretrained model, tested features and pictures.

By default on simulated recordings, which is said wherever a number is shown.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np

from biojepa.cli import demo_data, demo_report
from biojepa.cli.console import say
from biojepa.cli.ecg_runs import Run, train_run
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import absolute, option, parse
from biojepa.cli.sources import DataOptions, Source
from biojepa.data.records import StoreRecords
from biojepa.data.store import SignalStore
from biojepa.ecg.pretrain import pretrain
from biojepa.ecg.recipes import get_recipe
from biojepa.errors import RunError

MORE = """\
examples:
  biojepa demo                              simulated recordings
  biojepa demo --ptbxl path/to/ptb-xl       PTB-XL, or a part of it
  biojepa demo --data my_ecgs/              your recordings, without labels
  biojepa demo --data my_ecgs/ --labels labels.csv"""
MARK = ".biojepa-demo"
# ours: 200 to 800 steps reached the same on 2,133 real records; 60 begin to tell
FEWEST_STEPS, MOST_STEPS = 60, 600


@dataclass(frozen=True)
class Options:
    """Run everything once: recordings, pretraining, features, a test, pictures.

    Writes report.md, summary.json, ecg_masks.png, curves.png, embedding.png and the model. The
    default recordings are simulated: the figures show that the program works, not what it would
    reach on patients.
    """

    out: Annotated[str, option("FOLDER", short="-o")] = "demo"
    """Folder for the results; an earlier demo in it is replaced."""
    data: Annotated[str | None, option("PATH")] = None
    """Your own recordings (folder, files or pattern) in place of simulated ones."""
    labels: Annotated[str | None, option("FILE.csv")] = None
    """Of your own recordings: record_id, patient_id, then a column of 0 and 1 for each label, or
    one column with the name of the class. A third of the patients is kept for the test."""
    ptbxl: Annotated[str | None, option("ROOT")] = None
    """Folder of PTB-XL, the one with ptbxl_database.csv."""
    seconds_budget: Annotated[float, option("S")] = 150.0
    """Time for pretraining; the number of steps follows from it."""
    seed: Annotated[int, option("N")] = 0
    """Of simulation, training and resampling."""
    quick: Annotated[bool, option()] = False
    """Few recordings and few steps, to see that it runs; the figures mean nothing."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "demo", argv, more=MORE)
    if options.data is not None and options.ptbxl is not None:
        raise UsageError("expected --data or --ptbxl, got both")
    if options.labels is not None and options.data is None:
        raise UsageError("expected --data PATH, the recordings that --labels is about")
    if not 1 <= options.seconds_budget < 1e6:
        raise UsageError(f"expected --seconds-budget of 1 or more, got {options.seconds_budget}")
    began = time.monotonic()
    out = _ready(Path(options.out))
    cohort = _cohort(options, out)
    recipe = get_recipe("tiny" if options.quick else "small")
    steps = 20 if options.quick else _steps(cohort, options)
    share = recipe.train.warmup_steps / recipe.train.steps
    training = replace(
        recipe.train,
        steps=steps,
        warmup_steps=round(share * steps),
        seed=options.seed,
        diagnose_every=steps if options.quick else max(50, steps // 10),
        log_every=max(1, steps // 40),
        checkpoint_every=steps,
    )
    say(f"[3/5] pretraining without labels: preset {recipe.name}, {steps} steps")
    source = Source((absolute(str(cohort.unlabelled)),), DataOptions())
    code = train_run(Run(out / "run", source, replace(recipe, train=training), quiet=True))
    if code != OK:
        return code
    shutil.copy(out / "run" / "curves.png", out / "curves.png")
    report = demo_report.evaluate(cohort, out / "run", seed=options.seed, quick=options.quick)
    say("[5/5] pictures and report")
    demo_report.draw(cohort, report, out, seed=options.seed)
    seconds = time.monotonic() - began
    demo_report.write(cohort, report, out, steps=steps, seconds=seconds, quick=options.quick)
    say("", *demo_report.closing(cohort, report, out, seconds))
    return OK


def _ready(out: Path) -> Path:
    """An empty folder, or one with an earlier demo, which is removed."""
    if out.exists() and (not out.is_dir() or (any(out.iterdir()) and not (out / MARK).is_file())):
        raise RunError(f"{out} holds other files: choose another folder with -o")
    try:
        for name in ("recordings", "unlabelled_store", "labelled_store", "run"):
            if (out / name).exists():
                shutil.rmtree(out / name)
        out.mkdir(parents=True, exist_ok=True)
        (out / MARK).touch()
    except OSError as error:
        raise RunError(f"cannot write into {out}: {error}") from error
    return out


def _cohort(options: Options, out: Path) -> demo_data.Cohort:
    if options.ptbxl is not None:
        return demo_data.ptbxl_cohort(Path(options.ptbxl), out)
    if options.data is not None and options.labels is not None:
        return demo_data.labelled_cohort(options.data, Path(options.labels), out, seed=options.seed)
    if options.data is not None:
        return demo_data.own_cohort(options.data, out)
    return demo_data.simulated_cohort(out, seed=options.seed, quick=options.quick)


def _steps(cohort: demo_data.Cohort, options: Options) -> int:
    """Steps that fit the budget, from the speed of a dozen of them."""
    recipe = get_recipe("small")
    trial = replace(recipe.train, steps=12, warmup_steps=2, diagnose_every=0, log_every=4)
    records = StoreRecords(SignalStore(cohort.unlabelled))
    rows = pretrain(records, recipe, training=trial, progress=False).result.rows
    # the first four steps warm up
    speed = float(np.median([row["samples_per_s"] for row in rows[1:]]))
    steps = int(options.seconds_budget * speed / recipe.train.batch_size)
    if steps < FEWEST_STEPS:
        say(
            f"  this machine reads and trains on {speed:.0f} recordings a second: "
            f"{FEWEST_STEPS} steps will take {FEWEST_STEPS * recipe.train.batch_size / speed:.0f} s"
        )
    return int(np.clip(steps, FEWEST_STEPS, MOST_STEPS))
