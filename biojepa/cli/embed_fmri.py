"""Features of fMRI runs: what `biojepa embed` does with an fMRI model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from biojepa.cli.errors import UsageError
from biojepa.cli.feature_files import FeatureFile
from biojepa.data._paths import record_path
from biojepa.data.recording import Recording
from biojepa.data.skips import SkipReport
from biojepa.errors import BiojepaError, ConfigError, DataError
from biojepa.fmri._predictor_file import read_predictor
from biojepa.fmri.classifier import BrainClassifier
from biojepa.fmri.estimator import BrainJEPA
from biojepa.fmri.files import find_series
from biojepa.fmri.records import open_runs
from biojepa.fmri.regressor import BrainRegressor

if TYPE_CHECKING:
    from biojepa.cli.embed import Options

PREDICTORS = {"classifier": BrainClassifier, "regressor": BrainRegressor}


def embed_fmri(
    options: Options, file: FeatureFile, report: SkipReport, *, kind: str, layer: Any
) -> int:
    """Write one row a run; returns the number of features.

    Parameters
    ----------
    options : Options
        Of the command.
    file : FeatureFile
    report : SkipReport
        Filled with what is left out.
    kind : {"encoder", "classifier", "regressor"}
        What the model folder holds.
    layer : int, list of int or None

    Raises
    ------
    BiojepaError
        As reading and the model; `UsageError` for options that other models alone have.
    """
    if options.fs is not None or options.leads is not None or options.scale:
        raise UsageError("--fs, --leads and --scale go with ECG models: give --tr of fMRI series")
    predictor: Any = None
    if kind == "encoder":
        estimator = BrainJEPA.from_pretrained(options.model)
    else:
        predictor = read_predictor(options.model, PREDICTORS[kind], verify=True)
        estimator = predictor._reader
    own = {"precision": options.precision, "device": options.device}
    estimator.set_params(**own)
    if options.pool is not None:
        estimator.set_params(pool=options.pool)
    if layer is not None:
        estimator.set_params(layer=layer)
    if options.probabilities:
        if kind != "classifier":
            raise ConfigError(
                f"{options.model} is no classifier and knows no classes: leave --probabilities out"
            )
        predictor.set_params(**own)
        file.classes = tuple(str(c) for c in np.asarray(predictor.classes_).tolist())
    for name, run in _runs(options, report, estimator.preprocess_.tr_s):
        try:
            row = estimator.transform([run])
            if file.classes:
                chances = predictor.predict_proba([run]).astype(np.float32)
                row = np.concatenate([row, chances], axis=1)
        except BiojepaError as error:
            if options.on_error == "raise":
                raise type(error)(f"{name}: {error}") from error
            report.add(name, error)
            continue
        file.write([name], row)
    report.check(options.max_bad_fraction)
    if not file.n_rows:
        raise DataError("expected at least one run, got none")
    return len(estimator.get_feature_names_out())


def _runs(
    options: Options, report: SkipReport, default_tr: float
) -> Iterator[tuple[str, Recording]]:
    """Runs in the order of the command line, one at a time."""
    tr_s = options.tr or default_tr
    how: dict[str, Any] = {"tr_s": tr_s, "regions": None, "orientation": options.orientation}
    for given in options.files:
        path = record_path(given)
        stored = (path / "manifest.json").is_file()
        for source in [path] if stored else find_series(path):
            try:
                records = open_runs(source, **how)
            except BiojepaError as error:
                report.n_files += 1
                if options.on_error == "raise":
                    raise
                report.add(source, error)
                continue
            report.n_files += len(records)
            for index in range(len(records)):
                yield records.identity(index), records.read(index)
