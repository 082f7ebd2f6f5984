"""An fMRI pretraining run from the command line: train, then write what a user takes away.

`pretrain fmri` and `resume` share this file, so a resumed run is built by the same lines as a new
one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biojepa.cli.console import is_lead_process, say, table
from biojepa.cli.errors import OK
from biojepa.cli.fmri_pictures import draw_pictures
from biojepa.cli.fmri_sources import RunOptions, open_source
from biojepa.cli.run_ends import card, draw_curves, last_metrics, reached, say_done, stopped
from biojepa.cli.stored_runs import stored_source, training_of
from biojepa.engine.config import TrainConfig
from biojepa.engine.run import write_card
from biojepa.fmri._encoder_file import read_encoder
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.gradient_file import read_gradients
from biojepa.fmri.preprocess import Normalise
from biojepa.fmri.pretrain import pretrain
from biojepa.fmri.recipes import get_recipe

_SOURCE: dict[str, Any] = {
    "paths": list,
    "tr": float | int | None,
    "regions": str | None,
    "orientation": str,
    "gradients": str | None,
    "normalise": str | None,
    "init": str | None,
}


@dataclass(frozen=True)
class FMRIRun:
    """A pretraining run that is to be started or gone on with.

    Parameters
    ----------
    out : Path
        Run directory.
    paths : tuple of str
        Absolute: a store, files or folders.
    recipe : str
        Name.
    training : TrainConfig
    files : RunOptions
        What files do not say themselves.
    gradients, init : str or None
        Absolute paths of a table, and of a model that pretraining goes on from.
    normalise : str or None
        In place of the recipe's.
    resume, override : bool
        See `biojepa.engine.train`.
    moved_to : tuple of str or None
        Where the same runs lie now.
    """

    out: Path
    paths: tuple[str, ...]
    recipe: str
    training: TrainConfig
    files: RunOptions
    gradients: str | None = None
    normalise: Normalise | None = None
    init: str | None = None
    resume: bool = False
    override: bool = False
    moved_to: tuple[str, ...] | None = None

    def source(self) -> dict[str, Any]:
        """Where the runs come from, as `config.yaml` keeps it."""
        own = {"gradients": self.gradients, "normalise": self.normalise, "init": self.init}
        return {"paths": list(self.paths), **vars(self.files), **own}


def stored_run(
    out: Path, stored: dict[str, Any], *, override: bool, moved_to: tuple[str, ...] | None
) -> FMRIRun:
    """The run that a `config.yaml` describes.

    Raises
    ------
    ConfigError
        If it is none of `biojepa pretrain fmri`.
    """
    where = str(out / "config.yaml")
    source = stored_source(out, stored, _SOURCE)
    return FMRIRun(
        out,
        tuple(map(str, source["paths"])),
        str(stored.get("recipe")),
        training_of(stored, where),
        RunOptions(source["tr"], source["regions"], source["orientation"]),
        gradients=source["gradients"],
        normalise=source["normalise"],
        init=source["init"],
        resume=True,
        override=override,
        moved_to=moved_to,
    )


def train_run(run: FMRIRun) -> int:
    """Train, save the model, draw the curves; returns the exit code.

    Raises
    ------
    BiojepaError
        Of any kind that reading, training and saving have.
    """
    recipe, out = get_recipe(run.recipe), run.out
    where = run.moved_to or run.paths
    records = open_source(where, run.files, default_tr=recipe.tr_s)
    steps = run.training.steps
    rows = [
        ("runs", f"{len(records):,} from {', '.join(where)}"),
        ("recipe", recipe.name),
        ("training", f"{steps:,} steps of {run.training.batch_size} runs"),
        ("run", str(out)),
    ]
    say("Brain-JEPA pretraining", *table(rows))
    reached(out, resume=run.resume)
    fitted = pretrain(
        records,
        recipe,
        gradients=None if run.gradients is None else read_gradients(run.gradients),
        normalise=run.normalise,
        training=run.training,
        init=None if run.init is None else read_encoder(run.init)[0],
        source=run.source(),
        out=out,
        resume=run.resume,
        override=run.override,
    )
    if not is_lead_process():
        return OK
    result = fitted.result
    draw_curves(out)
    if (code := stopped(out, result, steps)) is not None:
        return code
    last = last_metrics(out)
    result.rows = [last]  # also where this call had no step left to do
    estimator = BrainJEPA(preset=recipe.name)
    estimator.take(fitted)
    estimator.n_features_in_ = len(fitted.atlases[0])
    estimator.save_pretrained(out / "model")
    about = {
        "modality": "fmri",
        "recipe": recipe.name,
        "atlases": [len(atlas) for atlas in fitted.atlases],
        "tr_s": fitted.preprocess.tr_s,
        "normalise": fitted.preprocess.normalise,
        "source": run.source(),
    }
    write_card(out, card(result, last, training=fitted.training, about=about))
    say_done(out, result, last, draw_pictures(out, estimator, records))
    return OK
