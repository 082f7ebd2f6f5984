"""`biojepa prepare`: files of recordings into one store."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from biojepa.cli.console import say, shorten, size_text, table
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import names, option, parse
from biojepa.cli.sources import OnMissing, Units
from biojepa.data.cards import load_card
from biojepa.data.databases.eeg import EEG_LAYOUTS
from biojepa.data.databases.layouts import LAYOUTS, DatabaseFiles, database_files
from biojepa.data.describe_eeg import eeg_files
from biojepa.data.files import list_records, read_many
from biojepa.data.leads import STANDARD_12, arrange_leads, canonical_leads
from biojepa.data.prepare import PrepareReport, prepare_store
from biojepa.data.recording import Recording
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError, DataError

MORE = """\
examples:
  biojepa prepare my_ecgs/ -o my_store
  biojepa prepare export/*.csv -o my_store --fs 500 --units uV
  biojepa prepare ptb-xl downloads/ptb-xl -o ptbxl_store --workers 2
  biojepa prepare code-15 downloads/code-15 -o code_store --published
then: biojepa pretrain ecg my_store -o my_run"""


@dataclass(frozen=True)
class Options:
    """Turn files of recordings into one store, which trains fast and on little memory.

    Stores hold millivolt in 16 bits a sample. Bad files are left out and listed with the reason
    in STORE/skipped.csv. Stopped, the same command goes on where it was.
    """

    src: Annotated[Positional[tuple[str, ...]], option("SRC...")]
    """Folders, files, patterns or RECORDS lists; WFDB, EDF, DICOM, XML, MATLAB, CSV, NumPy. Or the
    name of a public database (biojepa info ptb-xl) and the folder that it was downloaded to."""
    out: Annotated[str | None, option("STORE", short="-o")] = None
    """Folder for the store."""
    leads: Annotated[str | None, option("I,II,...")] = None
    """Leads of the store, the 12 standard ones by default. Limb leads that a file lacks are
    computed from I and II."""
    rate: Annotated[float | None, option("HZ")] = None
    """Resample to this rate; by default each recording keeps its own."""
    preset: Annotated[str | None, option("NAME")] = None
    """Leads and rate of this preset, for the smallest store."""
    file_leads: Annotated[str | None, option("I,II,...")] = None
    """Names of the channels, for files that do not name them (or wrongly)."""
    fs: Annotated[float | None, option("HZ")] = None
    """Samples per second of files that do not say."""
    units: Annotated[Units, option("UNIT")] = "mV"
    """Of files that do not say: mV (default), uV, V or arbitrary."""
    on_missing: Annotated[OnMissing, option("WHAT")] = "error"
    """A file lacks a lead: error (default) leaves the file out, drop marks the lead as missing."""
    allow_truncated: Annotated[bool, option()] = False
    """Read what is there of an EDF or BDF file that was cut."""
    on_error: Annotated[Literal["skip", "raise"], option("WHAT")] = "skip"
    """A bad file: skip (list it, default) or raise (stop)."""
    max_bad_fraction: Annotated[float, option("SHARE")] = 0.05
    """A larger share of bad files is an error (from 20 files on)."""
    workers: Annotated[int, option("N")] = 0
    """Further processes that read; the store is the same."""
    published: Annotated[bool, option()] = False
    """Of a public database, keep only the records of the published ECG-JEPA pretraining."""
    highpass: Annotated[float | None, option("HZ")] = None
    """Remove the baseline below this frequency for good; by default it stays, and pretraining
    filters where it must."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    if argv and argv[0] in EEG_LAYOUTS:
        from biojepa.cli import prepare_eeg

        return prepare_eeg.run(argv)
    options = parse(Options, "prepare", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o STORE, a folder for the store")
    if not options.src:
        raise UsageError("expected SRC: folders, files or patterns of recordings")
    try:
        return _prepare(options, options.out)
    except DataError as error:
        # looked for now alone, since it opens every file
        if any(eeg_files(given) for given in options.src):
            raise DataError(f"{error}; this looks like EEG: biojepa prepare eeg") from error
        raise


def _prepare(options: Options, out: str) -> int:
    leads, rate_hz = layout(options)
    unit = "arbitrary" if options.units == "arbitrary" else "mV"
    found, recipe = recordings(options, rate_hz)
    if options.highpass is not None:
        recipe["highpass_hz"] = options.highpass
    say(f"{len(found.paths):,} files found")
    bar = tqdm(total=len(found.paths), unit="file", disable=not sys.stderr.isatty())

    def progress(done: int, total: int) -> None:
        bar.update(done - bar.n)

    with bar:
        report = prepare_store(
            found.paths,
            out,
            read=found.read,
            arrange=partial(
                arrange,
                leads=leads,
                rate_hz=rate_hz,
                on_missing=options.on_missing,
                highpass_hz=options.highpass,
            ),
            select=found.select,
            channels=leads,
            workers=options.workers,
            on_error=options.on_error,
            max_bad_fraction=options.max_bad_fraction,
            progress=progress,
            unit=unit,
            recipe={
                "leads": list(leads),
                "rate_hz": rate_hz,
                "on_missing": options.on_missing,
                "units": options.units,
                **recipe,
            },
        )
    say(*_report(report))
    return OK


def recordings(options: Options, rate_hz: float | None) -> tuple[DatabaseFiles, dict[str, Any]]:
    """Where the recordings come from: a public database by name, or any files.

    Returns
    -------
    DatabaseFiles
    dict
        What the store notes of it.

    Raises
    ------
    UsageError
        If options do not go together, or a name comes without its folder.
    """
    name = options.src[0]
    if name in LAYOUTS and len(options.src) == 2:
        if options.fs or options.file_leads or options.units != "mV":
            raise UsageError(f"{name} states its rate, leads and unit: leave these options out")
        published = options.published
        found = database_files(name, options.src[1], rate_hz=rate_hz, published=published)
        stated = load_card(name).normalisation
        note = {"name": name, "published": published}
        note["highpass_hz"] = None if stated is None else stated.highpass_hz
        return found, {"database": note}
    if name in LAYOUTS and not Path(name).exists():
        raise UsageError(f"expected the folder of {name}: biojepa prepare {name} FOLDER -o STORE")
    if options.published:
        raise UsageError("--published goes with the name of a public database")
    read = partial(
        read_file,
        leads=names(options.file_leads, option="--file-leads"),
        rate_hz=options.fs,
        unit=None if options.units == "mV" else options.units,
        allow_truncated=options.allow_truncated,
    )
    return DatabaseFiles(list_records(list(options.src)), read, None), {}


def layout(options: Options) -> tuple[tuple[str, ...], float | None]:
    """Leads and rate of the store.

    Raises
    ------
    UsageError
        If preset and leads or rate are given together.
    ConfigError
        If the preset is unknown or the rate impossible.
    """
    if options.preset is not None:
        if options.leads is not None or options.rate is not None:
            raise UsageError("expected --preset alone, or --leads and --rate")
        from biojepa.ecg.recipes import get_recipe

        model = get_recipe(options.preset).model
        return model.leads, model.rate_hz
    if options.highpass is not None and not 0 < options.highpass <= 10:
        raise ConfigError(f"expected --highpass above 0 and up to 10 Hz, got {options.highpass:g}")
    if options.rate is not None and not 1 <= options.rate <= 1e5:
        raise ConfigError(f"expected --rate of 1 to 100000 Hz, got {options.rate:g}")
    wanted = names(options.leads, option="--leads")
    return (STANDARD_12 if wanted is None else canonical_leads(wanted)), options.rate


def read_file(
    path: str,
    *,
    leads: Sequence[str] | None,
    rate_hz: float | None,
    unit: str | None,
    allow_truncated: bool = False,
) -> Iterator[Recording]:
    """Recordings of one file; at the top of a module, so that worker processes find it."""
    return read_many(
        [path], leads=leads, rate_hz=rate_hz, unit=unit, allow_truncated=allow_truncated
    )


def arrange(
    recording: Recording,
    *,
    leads: tuple[str, ...],
    rate_hz: float | None,
    on_missing: OnMissing,
    highpass_hz: float | None = None,
) -> Recording:
    """Leads by name, the baseline, then the rate; what is missing stays missing (NaN)."""
    have = recording.channels or leads
    values, present = arrange_leads(recording.values, have, leads, on_missing=on_missing)
    values[~present] = np.nan
    rate = recording.rate_hz
    wanted = rate if rate_hz is None else rate_hz
    if wanted != rate or highpass_hz is not None:
        values = _conditioned(values, rate, wanted, highpass_hz)
        rate = wanted
    notes = recording.notes
    if not present.all():
        lost = [lead for lead, there in zip(leads, present, strict=True) if not there]
        notes = (*notes, f"leads not there: {', '.join(lost)}")
    return replace(recording, values=values, channels=leads, rate_hz=rate, notes=notes)


def _conditioned(
    values: np.ndarray, source_hz: float, target_hz: float, highpass_hz: float | None
) -> np.ndarray:
    """Filtered and resampled; gaps are bridged for it and are gaps again afterwards."""
    from biojepa.data.conditioning import fill_gaps, filtered, resampled

    missing = np.isnan(values)
    filled = values.astype(np.float64)[None]
    fill_gaps(filled, ~missing.all(axis=-1)[None], cap=np.inf)
    band = None if highpass_hz is None else (highpass_hz, None)
    out = resampled(filtered(filled, band, source_hz)[0], source_hz, target_hz, "poly")
    out = out.astype(np.float32)
    if missing.any():
        at = np.minimum(
            (np.arange(out.shape[1]) * source_hz / target_hz).astype(int), missing.shape[1] - 1
        )
        out[missing[:, at]] = np.nan
    return out


def _report(report: PrepareReport) -> list[str]:
    n_bytes = sum(p.stat().st_size for p in Path(report.path).rglob("*") if p.is_file())
    with SignalStore(report.path) as store:
        rates = np.unique(store.rates_hz)
        seconds = store.lengths / store.rates_hz
        rows = [
            ("store", f"{report.path} ({size_text(n_bytes)})"),
            (
                "recordings",
                f"{len(store):,}: {report.n_written:,} written now, "
                f"{report.n_resumed:,} were there",
            ),
            ("leads", shorten(store.channels)),
            ("rate", ", ".join(f"{r:g}" for r in rates[:5]) + " Hz"),
            ("length", f"{seconds.min():.1f} to {seconds.max():.1f} s"),
        ]
    lines = table(rows)
    skipped = report.skipped
    if skipped.skips:
        lines.append(f"left out: {len(skipped):,} (see {Path(report.path) / 'skipped.csv'})")
        for reason, count in skipped.counts().items():
            first = next(skip for skip in skipped.skips if skip.reason == reason)
            lines.append(f"  {count:,} x {reason}, such as {first.path}: {first.message}")
    for reason, count in skipped.unselected.items():
        lines.append(f"not selected: {count:,} ({reason})")
    if skipped.noted:
        path, note = skipped.noted[0]
        lines.append(
            f"noted of {len({p for p, _ in skipped.noted}):,} files, such as {path}: {note}"
        )
    return [*lines, f"next: biojepa pretrain ecg {report.path} -o my_run"]
