"""Features of EEG recordings: what `biojepa embed` does with an EEG model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from biojepa.cli.errors import UsageError
from biojepa.cli.feature_files import FeatureFile
from biojepa.data.eeg_reader import find_eeg, read_eeg
from biojepa.data.eeg_records import EEGRecords, MixedEEG, open_eeg, stores_of
from biojepa.data.eeg_store import record_names
from biojepa.data.held_records import HeldRecordings
from biojepa.data.skips import SkipReport
from biojepa.eeg._classifier_file import read_classifier
from biojepa.eeg.classifier import SignalJEPAClassifier
from biojepa.eeg.estimator import SignalJEPA
from biojepa.errors import BiojepaError, ConfigError, DataError

if TYPE_CHECKING:
    from biojepa.cli.embed import Options


def embed_eeg(
    options: Options, file: FeatureFile, report: SkipReport, *, classifier: bool, layer: Any
) -> int:
    """Write the rows of all recordings; returns the number of features.

    Parameters
    ----------
    options : Options
        Of the command.
    file : FeatureFile
    report : SkipReport
        Filled with what is left out.
    classifier : bool
        Whether the model folder holds a classifier.
    layer : int, list of int or None

    Raises
    ------
    BiojepaError
        As reading and the model; `UsageError` for options that ECG models alone have.
    """
    if options.fs is not None or options.leads is not None or options.scale:
        raise UsageError("--fs, --leads and --scale go with ECG models: EEG files say theirs")
    estimator, network = _models(options.model, classifier)
    common = {"device": options.device, "on_unknown": options.on_unknown}
    estimator.set_params(precision=options.precision, units=_units(options), **common)
    if options.pool is not None:
        estimator.set_params(pool=options.pool)
    if layer is not None:
        estimator.set_params(layer=layer)
    if options.probabilities:
        if network is None:
            raise ConfigError(
                f"{options.model} is an encoder and knows no classes: expected a classifier with "
                "--probabilities, or leave it out"
            )
        network.set_params(units=_units(options), **common)
        file.classes = tuple(str(c) for c in np.asarray(network.classes_).tolist())
    for name, source in _recordings(options, report):
        try:
            rows = _rows(estimator, network if file.classes else None, source)
        except BiojepaError as error:
            if options.on_error == "raise":
                raise type(error)(f"{name}: {error}") from error
            report.add(name, error)
            continue
        if options.rows == "recording":
            rows, names = rows.mean(axis=0, keepdims=True), [name]
        else:
            names = [name] if len(rows) == 1 else [f"{name}#{k}" for k in range(len(rows))]
        file.write(names, rows)
    report.check(options.max_bad_fraction)
    if not file.n_rows:
        raise DataError("expected at least one recording, got none")
    return len(estimator.get_feature_names_out())


def _models(name: str, classifier: bool) -> tuple[SignalJEPA, SignalJEPAClassifier | None]:
    """The encoder, and the classifier around it if there is one."""
    if not classifier:
        return SignalJEPA.from_pretrained(name), None
    fitted = read_classifier(name, verify=True)
    estimator = SignalJEPA(preset=fitted.preset)
    estimator.take(fitted.pretrained)
    estimator.n_features_in_ = len(fitted.channels)
    return estimator, SignalJEPAClassifier.from_pretrained(name)


def _units(options: Options) -> str:
    return "arbitrary" if options.units == "arbitrary" else "uV"


def _recordings(
    options: Options, report: SkipReport
) -> Iterator[tuple[str, EEGRecords | MixedEEG]]:
    """Recordings in the order of the command line, one at a time."""
    files: list[Path] = []
    for given in options.files:
        stores = stores_of(given)
        for store in stores:
            whole = open_eeg(store, units=_units(options)).parts[0]
            report.n_files += len(store)
            for index in range(len(store)):
                one = HeldRecordings([store.recording(index)])
                yield (
                    store.record_id(index),
                    EEGRecords(one, whole.supplied, whole.continuous, whole.arbitrary),
                )
        if not stores:
            files += find_eeg([Path(given)])
    names = record_names([str(path) for path in files])
    report.n_files += len(names)
    for path, name in names.items():
        try:
            raw = read_eeg(path, allow_truncated=options.allow_truncated)
            source = open_eeg(raw, units=_units(options), strict=True)
        except BiojepaError as error:
            if options.on_error == "raise":
                raise
            report.add(path, error)
            continue
        yield name, source


def _rows(
    estimator: SignalJEPA, network: SignalJEPAClassifier | None, source: EEGRecords | MixedEEG
) -> np.ndarray:
    features = estimator.transform(source)
    if network is None:
        return features
    chances = network.predict_proba(source).astype(np.float32)
    return np.concatenate([features, chances], axis=1)
