"""What every pretraining run of the command line says and leaves behind, whatever its modality."""

from __future__ import annotations

import csv
import platform
import signal
from pathlib import Path
from typing import Any

import numpy as np
import torch

from biojepa import __version__
from biojepa.cli.console import say, table
from biojepa.cli.errors import INTERRUPTED, TERMINATED
from biojepa.engine.checkpoint import latest_checkpoint
from biojepa.engine.train import TrainResult
from biojepa.errors import FormatError
from biojepa.plotting.curves import plot_curves


def reached(out: Path, *, resume: bool) -> bool:
    """Whether the run has a checkpoint; says from which step it goes on."""
    latest = latest_checkpoint(out)
    if resume and latest is not None:
        say(f"going on from step {int(latest.name.removeprefix('step-')):,}")
    return latest is not None


def stopped(out: Path, result: TrainResult, steps: int) -> int | None:
    """The exit code of a run that was stopped before its last step, and how to go on; or None."""
    if result.step >= steps or result.exhausted:
        return None
    say(
        f"stopped at step {result.step:,} of {steps:,}; all of it is saved.",
        f"go on with: biojepa resume {out}",
    )
    return INTERRUPTED if result.stopped_by == signal.SIGINT else TERMINATED


def say_done(
    out: Path, result: TrainResult, last: dict[str, float], pictures: list[tuple[str, str]]
) -> None:
    """Where the model and the pictures lie, what to know of them, and what to do next."""
    rows = [("model", str(out / "model")), ("curves", str(out / "curves.png")), *pictures]
    if "rankme" in last:
        dim = f" of {last['dim']:.0f}" if "dim" in last else ""
        rows.append(("RankMe", f"{last['rankme']:.1f}{dim} (dimensions that are in use)"))
    if result.skipped:
        rows.append(("skipped", f"{result.skipped} steps with NaN or infinite losses"))
    say(f"done: {result.step:,} steps in {result.seconds:.0f} s", *table(rows))
    if result.collapsed:
        say("warning: the embeddings collapsed; see curves.png before using the features")
    say(f"features: biojepa embed {out} FILES... -o features.csv")


def card(
    result: TrainResult, last: dict[str, float], *, training: dict[str, Any], about: dict[str, Any]
) -> dict[str, Any]:
    """What `card.yaml` says of a run.

    Parameters
    ----------
    result : TrainResult
    last : dict
        Of `last_metrics`.
    training : dict
        What the model says of its training data.
    about : dict
        Modality, recipe, input and source.
    """
    return about | {
        "n_records": training["n_records"],
        "data_fingerprint": training["fingerprint"],
        "steps": result.step,
        "last_metrics": {k: v for k, v in last.items() if np.isfinite(v)},
        "collapsed": result.collapsed,
        "versions": {
            "biojepa": __version__,
            "torch": torch.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }


def last_metrics(out: Path) -> dict[str, float]:
    """The last value of each column of `metrics.csv`."""
    found: dict[str, float] = {}
    try:
        with (out / "metrics.csv").open(newline="", encoding="utf-8") as handle:
            for row in csv.DictReader(handle):
                found |= {k: float(v) for k, v in row.items() if k and v}
    except (OSError, ValueError) as error:
        raise FormatError(f"{out / 'metrics.csv'} cannot be read: {error}") from error
    return found


def draw_curves(out: Path) -> None:
    """Draw `curves.png`; a run that was stopped before its first row has nothing to draw."""
    path = out / "metrics.csv"
    if not path.is_file() or path.read_text(encoding="utf-8").count("\n") < 2:
        return
    try:
        figure = plot_curves(path, title=out.name)
    except FormatError as error:
        say(f"curves.png was not drawn: {error}")
        return
    figure.savefig(out / "curves.png", dpi=120)
