"""From EEG files to stores: one for each montage, since a store holds one layout.

Channels get the names of the 10-05 system, and the store keeps where they are. Those that are
marked bad are kept as missing, so that recordings of one cap stay together. Samples stay as they
were recorded, in millivolt (or as they are, in arbitrary units); a rate may be asked for.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data._store_layout import MANIFEST, read_manifest
from biojepa.data.conditioning import resampled
from biojepa.data.eeg_facts import facts_of, subject_of
from biojepa.data.eeg_layouts import Layouts, Places
from biojepa.data.eeg_reader import read_eeg
from biojepa.data.eeg_records import recordings_of
from biojepa.data.eeg_scale import check_eeg_scale
from biojepa.data.montage import OnUnknown, Placed, finite_place, in_head_frame, place_channels
from biojepa.data.prepare import PrepareReport, prepare_store
from biojepa.data.recording import Recording
from biojepa.data.skips import SkipReport
from biojepa.errors import BiojepaError, DataError, LeadError, RunError

Subject = Callable[[str], str | None]
SHARD_RECORDS = 200  # ours: recordings last minutes to hours, some ten MB each


@dataclass(frozen=True)
class EEGFile:
    """Reads a file as the recording that a store keeps; light, for worker processes.

    Parameters
    ----------
    arbitrary : bool
        The file's numbers are not volts, whatever it says.
    on_unknown : {"error", "drop"}
        When a channel has no place: refuse the file, or leave the channel out and note it.
    rate_hz : float or None
        Resample to it.
    allow_truncated : bool
        Read what is there of an EDF or BDF file that was cut.
    subject : callable, optional
        Path to subject, for databases that say it by their file names.
    names : mapping
        Ids of records by path.
    """

    arbitrary: bool = False
    on_unknown: OnUnknown = "error"
    rate_hz: float | None = None
    allow_truncated: bool = False
    subject: Subject | None = None
    names: Mapping[str, str] | None = None

    def montage(self, path: str) -> tuple[tuple[str, ...], Places]:
        """Canonical names of a file's channels and their places, metres in MNE's head frame.

        Only the header is read.
        """
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again with the samples
            raw = read_eeg(path, allow_truncated=self.allow_truncated, preload=False)
        names, places = _channels(raw)
        placed = self._place(path, names, places)
        return placed.names, _head_places(placed, names, places)

    def __call__(self, path: str) -> Recording:
        """The recording: channels with a place, those marked bad as missing."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            raw = read_eeg(path, allow_truncated=self.allow_truncated)
        notes = [str(w.message).removeprefix(f"{path}: ") for w in caught]
        bad = set(raw.info["bads"])
        (recording,), places = recordings_of(raw, arbitrary=self.arbitrary, source=path)
        placed = self._place(path, recording.channels, places)
        if placed.dropped:
            notes.append(f"channels without a known place: {', '.join(placed.dropped)}")
        values = recording.values[list(placed.index)]
        lost = np.array([recording.channels[i] in bad for i in placed.index])
        if lost.any():
            notes.append(f"channels marked bad: {', '.join(np.array(placed.names)[lost])}")
        if not self.arbitrary:
            check_eeg_scale([values[~lost] * 1e3], where=path, strict=True)
        rate = recording.rate_hz
        if self.rate_hz is not None and self.rate_hz != rate:
            there = np.where(lost[:, None], 0.0, values.astype(np.float64))
            values = resampled(there, rate, self.rate_hz, "poly").astype(np.float32)
            values[lost], rate = np.nan, self.rate_hz
        given = None if self.subject is None else self.subject(path)
        return Recording(
            values,
            placed.names,
            rate,
            unit=recording.unit,
            record_id=(self.names or {}).get(path) or recording.record_id,
            subject_id=given or subject_of(raw, Path(path)),
            labels=facts_of(raw, Path(path)),
            source=path,
            notes=tuple(notes),
        )

    def _place(self, path: str, names: Sequence[str], places: Places) -> Placed:
        try:
            return place_channels(names, supplied=places, on_unknown=self.on_unknown)
        except LeadError as error:
            raise LeadError(f"{path}: {error}") from error


@dataclass(frozen=True)
class EEGReport:
    """What `prepare_eeg` did.

    Parameters
    ----------
    path : Path
        Folder of the store, or of one store for each montage.
    stores : tuple of PrepareReport
    skipped : SkipReport
        Of all files.
    """

    path: Path
    stores: tuple[PrepareReport, ...]
    skipped: SkipReport


def prepare_eeg(
    paths: Sequence[str | PathLike[str]],
    out: str | PathLike[str],
    *,
    read: EEGFile | None = None,
    workers: int = 0,
    on_error: str = "skip",
    max_bad_fraction: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> EEGReport:
    """Write EEG files into a store, or into one store for each montage below `out`.

    The headers are looked at first, to find the montages. Called again it goes on where it was.

    Parameters
    ----------
    paths : sequence of path-like
        See `biojepa.data.eeg_reader.find_eeg`.
    out : path-like
    read : EEGFile, optional
        How files are read.
    workers, on_error, max_bad_fraction, progress
        See `prepare_store`.
    recipe : mapping, optional
        What else the stores are to note.

    Returns
    -------
    EEGReport

    Raises
    ------
    DataError, RunError, ConfigError
        As `prepare_store`; also if `out` is a store of one montage and there are several now.
    """
    files = [str(path) for path in paths]
    reader = replace(read or EEGFile(), names=record_names(files))
    folder = Path(out)
    layouts, groups, bad = Layouts(), list[list[str]](), SkipReport()
    for path in files:
        try:
            names, places = reader.montage(path)
        except (BiojepaError, OSError) as error:
            if on_error == "raise":
                raise
            bad.add(path, error)
            continue
        k = layouts.number(names, places)
        groups += [[] for _ in range(k + 1 - len(groups))]
        groups[k].append(path)
    bad.n_files = len(bad)
    if not groups:
        bad.check(max_bad_fraction)
    single = (folder / MANIFEST).is_file()
    if single and len(groups) > 1:
        raise RunError(
            f"{folder} is a store of one montage, and the files have {len(groups)}: choose another "
            "folder, which then holds a store for each"
        )
    alone = len(groups) == 1 and (single or not any(folder.glob(f"*/{MANIFEST}")))
    n_before, reports = 0, list[PrepareReport]()
    for k, (names, group) in enumerate(zip(layouts.names, groups, strict=True)):
        part = folder if alone else folder / _part_name(names, layouts.names[:k])
        channels, places = _kept(part, names, layouts.places[k])
        try:
            report = prepare_store(
                group,
                part,
                read=reader,
                arrange=partial(_arranged, channels=channels),
                channels=channels,
                workers=workers,
                on_error=on_error,
                max_bad_fraction=max_bad_fraction if len(groups) == 1 else 1.0,
                progress=None if progress is None else partial(_later, progress, n_before, files),
                unit="arbitrary" if reader.arbitrary else "mV",
                shard_records=SHARD_RECORDS,
                recipe={
                    "modality": "eeg",
                    "rate_hz": reader.rate_hz,
                    "on_unknown": reader.on_unknown,
                    **(recipe or {}),
                    "positions_head_m": places,
                },
            )
        except DataError as error:
            if on_error == "raise" or len(groups) == 1:
                raise
            bad.n_files += len(group)  # a whole montage of bad files
            for path in group:
                bad.add(path, error)
        else:
            reports.append(report)
        n_before += len(group)
    skipped = _joined([bad, *(report.skipped for report in reports)])
    skipped.to_csv(folder / "skipped.csv")
    skipped.check(max_bad_fraction)
    return EEGReport(folder, tuple(reports), skipped)


def record_names(paths: Sequence[str]) -> dict[str, str]:
    """Names of recordings by path: the stem, with as many folders as tell them apart.

    `a/rest.edf` and `b/rest.edf` are `a/rest` and `b/rest`.
    """
    names: dict[str, str] = {}
    left = {path: Path(path) for path in dict.fromkeys(paths)}
    for depth in range(1, 1 + max((len(p.parts) for p in left.values()), default=0)):
        tails = {path: "/".join((*p.parts[-depth:-1], p.stem)) for path, p in left.items()}
        counts = Counter(tails.values())
        for path, tail in tails.items():
            if counts[tail] == 1:
                names[path] = tail
                del left[path]
    return names | {path: path for path in left}


def _channels(raw: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Names and places of the EEG channels of a Raw, bad ones included."""
    kinds = raw.get_channel_types()
    names = tuple(n for n, kind in zip(raw.ch_names, kinds, strict=True) if kind == "eeg")
    places = {ch["ch_name"]: ch["loc"][:3] for ch in raw.info["chs"]}
    return names, {name: places[name] for name in names}


def _head_places(placed: Placed, names: Sequence[str], places: Places) -> Places:
    """Places in the head frame by canonical name: those that were given, or of the 10-05 system."""
    found = {}
    for name, i, position in zip(placed.names, placed.index, placed.positions, strict=True):
        given = finite_place(places.get(names[i], ()))
        found[name] = in_head_frame(position) if given is None else tuple(map(float, given))
    return found


def _kept(
    part: Path, names: tuple[str, ...], places: Places
) -> tuple[tuple[str, ...], dict[str, list[float]]]:
    """Channels and places of a store: those that it has already, when it is gone on with."""
    if (part / MANIFEST).is_file():
        manifest = read_manifest(part)
        if sorted(manifest.channels) == sorted(names):
            return manifest.channels, manifest.recipe.get("positions_head_m") or {}
    return names, {name: [round(x, 6) for x in places[name]] for name in names if name in places}


def _arranged(recording: Recording, *, channels: tuple[str, ...]) -> Recording:
    """The recording in the store's order of channels."""
    at = {name: i for i, name in enumerate(recording.channels)}
    order = [at[name] for name in channels]
    return replace(recording, values=recording.values[order], channels=channels)


def _part_name(names: Sequence[str], before: Sequence[Sequence[str]]) -> str:
    """Folder of a montage: number of channels, a hash of their names, a number for other places."""
    mark = hashlib.sha256("\n".join(sorted(names)).encode()).hexdigest()[:6]
    twins = sum(sorted(own) == sorted(names) for own in before)
    return f"{len(names)}ch-{mark}" + (f"-{twins + 1}" if twins else "")


def _later(
    progress: Callable[[int, int], None], before: int, files: Sequence[str], done: int, _: int
) -> None:
    progress(before + done, len(files))


def _joined(reports: Sequence[SkipReport]) -> SkipReport:
    whole = SkipReport()
    for report in reports:
        whole.n_files += report.n_files
        whole.skips += report.skips
        whole.noted += report.noted
        whole.unselected += report.unselected
    return whole
