"""An EEG pretraining run from the command line: train, then write what a user takes away.

`pretrain eeg` and `resume` share this file, so a resumed run is built by the same lines as a new
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biojepa.cli.console import is_lead_process, say, table
from biojepa.cli.eeg_pictures import draw_masks
from biojepa.cli.errors import OK
from biojepa.cli.run_ends import card, draw_curves, last_metrics, reached, say_done, stopped
from biojepa.cli.stored_runs import section_of, stored_source, training_of
from biojepa.data.eeg_records import open_eeg
from biojepa.data.montage import OnUnknown
from biojepa.eeg._encoder_file import read_encoder
from biojepa.eeg.config import EEGModelConfig
from biojepa.eeg.estimator import SignalJEPA
from biojepa.eeg.model import build_jepa
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.pretrain import Pretrained, pretrain
from biojepa.eeg.recipes import get_recipe
from biojepa.engine.config import TrainConfig
from biojepa.engine.run import read_settings, write_card
from biojepa.engine.train import TrainResult

_SOURCE = {"paths": list, "units": str, "on_unknown": str, "init": str | None, "model": dict}


@dataclass(frozen=True)
class EEGRun:
    """A pretraining run that is to be started or gone on with.

    Parameters
    ----------
    out : Path
        Run directory.
    paths : tuple of str
        Absolute: stores, files or folders.
    recipe : str
        Name.
    training : TrainConfig
    model : dict
        Settings of `EEGModelConfig` in place of the recipe's.
    units, on_unknown : str
        See `SignalJEPA`.
    init : str or None
        Model that pretraining goes on from.
    resume, override : bool
        See `biojepa.engine.train`.
    moved_to : tuple of str or None
        Where the same recordings lie now.
    """

    out: Path
    paths: tuple[str, ...]
    recipe: str
    training: TrainConfig
    model: dict[str, Any]
    units: str = "uV"
    on_unknown: OnUnknown = "error"
    init: str | None = None
    resume: bool = False
    override: bool = False
    moved_to: tuple[str, ...] | None = None

    def source(self) -> dict[str, Any]:
        """Where the recordings come from, as `config.yaml` keeps it."""
        own = {"units": self.units, "on_unknown": self.on_unknown, "init": self.init}
        return {"paths": list(self.paths), **own, "model": dict(self.model)}


def stored_run(
    out: Path, stored: dict[str, Any], *, override: bool, moved_to: tuple[str, ...] | None
) -> EEGRun:
    """The run that a `config.yaml` describes.

    Raises
    ------
    ConfigError
        If it is none of `biojepa pretrain eeg`.
    """
    where = str(out / "config.yaml")
    source = stored_source(out, stored, _SOURCE)
    return EEGRun(
        out,
        tuple(map(str, source["paths"])),
        str(stored.get("recipe")),
        training_of(stored, where),
        source["model"],
        units=source["units"],
        on_unknown=source["on_unknown"],
        init=source["init"],
        resume=True,
        override=override,
        moved_to=moved_to,
    )


def train_run(run: EEGRun) -> int:
    """Train, save the model, draw the curves; returns the exit code.

    Raises
    ------
    BiojepaError
        Of any kind that reading, training and saving have.
    """
    recipe, out = get_recipe(run.recipe), run.out
    where = run.moved_to or run.paths
    source = open_eeg(where[0] if len(where) == 1 else list(where), units=run.units)
    montages = "" if len(source.parts) == 1 else f" in {len(source.parts)} montages"
    steps = run.training.steps
    rows = [
        ("EEG", f"{len(source.part_of):,} recordings{montages} from {', '.join(where)}"),
        ("recipe", recipe.name),
        ("training", f"{steps:,} steps of {run.training.batch_size} windows"),
        ("run", str(out)),
    ]
    say("Signal-JEPA pretraining", *table(rows))
    started = reached(out, resume=run.resume)
    fitted, inputs = pretrain(
        source,
        recipe,
        on_unknown=run.on_unknown,
        model=run.model or None,
        training=run.training,
        init=None if run.init is None else _initial(run, started),
        origin=run.source(),
        out=out,
        resume=run.resume,
        override=run.override,
    )
    if not is_lead_process():
        return OK
    say(str(inputs.placed))
    result = fitted.result
    draw_curves(out)
    if (code := stopped(out, result, steps)) is not None:
        return code
    last = last_metrics(out)
    result.rows = [last]  # also where this call had no step left to do
    estimator = SignalJEPA(preset=recipe.name)
    estimator.take(fitted)
    estimator.n_features_in_ = len(fitted.config.channels)
    estimator.save_pretrained(out / "model")
    about = {
        "modality": "eeg",
        "recipe": recipe.name,
        "channels": list(fitted.config.channels),
        "rate_hz": fitted.config.rate_hz,
        "reference": fitted.preprocess.reference,
        "source": run.source(),
    }
    write_card(out, card(result, last, training=fitted.training, about=about))
    drawn = draw_masks(out, fitted.config)
    say_done(out, result, last, [("masks", str(out / "masks.png"))] if drawn else [])
    return OK


def _initial(run: EEGRun, started: bool) -> Pretrained:
    """The model to go on from; once the run has checkpoints, its settings alone are needed."""
    if not started or not run.resume:
        return read_encoder(str(run.init))[0]
    stored, where = read_settings(run.out), str(run.out / "config.yaml")
    config = EEGModelConfig.from_config(section_of(stored, "model", where))
    preprocess = EEGPreprocess.from_config(section_of(stored, "preprocess", where))
    return Pretrained(build_jepa(config), config, preprocess, TrainResult(), {})
