"""A pretraining run from the command line: train, then write what a user takes away.

`pretrain` and `resume` share this file, so a resumed run is built by the same lines as a new one.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from biojepa.cli.console import is_lead_process, say, table
from biojepa.cli.errors import OK
from biojepa.cli.run_ends import card, draw_curves, last_metrics, reached, say_done, stopped
from biojepa.cli.sources import Source, open_source
from biojepa.data.mixed_records import MixedRecords
from biojepa.data.records import FileRecords, Records
from biojepa.ecg.estimator import ECGJEPA
from biojepa.ecg.mixture import check_weights, published_weights
from biojepa.ecg.model import build_jepa
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.ecg.pretrain import Pretrained, pretrain
from biojepa.ecg.recipes import Recipe
from biojepa.engine.checkpoint import latest_checkpoint, load_checkpoint
from biojepa.engine.devices import resolve_device
from biojepa.engine.run import write_card
from biojepa.engine.train import TrainResult
from biojepa.errors import CheckpointError

MANY_FILES = 1000  # ours: from here on a store pays for the minute that it takes to write


@dataclass(frozen=True)
class Run:
    """A pretraining run that is to be started or gone on with.

    Parameters
    ----------
    out : Path
        Run directory.
    source : Source
    recipe : Recipe
        With all settings resolved.
    leads : tuple of str or None
        Of the model, if they were asked for.
    resume, override : bool
        See `biojepa.engine.train`.
    data_moved_to : tuple of str or None
        Where the same recordings lie now.
    roads : tuple of ECGPreprocess or None
        Of each store of a mixture, for a run that goes on.
    quiet : bool
        Say nothing unless it is stopped.
    """

    out: Path
    source: Source
    recipe: Recipe
    leads: tuple[str, ...] | None = None
    resume: bool = False
    override: bool = False
    data_moved_to: tuple[str, ...] | None = None
    roads: tuple[ECGPreprocess, ...] | None = None
    quiet: bool = False


def train_run(run: Run) -> int:
    """Train, save the model, draw the curves; returns the exit code.

    Parameters
    ----------
    run : Run

    Raises
    ------
    BiojepaError
        Of any kind that reading, training and saving have.
    """
    # "Initializing distributed: ..." from every process is no news to a user
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    training = run.recipe.train
    device = resolve_device(training.device)
    where = run.data_moved_to or run.source.paths
    records = open_source(Source(where, run.source.data))
    run = with_weights(run, records)
    if not run.quiet:
        say(*_heading(run, records, where, device))
    if isinstance(records, FileRecords) and len(records) >= MANY_FILES:
        say("note: `biojepa prepare` turns many files into a store that trains faster")
    started = reached(run.out, resume=run.resume)
    init = None
    if run.source.init is not None and not started:
        init = _initial(run.source.init)
    fitted = pretrain(
        records,
        run.recipe,
        leads=run.leads,
        on_missing=run.source.data.on_missing,
        units=run.source.data.units,
        init=init,
        weights=run.source.data.weights,
        roads=run.roads,
        source=run.source.to_config(),
        out=run.out,
        resume=run.resume,
        override=run.override,
    )
    if not is_lead_process():
        # Fabric kills the first process if one that it started ends with an error code
        return OK
    result = fitted.result
    draw_curves(run.out)
    if (code := stopped(run.out, result, training.steps)) is not None:
        return code
    last = last_metrics(run.out)
    result.rows = [last]  # also where this call had no step left to do
    save_run_model(run.out, fitted, preset=run.recipe.name)
    about = {
        "modality": "ecg",
        "recipe": run.recipe.name,
        "leads": list(fitted.config.leads),
        "rate_hz": fitted.config.rate_hz,
        "device": device,
        "source": run.source.to_config(),
    }
    write_card(run.out, card(result, last, training=fitted.training, about=about))
    if not run.quiet:
        say_done(run.out, result, last, [])
    return OK


def with_weights(run: Run, records: Records) -> Run:
    """The run with the published weights of its databases, where none were given."""
    given = run.source.data.weights
    check_weights(records, given)
    started = run.roads is not None  # a run that goes on keeps what it has, also no weights
    if given is not None or started or not isinstance(records, MixedRecords):
        return run
    weights = published_weights(records, run.recipe)
    return replace(run, source=replace(run.source, data=replace(run.source.data, weights=weights)))


def save_run_model(out: Path, fitted: Pretrained, *, preset: str) -> Path:
    """Write `RUN/model` from the last checkpoint, which is whole also when training was sharded.

    Raises
    ------
    CheckpointError
        If there is no checkpoint, or none is undamaged.
    """
    latest = latest_checkpoint(out)
    if latest is None:
        raise CheckpointError(f"{out} holds no checkpoint to make a model of")
    jepa = build_jepa(fitted.config)
    load_checkpoint(latest, jepa)
    estimator = as_estimator(
        Pretrained(jepa, fitted.config, fitted.preprocess, fitted.result, fitted.training),
        preset=preset,
    )
    estimator.save_pretrained(out / "model")
    return out / "model"


def as_estimator(fitted: Pretrained, *, preset: str) -> ECGJEPA:
    """The estimator of a model that was trained or loaded elsewhere."""
    estimator = ECGJEPA(preset=preset)
    estimator.take(fitted)
    estimator.n_features_in_ = len(fitted.config.leads)
    return estimator


def _initial(model: str) -> Pretrained:
    given = ECGJEPA.from_pretrained(model)
    return Pretrained(
        given.jepa_, given.model_config_, given.preprocess_, TrainResult(), given.training_
    )


def _heading(run: Run, records: Records, where: tuple[str, ...], device: str) -> list[str]:
    training, n_records = run.recipe.train, len(records)
    several = training.devices * training.num_nodes
    rows = [
        ("recordings", f"{n_records:,} from {', '.join(where)}"),
        *_shares(run, records),
        ("recipe", run.recipe.name),
        (
            "training",
            f"{training.steps:,} steps of {training.batch_size} recordings on {device}"
            + (f", {several} processes ({training.strategy})" if several > 1 else ""),
        ),
        ("run", str(run.out)),
    ]
    return ["ECG-JEPA pretraining", *table(rows)]


def _shares(run: Run, records: Records) -> list[tuple[str, str]]:
    """The databases of a mixture, and how often they are drawn."""
    if not isinstance(records, MixedRecords):
        return []
    weights = run.source.data.weights or records.sizes
    total = sum(weights)
    return [
        ("", f"{name}: {n:,} recordings, {w / total:.1%} of the samples")
        for name, n, w in zip(records.names, records.sizes, weights, strict=True)
    ]
