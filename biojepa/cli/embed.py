"""`biojepa embed`: features of recordings as a table, file by file, whatever their number."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional

from biojepa.cli.console import say
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.feature_files import FeatureFile, open_feature_file
from biojepa.cli.fmri_sources import Axes
from biojepa.cli.parse import names, option, parse
from biojepa.cli.sources import OnMissing, Units, is_store
from biojepa.data.files import find_records, read_many
from biojepa.data.leads import arrange_leads
from biojepa.data.recording import Recording
from biojepa.data.skips import SkipReport
from biojepa.data.store import SignalStore
from biojepa.errors import BiojepaError, ConfigError, DataError

MORE = """\
examples:
  biojepa embed my_run my_ecgs/ -o features.csv
  biojepa embed my_run my_store -o features.npz --scale
  biojepa embed my_run ecgs.npy --fs 500 --leads I,II,V1,V2,V3,V4,V5,V6 \\
      --units uV -o features.csv
  biojepa embed my_classifier holter.edf --probabilities -o features.csv
  biojepa embed my_eeg_run my_eegs/ -o features.npz --figure map.png \\
      --labels labels.csv
  biojepa embed my_fmri_run my_series/ -o features.csv --tr 2
In Python: ECGJEPA.from_pretrained("my_run").transform(["my_ecgs/"])"""
CHUNK_VALUES = 8 << 20  # samples held at a time: 32 MB of float32


@dataclass(frozen=True)
class Options:
    """Turn recordings into features, one row each.

    The model brings its own preprocessing: any sampling rate, any length, leads in any order.
    The columns are record_id, f0, f1, ... (CSV), or the arrays `record_id` and `features` (npz).
    Of a classifier, the features are those of its encoder.
    """

    model: Annotated[Positional[str], option("MODEL")]
    """A run directory, a model folder, the name of a shipped model, or a Hub id."""
    files: Annotated[Positional[tuple[str, ...]], option("FILES...")]
    """Files (WFDB, EDF, DICOM, XML, MATLAB, CSV, NumPy; with an EEG model EDF, BDF, FIF,
    BrainVision, EEGLAB), folders, patterns or stores."""
    out: Annotated[str | None, option("FILE", short="-o")] = None
    """features.csv or features.npz."""
    figure: Annotated[str | None, option("FILE.png")] = None
    """Draw the rows on their two principal axes."""
    labels: Annotated[str | None, option("FILE.csv")] = None
    """Of the figure: record_id, patient_id and labels; colours by class and by subject."""
    pool: Annotated[str | None, option("NAME")] = None
    """mean_std, mean or register: how a recording's tokens become one row."""
    layer: Annotated[str | None, option("N,...")] = None
    """Block(s) of the network, -1 is the last; several are put side by side."""
    scale: Annotated[bool, option()] = False
    """Append the log amplitude of each lead, which normalisation removes."""
    probabilities: Annotated[bool, option()] = False
    """Of a classifier: append the probability of each class (p_NAME; npz: `probabilities`)."""
    fs: Annotated[float | None, option("HZ")] = None
    """Samples per second of files that do not say."""
    tr: Annotated[float | None, option("SECONDS")] = None
    """Of fMRI series that do not say: repetition time (default: the model's)."""
    orientation: Annotated[Axes, option("AXES")] = "auto"
    """Of fMRI tables: time-region (default) or region-time."""
    leads: Annotated[str | None, option("I,II,...")] = None
    """Names of the channels in the files, in their order."""
    units: Annotated[Units, option("UNIT")] = "mV"
    """Of files that do not say: mV (default), uV, V, adc or arbitrary."""
    on_missing: Annotated[OnMissing, option("WHAT")] = "error"
    """A lead of the model is missing: error (default) or drop (mask it)."""
    on_unknown: Annotated[OnMissing, option("WHAT")] = "error"
    """A channel of an EEG without a known place: error (default) or drop (leave it out)."""
    rows: Annotated[Literal["window", "recording"], option("WHAT")] = "window"
    """Of a continuous EEG: one row a window (NAME#0, ..., default) or their mean."""
    allow_truncated: Annotated[bool, option()] = False
    """Read what is there of an EDF or BDF file that was cut."""
    on_error: Annotated[Literal["raise", "skip"], option("WHAT")] = "raise"
    """A file cannot be used: raise (stop, default) or skip (and list it)."""
    max_bad_fraction: Annotated[float, option("SHARE")] = 0.05
    """With skip: a larger share of bad files is an error (from 20 files on)."""
    batch_size: Annotated[int, option("N")] = 64
    """Recordings in memory at a time; changes speed and memory only."""
    precision: Annotated[str, option("NAME")] = "fp32"
    """fp32 (default) or bf16 (faster, differs in the third digit)."""
    device: Annotated[str, option("NAME")] = "auto"
    """auto (default), cpu, cuda or mps."""


@dataclass
class Item:
    """A recording with the name that its row gets."""

    record_id: str
    recording: Recording


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "embed", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o features.csv or -o features.npz")
    if not options.files:
        raise UsageError("expected FILES: recordings, folders, patterns or stores")
    if options.batch_size < 1:
        raise UsageError(f"expected --batch-size of 1 or more, got {options.batch_size}")
    if options.labels is not None and options.figure is None:
        raise UsageError("expected --figure FILE.png with --labels, which the figure alone needs")
    out = Path(options.out)
    report = SkipReport(0)
    from biojepa.cli.models import model_kind

    kind, modality = model_kind(options.model)
    layer = None if options.layer is None else _layers(options.layer)
    with open_feature_file(out) as file:
        if modality == "eeg":
            from biojepa.cli.embed_eeg import embed_eeg

            is_classifier = kind == "classifier"
            width = embed_eeg(options, file, report, classifier=is_classifier, layer=layer)
        elif modality == "fmri":
            from biojepa.cli.embed_fmri import embed_fmri

            width = embed_fmri(options, file, report, kind=kind, layer=layer)
        else:
            width = _embed(options, file, report, layer)
    classes = f" and {len(file.classes)} probabilities" if file.classes else ""
    what = "recordings" if modality != "eeg" or options.rows == "recording" else "windows"
    what = "runs" if modality == "fmri" else what
    say(f"{out}: {file.n_rows:,} {what}, {width} features{classes} each")
    if report.skips:
        listing = out.with_name(out.stem + ".skipped.csv")
        report.to_csv(listing)
        say(f"{report}", f"all of them: {listing}")
    if options.figure is not None:
        from biojepa.cli.embed_figure import draw_map

        draw_map(out, Path(options.figure), options.labels)
    return OK


def _embed(options: Options, file: FeatureFile, report: SkipReport, layer: Any) -> int:
    """Write every row; returns the number of features."""
    from biojepa.cli.models import open_model

    leads = names(options.leads, option="--leads")
    model = open_model(options.model)
    estimator, classifier = model.encoder, model.classifier
    common = {
        "on_missing": options.on_missing,
        "precision": options.precision,
        "device": options.device,
    }
    estimator.set_params(**common)
    if options.probabilities:
        if classifier is None:
            raise ConfigError(
                f"{options.model} is an encoder and knows no classes: expected a classifier with "
                "--probabilities, or leave it out"
            )
        classifier.set_params(**common)
        file.classes = model.classes
    if options.pool is not None:
        estimator.set_params(pool=options.pool)
    if layer is not None:
        estimator.set_params(layer=layer)
    if options.scale:
        estimator.set_params(scale=True)
    width = len(estimator.get_feature_names_out())
    wanted = estimator.preprocess_.leads
    items = _items(options, leads, report)
    for chunk in _chunks(_usable(items, wanted, options, report), options.batch_size):
        first = chunk[0].recording
        estimator.set_params(fs=first.rate_hz, leads=list(first.channels) or None, units=first.unit)
        values = [item.recording.values for item in chunk]
        features = estimator.transform(values)
        if classifier is not None and file.classes:
            classifier.set_params(fs=first.rate_hz, leads=estimator.leads, units=first.unit)
            chances = classifier.predict_proba(values).astype(np.float32)
            features = np.concatenate([features, chances], axis=1)
        file.write([item.record_id for item in chunk], features)
    report.check(options.max_bad_fraction)
    if not file.n_rows:
        raise DataError("expected at least one recording, got none")
    return width


def _items(options: Options, leads: list[str] | None, report: SkipReport) -> Iterator[Item]:
    """Recordings in the order of the command line, one at a time."""
    unit = None if options.units == "mV" else options.units
    for stores, group in groupby(options.files, is_store):
        if stores:
            for path in group:
                yield from _stored(SignalStore(path), report)
            continue
        count = 0
        before = None
        for recording in read_many(
            find_records(list(group)),
            on_error=options.on_error,
            max_bad_fraction=options.max_bad_fraction,
            report=report,
            leads=leads,
            rate_hz=options.fs,
            unit=unit,
            allow_truncated=options.allow_truncated,
        ):
            count = count + 1 if recording.source == before else 0
            before = recording.source
            name = recording.record_id or f"{Path(recording.source).stem}#{count}"
            yield Item(name, recording)


def _stored(store: SignalStore, report: SkipReport) -> Iterator[Item]:
    report.n_files += len(store)
    for index in range(len(store)):
        recording = store.recording(index)
        yield Item(recording.record_id, recording)


def _usable(
    items: Iterable[Item], wanted: tuple[str, ...], options: Options, report: SkipReport
) -> Iterator[Item]:
    """Recordings that have the leads; others are an error, or are skipped and listed."""
    for item in items:
        recording = item.recording
        try:
            if recording.channels:
                probe = np.zeros((len(recording.channels), 1), np.float32)
                arrange_leads(probe, recording.channels, wanted, on_missing=options.on_missing)
        except BiojepaError as error:
            where = recording.source or item.record_id
            if options.on_error == "raise":
                raise type(error)(f"{where}: {error}") from error
            report.add(where, error)
            continue
        yield item


def _chunks(items: Iterable[Item], limit: int) -> Iterator[list[Item]]:
    """Consecutive recordings of one rate, layout and unit, a bounded number of samples."""
    chunk: list[Item] = []
    n_values = 0
    for item in items:
        new = item.recording
        if chunk:
            old = chunk[0].recording
            alike = (old.rate_hz, old.channels, old.unit) == (new.rate_hz, new.channels, new.unit)
            if not alike or len(chunk) == limit or n_values + new.values.size > CHUNK_VALUES:
                yield chunk
                chunk, n_values = [], 0
        chunk.append(item)
        n_values += new.values.size
    if chunk:
        yield chunk


def _layers(text: str) -> int | list[int]:
    try:
        layers = [int(part) for part in text.split(",")]
    except ValueError:
        raise ConfigError(f"expected whole numbers after --layer, got {text!r}") from None
    return layers[0] if len(layers) == 1 else layers
