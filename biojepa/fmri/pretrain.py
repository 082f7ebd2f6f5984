"""Pretraining of a Brain-JEPA on anyone's runs: what estimator and command line share."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from biojepa.data.records import Records, training_statement
from biojepa.engine.config import TrainConfig
from biojepa.engine.masked import MaskedJEPA
from biojepa.engine.plan import GroupedPlan
from biojepa.engine.train import Evaluate, TrainResult, train
from biojepa.errors import ConfigError, DataError, PlausibilityWarning
from biojepa.fmri.atlas import Atlas, fit_atlas, layout_of, match
from biojepa.fmri.config import BrainModelConfig
from biojepa.fmri.inputs import BrainInputs, BrainWindows
from biojepa.fmri.model import build_jepa
from biojepa.fmri.preprocess import BrainPreprocess, Normalise, robust_statistics
from biojepa.fmri.recipes import Recipe
from biojepa.fmri.records import SeriesRecords

MIN_PATCHES = 2


@dataclass
class Pretrained:
    """A model and everything needed to use it.

    Parameters
    ----------
    jepa : MaskedJEPA
    config : BrainModelConfig
    preprocess : BrainPreprocess
    atlases : tuple of Atlas
        Those that it was trained on; the first is the model's own.
    result : TrainResult
    training : dict
        Statement of the data: number of runs, ids or hashes, fingerprint.
    """

    jepa: MaskedJEPA
    config: BrainModelConfig
    preprocess: BrainPreprocess
    atlases: tuple[Atlas, ...]
    result: TrainResult
    training: dict[str, Any]


def find_atlases(
    records: Records,
    n_gradients: int,
    *,
    known: Sequence[Atlas] = (),
    gradients: NDArray | None = None,
) -> tuple[Atlas, ...]:
    """The atlases of some runs: those that are known, and new ones with gradients of these runs.

    Parameters
    ----------
    records : Records
    n_gradients : int
    known : sequence of Atlas
    gradients : ndarray, shape (R, G), optional
        Of the runs' atlas, or of the one with so many regions.

    Returns
    -------
    tuple of Atlas
        The known ones first, then new ones, the commonest first.

    Raises
    ------
    DataError
        If `gradients` are of no atlas of the runs, or a region is flat in all runs.
    """
    layouts: dict[int, Any] = {}
    for i in range(len(records)):
        run = records.read(i)
        if match(run, known) is None:
            layouts[i] = layout_of(run)
    found: list[Atlas] = []
    used = gradients is None
    for layout, _ in Counter(layouts.values()).most_common():
        members = [i for i, own in layouts.items() if own == layout]
        run = records.read(members[0])
        R, names = len(run.values), tuple(run.channels)
        if gradients is not None and not used and len(gradients) == R:
            found.append(Atlas(names, np.asarray(gradients, dtype=np.float32)))
            used = True
        else:
            found.append(fit_atlas(_series(records, members, names), names, R, n_gradients))
    if not used:
        sizes = ", ".join(str(len(atlas)) for atlas in found) or "none"
        raise DataError(
            f"expected gradients of as many rows as the runs have regions ({sizes}), got "
            f"{len(gradients if gradients is not None else ())}"
        )
    return (*known, *found)


def warn_of_new(atlases: Sequence[Atlas], n_known: int) -> None:
    """Say that gradients were fitted for atlases that a model does not know."""
    for atlas in atlases[n_known:]:
        warnings.warn(
            f"fitted the gradients of an atlas of {len(atlas)} regions, which the model has not "
            "seen, on these runs: features of different fits are not the same measurement; pass "
            "gradients= to fix them",
            PlausibilityWarning,
            stacklevel=4,
        )


def make_preprocess(
    recipe: Recipe, records: Records, *, normalise: Normalise | None = None
) -> BrainPreprocess:
    """The recipe's preprocessing; statistics of the published scaling are measured."""
    normalise = normalise or recipe.normalise
    own: dict[str, Any] = {}
    if normalise == "robust":
        own["median"], own["iqr"] = _offsets(records)
    return BrainPreprocess(
        tr_s=recipe.tr_s, normalise=normalise, resample=recipe.resample, clip=recipe.clip, **own
    )


def window_frames(config: BrainModelConfig, inputs: BrainInputs) -> int:
    """Pretraining window: the recipe's, or the longest run's if all are shorter."""
    longest = max(
        inputs.preprocess.n_times_out(n, 1.0 / rate) for n, rate in inputs.records.lengths()
    )
    patches = min(config.n_times, longest) // config.patch
    return max(MIN_PATCHES, patches) * config.patch


def new_model(
    records: Records,
    recipe: Recipe,
    *,
    gradients: NDArray | None = None,
    normalise: Normalise | None = None,
    model: dict[str, Any] | None = None,
) -> tuple[BrainModelConfig, BrainPreprocess, tuple[Atlas, ...]]:
    """Settings, preprocessing and atlases of a new model for some runs."""
    settings = recipe.model.to_config() | (model or {})
    n_gradients = settings["n_gradients"] if gradients is None else gradients.shape[1]
    atlases = find_atlases(records, n_gradients, gradients=gradients)
    settings |= {"n_regions": len(atlases[0]), "n_gradients": n_gradients}
    preprocess = make_preprocess(recipe, records, normalise=normalise)
    config = BrainModelConfig.from_config(settings)
    inputs = BrainInputs(records, preprocess, atlases)
    return config.for_window(window_frames(config, inputs)), preprocess, atlases


def pretrain(
    records: Records,
    recipe: Recipe,
    *,
    gradients: NDArray | None = None,
    normalise: Normalise | None = None,
    model: dict[str, Any] | None = None,
    training: TrainConfig | None = None,
    init: Pretrained | None = None,
    source: dict[str, Any] | None = None,
    out: Path | None = None,
    evaluate: Evaluate | None = None,
    every: int = 100,
    monitor: str | None = None,
    patience: int | None = None,
    resume: bool = False,
    override: bool = False,
    progress: bool | None = None,
) -> Pretrained:
    """Pretrain on runs of one atlas or several.

    Parameters
    ----------
    records : Records
    recipe : Recipe
    gradients : ndarray, shape (R, G), optional
        Of the runs' atlas; fitted on the runs by default.
    normalise : str, optional
        In place of the recipe's.
    model : dict, optional
        Settings of `BrainModelConfig` in place of the recipe's.
    training : TrainConfig, optional
        In place of the recipe's.
    init : Pretrained, optional
        Go on from these weights, with their preprocessing and gradients.
    source : dict, optional
        Where the runs came from; kept in `config.yaml`, so that the run can be resumed.
    out : Path, optional
        Run directory.
    evaluate, every, monitor, patience, resume, override, progress
        See `biojepa.engine.train`.

    Returns
    -------
    Pretrained

    Raises
    ------
    DataError, ConfigError, RunError, TrainingError
    """
    if len(records) < 2:
        raise DataError(f"expected at least 2 runs to pretrain on, got {len(records)} sample")
    training = training or recipe.train
    if init is None:
        config, preprocess, atlases = new_model(
            records, recipe, gradients=gradients, normalise=normalise, model=model
        )
    else:
        if model or normalise is not None:
            raise ConfigError("expected no model settings with init=, which brings its own")
        config, preprocess = init.config, init.preprocess
        atlases = find_atlases(records, config.n_gradients, known=init.atlases, gradients=gradients)
        warn_of_new(atlases, len(init.atlases))
    inputs = BrainInputs(records, preprocess, atlases)
    if init is not None:
        config = config.for_window(window_frames(config, inputs))
    data = BrainWindows(inputs, config.n_times, in_memory=isinstance(records, SeriesRecords))
    jepa = build_jepa(config, gradients=atlases[0].gradients, seed=training.seed)
    if init is not None:
        jepa.load_export(init.jepa.export_state(), where="init")
    groups = inputs.groups()
    plan = None
    if len(np.unique(groups)) > 1:
        plan = GroupedPlan(groups.tolist(), training.batch_size, training.seed)
    statement = training_statement(records)
    settings = {
        "modality": "fmri",
        "recipe": recipe.name,
        "model": config.to_config(),
        "preprocess": preprocess.to_config(),
        "data": statement["fingerprint"],
    }
    if source is not None:
        settings["source"] = source
    result = train(
        jepa,
        data,
        training,
        out,
        plan=plan,
        evaluate=evaluate,
        every=every,
        monitor=monitor,
        patience=patience,
        settings=settings,
        resume=resume,
        override=override,
        progress=progress,
    )
    return Pretrained(jepa, config, preprocess, atlases, result, statement)


def scaled_batch(base: TrainConfig, batch_size: int | None) -> TrainConfig:
    """The training with so many runs a step (None: its own), 16 a micro-batch where it has any."""
    if batch_size is None:
        return base
    accumulate = max(1, min(base.accumulate, batch_size // 16))
    return replace(base, batch_size=batch_size, accumulate=accumulate)


def _offsets(records: Records) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Statistics of the regions' means over time; see `robust_statistics`."""
    means, spread = [], []
    for i in range(len(records)):
        x = np.asarray(records.read(i).values, dtype=np.float64)
        there = np.isfinite(x)
        count = there.sum(axis=1)
        mean = np.where(there, x, 0.0).sum(axis=1) / np.maximum(count, 1)
        square = np.square(np.where(there, x - mean[:, None], 0.0)).sum(axis=1)
        means.append(np.where(count > 0, mean, np.nan))
        spread.append(np.sqrt(square / np.maximum(count, 1)))
    if len({len(m) for m in means}) > 1:
        raise DataError(
            "expected runs of one atlas for normalise='robust', whose statistics are one a region: "
            "use normalise='region'"
        )
    return robust_statistics(np.stack(means), spread=np.stack(spread))


def _series(records: Records, members: Sequence[int], names: tuple[str, ...]) -> Iterator[NDArray]:
    """Runs (T, R) of one atlas, regions in the order of `names`."""
    for i in members:
        run = records.read(i)
        values = run.values
        if names and tuple(run.channels) != names:
            values = values[[run.channels.index(name) for name in names]]
        yield values.T
