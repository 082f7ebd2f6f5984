"""What BIDS says of a run: subject and task in its name, trials and blocks in `_events.tsv`.

The events lie beside the raw image, not beside fMRIPrep's: they are looked for beside the image,
and in the BIDS folder that is named, there also in files that hold for several runs (inheritance).

References
----------
Gorgolewski et al. 2016, The brain imaging data structure, Scientific Data 3:160044.
"""

from __future__ import annotations

import csv
import math
import re
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from biojepa.data._paths import file_size, read_bytes, shown
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError

MAX_BYTES = 64 << 20
_ENTITY = re.compile(r"([a-zA-Z]+)-([a-zA-Z0-9+]+)")
_OF_IMAGES = ("space", "res", "den", "desc", "hemi", "label")  # entities that events do not have
_MISSING = ("", "n/a", "nan")


@dataclass(frozen=True)
class Event:
    """One trial or block.

    Parameters
    ----------
    onset : float
        Seconds from the first frame of the image.
    duration : float or None
        Seconds; None if the file does not say.
    trial_type : str
    """

    onset: float
    duration: float | None
    trial_type: str


def entities(path: str | PathLike) -> dict[str, str]:
    """Entities of a BIDS name, such as `{"sub": "01", "task": "faces"}`; empty if it is none."""
    found = dict(_ENTITY.findall(Path(path).name.split(".")[0]))
    return found if "sub" in found else {}


def find_events(image: str | PathLike, *, root: str | PathLike | None = None) -> Path | None:
    """The events file of an image, raw or of fMRIPrep; None if there is none.

    Parameters
    ----------
    image : path
    root : path, optional
        BIDS folder of the raw data. Of the files whose entities are all of the image's the one with
        the most is taken, as BIDS inherits.
    """
    path = Path(image)
    own = {k: v for k, v in entities(path).items() if k not in _OF_IMAGES}
    if not own:
        return None
    folders = [path.parent]
    if root is not None:
        base = Path(root)
        person = base / f"sub-{own['sub']}"
        sessions = [person / f"ses-{own['ses']}"] if "ses" in own else []
        folders += [f / "func" for f in (*sessions, person)] + [*sessions, person, base]
    best: tuple[int, Path] | None = None
    for folder in folders:
        for file in sorted(folder.glob("*_events.tsv")):
            said = dict(_ENTITY.findall(file.name))
            shared = "task" in said and said.items() <= own.items()
            if shared and (best is None or len(said) > best[0]):
                best = len(said), file
    return None if best is None else best[1]


def read_events(path: str | PathLike) -> tuple[Event, ...]:
    """Read an `_events.tsv`.

    Returns
    -------
    tuple of Event
        By onset. Rows without a trial type are left out.

    Raises
    ------
    FormatError
        If it is no table of tab-separated text, or an onset or duration is no number; with the row.
    DataError
        If a column is missing, or no row names a trial type.
    """
    where, size = shown(path), file_size(path)
    if size > MAX_BYTES:
        raise FormatError(f"{where}: {size} bytes are too many for a table of events")
    try:
        text = read_bytes(path, size).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FormatError(f"{where}: expected text, got other bytes ({error.reason})") from None
    rows = list(csv.reader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))
    names = [name.strip() for name in rows[0]] if rows else []
    missing = [name for name in ("onset", "duration", "trial_type") if name not in names]
    if missing:
        raise DataError(
            f"{where}: expected the columns onset, duration and trial_type, separated by tabs, got "
            f"{', '.join(names)[:200] or 'none'}: {', '.join(missing)} missing"
        )
    events = []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != len(names):
            raise FormatError(f"{where}, row {number}: expected {len(names)} cells, got {len(row)}")
        cells = dict(zip(names, (cell.strip() for cell in row), strict=True))
        onset = _seconds(cells["onset"], f"{where}, row {number}: onset")
        duration = _seconds(cells["duration"], f"{where}, row {number}: duration")
        if onset is None or (duration is not None and duration < 0):
            raise FormatError(
                f"{where}, row {number}: expected an onset and no duration below 0, got "
                f"{cells['onset']!r} and {cells['duration']!r}"
            )
        if cells["trial_type"].lower() not in _MISSING:
            events.append(Event(onset, duration, cells["trial_type"]))
    if not events:
        raise DataError(f"{where}: expected events with a trial_type, got none")
    return tuple(sorted(events, key=lambda event: event.onset))


def with_bids(
    run: Recording, image: str | PathLike, *, events: str | PathLike | bool = False
) -> Recording:
    """A run with what BIDS says of it: `subject_id`, and labels `task`, `session` and `events`.

    Parameters
    ----------
    run : Recording
        Of `image`.
    image : path
    events : path or bool
        BIDS folder of the raw data; True looks beside the image alone; False leaves events out.

    Raises
    ------
    DataError
        If events are asked for and the image has none, or none within the run.
    FormatError
        If they are damaged.
    """
    own = entities(image)
    subject = f"sub-{own['sub']}" if own else run.subject_id
    labels: dict[str, Any] = {
        name: own[key] for key, name in (("task", "task"), ("ses", "session")) if key in own
    }
    if events is not False:
        root = None if events is True else events
        path = find_events(image, root=root)
        if path is None:
            raise DataError(
                f"{shown(image)}: expected an _events.tsv of this task beside it"
                + ("" if root is None else f" or in {shown(root)}")
                + ", found none: name the BIDS folder of the raw data, or leave events out"
            )
        found = read_events(path)
        length_s = _frames_of(run) / run.rate_hz
        if not any(0 <= event.onset < length_s for event in found):
            raise DataError(
                f"{shown(path)}: expected events within the {length_s:g} s of {shown(image)}, got "
                f"{found[0].onset:g} to {found[-1].onset:g} s: are onsets in seconds?"
            )
        labels["events"] = [asdict(event) for event in found]
    return replace(run, subject_id=subject, labels=run.labels | labels)


def _frames_of(run: Recording) -> int:
    """Frames of the image, also of those that were left out."""
    return int(run.labels.get("n_frames", run.n_times))


def _seconds(text: str, where: str) -> float | None:
    if text.lower() in _MISSING:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise FormatError(f"{where}: expected seconds, got {text[:40]!r}")
    return value
