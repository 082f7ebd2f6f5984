"""`biojepa prepare eeg`: EEG files, folders or a public database into one store a montage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tqdm import tqdm
from tyro.conf import Positional

from biojepa.cli.console import say, shorten, size_text, table
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.parse import option, parse
from biojepa.data.databases.eeg import EEG_LAYOUTS, eeg_database_files, is_arbitrary
from biojepa.data.eeg_reader import find_eeg
from biojepa.data.eeg_store import EEGFile, EEGReport, Subject, prepare_eeg
from biojepa.data.store import SignalStore
from biojepa.errors import ConfigError

MORE = """\
examples:
  biojepa prepare eeg my_eegs/ -o my_store
  biojepa prepare eeg my_bids/ -o my_store --on-unknown drop --rate 128
  biojepa prepare eegmmidb downloads/eegmmidb -o mi_store --workers 2
  biojepa prepare ssvep-exoskeleton downloads/ssvep -o ssvep_store
then: biojepa pretrain eeg my_store -o my_run"""


@dataclass(frozen=True)
class Options:
    """Turn EEG files into one store, or one for each montage below STORE.

    The store keeps the recordings as they are (16 bits a sample), with the places, reference,
    filters and subject that the files state; channels marked bad are kept as missing. Bad files
    are left out and listed with the reason in STORE/skipped.csv. Stopped, the same command goes
    on where it was.
    """

    src: Annotated[Positional[tuple[str, ...]], option("SRC...")]
    """Files, folders (also BIDS) or patterns of EDF, BDF, FIF, BrainVision or EEGLAB. Or the name
    of a public database (eegmmidb, ssvep-exoskeleton, tuh-eeg) and its folder."""
    out: Annotated[str | None, option("STORE", short="-o")] = None
    """Folder for the store."""
    units: Annotated[Literal["file", "arbitrary"], option("UNIT")] = "file"
    """arbitrary: the numbers are not in the unit that the files say."""
    on_unknown: Annotated[Literal["error", "drop"], option("WHAT")] = "error"
    """A channel without a known place: error (default) leaves the file out, drop leaves the
    channel out."""
    rate: Annotated[float | None, option("HZ")] = None
    """Resample to this rate, for a smaller store (the models take 128 Hz); by default each
    recording keeps its own."""
    allow_truncated: Annotated[bool, option()] = False
    """Read what is there of an EDF or BDF file that was cut."""
    on_error: Annotated[Literal["skip", "raise"], option("WHAT")] = "skip"
    """A bad file: skip (list it, default) or raise (stop)."""
    max_bad_fraction: Annotated[float, option("SHARE")] = 0.05
    """A larger share of bad files is an error (from 20 files on)."""
    workers: Annotated[int, option("N")] = 0
    """Further processes that read; the store is the same."""


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "prepare eeg", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o STORE, a folder for the store")
    if not options.src:
        raise UsageError("expected SRC: files, folders or patterns of EEG")
    if options.rate is not None and not 1 <= options.rate <= 1e5:
        raise ConfigError(f"expected --rate of 1 to 100000 Hz, got {options.rate:g}")
    paths, subject, recipe = _found(options)
    say(f"{len(paths):,} files found")
    bar = tqdm(total=len(paths), unit="file", disable=not sys.stderr.isatty())

    def progress(done: int, total: int) -> None:
        bar.update(done - bar.n)

    with bar:
        report = prepare_eeg(
            paths,
            options.out,
            read=EEGFile(
                arbitrary=options.units == "arbitrary" or bool(recipe.get("arbitrary")),
                on_unknown=options.on_unknown,
                rate_hz=options.rate,
                allow_truncated=options.allow_truncated,
                subject=subject,
            ),
            workers=options.workers,
            on_error=options.on_error,
            max_bad_fraction=options.max_bad_fraction,
            progress=progress,
            recipe=recipe,
        )
    say(*_report(report))
    return OK


def _found(options: Options) -> tuple[list[Path], Subject | None, dict[str, Any]]:
    """Files, who is in them, and what the store notes of their source."""
    name = options.src[0]
    if name in EEG_LAYOUTS and len(options.src) == 2:
        if options.units != "file":
            raise UsageError(f"{name} states its unit: leave --units out")
        paths, subject = eeg_database_files(name, options.src[1])
        return paths, subject, {"database": {"name": name}, "arbitrary": is_arbitrary(name)}
    if name in EEG_LAYOUTS and not Path(name).exists():
        raise UsageError(f"expected the folder of {name}: biojepa prepare {name} FOLDER -o STORE")
    return find_eeg([Path(given) for given in options.src]), None, {}


def _report(report: EEGReport) -> list[str]:
    rows: list[tuple[str, str]] = []
    for part in report.stores:
        with SignalStore(part.path) as store:
            rates, subjects = np.unique(store.rates_hz), set(store.subject_ids) - {None}
            seconds = float((store.lengths / store.rates_hz).sum())
            n_bytes = sum(p.stat().st_size for p in part.path.rglob("*") if p.is_file())
            rows += [
                ("store", f"{part.path} ({size_text(n_bytes)})"),
                (
                    "recordings",
                    f"{len(store):,}, {seconds / 60:,.1f} minutes: {part.n_written:,} written now, "
                    f"{part.n_resumed:,} were there",
                ),
                ("subjects", f"{len(subjects):,} named" if subjects else "not named"),
                ("channels", f"{len(store.channels)}: {shorten(store.channels)}"),
                ("rate", ", ".join(f"{rate:g}" for rate in rates[:5]) + " Hz"),
                ("unit", store.unit),
            ]
    lines = table(rows)
    skipped = report.skipped
    if skipped.skips:
        lines.append(f"left out: {len(skipped):,} (see {report.path / 'skipped.csv'})")
        for reason, count in skipped.counts().items():
            first = next(skip for skip in skipped.skips if skip.reason == reason)
            lines.append(f"  {count:,} x {reason}, such as {first.path}: {first.message}")
    if skipped.noted:
        path, note = skipped.noted[0]
        n_noted = len({p for p, _ in skipped.noted})
        lines.append(f"noted of {n_noted:,} files, such as {path}: {note}")
    return [*lines, f"next: biojepa pretrain eeg {report.path} -o my_run"]
