"""`biojepa prepare fmri`: images or tables of region series into one store."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from tyro.conf import Positional, arg

from biojepa.cli.console import say, table
from biojepa.cli.errors import OK, UsageError
from biojepa.cli.fmri_sources import RunOptions
from biojepa.cli.parse import names, option, parse
from biojepa.data.prepare import prepare_store
from biojepa.data.recording import Recording
from biojepa.errors import DataError, FormatError, PlausibilityWarning
from biojepa.fmri.bids import with_bids
from biojepa.fmri.files import SUFFIXES, open_paths, stem
from biojepa.fmri.fmriprep import DEFAULT as STRATEGY
from biojepa.fmri.fmriprep import fmriprep_confounds
from biojepa.fmri.images import read_volume
from biojepa.fmri.preprocess import check_tr
from biojepa.fmri.surface import (
    PARCELS,
    SERIES,
    read_hemispheres,
    read_parcels,
    read_vertex_labels,
)
from biojepa.fmri.trials import DELAY_S, cut_events

IMAGES = (".nii", ".nii.gz")
MORE = """\
examples:
  biojepa prepare fmri deriv/*_bold.nii.gz --atlas atlas.nii.gz -o my_store
  biojepa prepare fmri deriv/ --atlas atlas.nii.gz --confounds fmriprep \\
      --events bids/ --trials -o my_trials
  biojepa prepare fmri my_series/ --tr 2 -o my_store
then: biojepa pretrain fmri my_store -o my_run"""


@dataclass(frozen=True)
class Options:
    """Turn fMRI images or region series into one store.

    The store holds raw region means with their repetition time. Regions that an image does not
    reach are kept as missing. Bad files are left out and listed in STORE/skipped.csv.
    """

    src: Annotated[Positional[tuple[str, ...]], option("SRC...")]
    """Files or folders: NIfTI (with --atlas), CIFTI .ptseries.nii, .dtseries.nii and GIFTI
    .func.gii (with --parcels), .npy, .mat, .csv, .tsv, .1D."""
    out: Annotated[str | None, option("STORE", short="-o")] = None
    """Folder for the store."""
    atlas: Annotated[str | None, option("LABELS.nii.gz")] = None
    """Label image of the atlas, for NIfTI."""
    labels: Annotated[str | None, option("FILE.csv")] = None
    """Value and name of each label, one a line."""
    parcels: Annotated[str | None, option("FILE")] = None
    """Parcel of each vertex (.dlabel.nii, .label.gii), for .dtseries.nii and .func.gii; LEFT,RIGHT
    joins the hemispheres of a run (hemi-L and hemi-R)."""
    mask: Annotated[str | None, option("MASK.nii.gz")] = None
    """Brain mask, for NIfTI."""
    confounds: Annotated[Literal["none", "fmriprep"], option("WHAT")] = "none"
    """fmriprep: regress motion and tissue signals out and leave moved frames out."""
    strategy: Annotated[str, option("A,B,...")] = ",".join(STRATEGY)
    """Of fmriprep: motion, high_pass, wm_csf, global_signal, compcor; scrub leaves frames out."""
    fd: Annotated[float, option("MM")] = 0.5
    """Of scrub: movement from frame to frame above which a frame is left out."""
    events: Annotated[str | None, option("BIDS")] = None
    """Folder of the raw data in BIDS: the trials and blocks of each run become its labels."""
    trials: Annotated[bool, option()] = False
    """One record a trial or block, labelled with its trial_type, in place of one a run."""
    delay: Annotated[float, option("SECONDS")] = DELAY_S
    """Of trials: from an event to its piece, as the response of blood is late."""
    window: Annotated[float | None, option("SECONDS")] = None
    """Of trials: length of every piece; by default the event's duration."""
    on_error: Annotated[Literal["skip", "raise"], option("WHAT")] = "skip"
    """A bad file: skip (list it, default) or raise (stop)."""
    workers: Annotated[int, option("N")] = 0
    """Further processes that read; the store is the same."""
    files: Annotated[RunOptions, arg(name="")] = RunOptions()


@dataclass(frozen=True)
class Reader:
    """Reads one file as a run, or as its trials; light, for worker processes."""

    options: Options
    labels: tuple[tuple[int, str], ...] | None

    def __call__(self, path: str) -> list[Recording]:
        """Runs (regions, frames): one, or one for each trial."""
        options = self.options
        if path.lower().endswith(SERIES):
            run = self._surface(path)
        elif path.lower().endswith(IMAGES) and not path.lower().endswith(PARCELS):
            run = self._image(path)
        else:
            run = self._table(path)
        run = with_bids(run, path, events=False if options.events is None else options.events)
        if not options.trials:
            return [run]
        return cut_events(run, delay_s=options.delay, window_s=options.window)

    def _image(self, path: str) -> Recording:
        options = self.options
        if options.atlas is None:
            raise DataError(f"{path}: a volume needs an atlas: pass --atlas LABELS.nii.gz")
        noise, frames = (None, None)
        if options.confounds == "fmriprep":
            strategy: Any = names(options.strategy, option="--strategy") or ()
            noise, frames = fmriprep_confounds(path, strategy=strategy, fd_threshold=options.fd)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlausibilityWarning)  # it is in the notes
            run = read_volume(
                path,
                options.atlas,
                names=None if self.labels is None else dict(self.labels),
                tr_s=options.files.tr,
                mask=options.mask,
                confounds=noise,
                sample_mask=frames,
            )
        return replace(run, record_id=stem(Path(path)))

    def _surface(self, path: str) -> Recording:
        if self.options.parcels is None:
            raise DataError(
                f"{path}: vertices need a parcellation: pass --parcels FILE (.dlabel.nii, "
                ".label.gii)"
            )
        files = names(self.options.parcels, option="--parcels") or []
        named = None if self.labels is None else dict(self.labels)
        own_tr: float | None = None
        regions: list[str] | None
        name = stem(Path(path))
        if len(files) == 2:
            name = name.replace("_hemi-L", "")
            pair = files[0], files[1]
            table, regions = read_hemispheres(Path(path), pair, names=named)
        else:
            vertices, own = read_vertex_labels(self.options.parcels)
            table, regions, own_tr = read_parcels(Path(path), labels=vertices, names=named or own)
        tr_s = self.options.files.tr or own_tr
        if tr_s is None:
            raise DataError(f"{path}: the file says no repetition time: pass --tr SECONDS")
        check_tr(tr_s)
        return Recording(
            np.ascontiguousarray(table.T),
            tuple(regions or ()),
            1.0 / tr_s,
            unit="arbitrary",
            record_id=name,
            source=path,
        )

    def _table(self, path: str) -> Recording:
        files = self.options.files
        if files.tr is None and not path.lower().endswith(PARCELS):
            raise DataError(f"{path}: the file says no repetition time: pass --tr SECONDS")
        run = open_paths(
            path,
            tr_s=files.tr or 1.0,
            regions=names(files.regions, option="--regions"),
            orientation=files.orientation,
        ).read(0)
        return run if run.channels else replace(run, channels=_numbered(len(run.values)))


def run(argv: Sequence[str]) -> int:
    """Run the command."""
    options = parse(Options, "prepare fmri", argv, more=MORE)
    if options.out is None:
        raise UsageError("expected -o STORE, a folder for the store")
    paths = [str(p) for given in options.src for p in _expanded(Path(given), options)]
    if not paths:
        raise UsageError("expected SRC: images, tables or folders of them")
    labels = None if options.labels is None else _read_labels(options.labels)
    if options.trials and options.events is None:
        raise UsageError("expected --events BIDS with --trials, the folder with _events.tsv files")
    read = Reader(options, labels)
    channels = _first(read, paths)
    say(f"{len(paths):,} files found, {len(channels)} regions")
    report = prepare_store(
        paths,
        options.out,
        read=read,
        arrange=partial(_of_these, channels=channels),
        channels=channels,
        workers=options.workers,
        on_error=options.on_error,
        unit="arbitrary",
        recipe=_recipe(options),
    )
    rows = [("store", str(options.out)), ("regions", str(len(channels)))]
    say(str(report), *table(rows), f"next: biojepa pretrain fmri {options.out} -o my_run")
    return OK


def _recipe(options: Options) -> dict[str, Any]:
    """What the store remembers of how it was made."""
    recipe: dict[str, Any] = {
        "modality": "fmri",
        "atlas": options.atlas,
        "confounds": options.confounds,
    }
    if options.parcels is not None:
        recipe["parcels"] = options.parcels
    if options.confounds != "none":
        recipe |= {"strategy": options.strategy, "fd_mm": options.fd}
    if options.trials:
        recipe |= {"trials": True, "delay_s": options.delay, "window_s": options.window}
    return recipe


def _first(read: Reader, paths: list[str]) -> tuple[str, ...]:
    """Regions of the store: those of the first file that can be read."""
    for i, path in enumerate(paths):
        try:
            return read(path)[0].channels
        except (DataError, FormatError):
            if i == len(paths) - 1:
                raise
    raise UsageError("expected SRC: images, tables or folders of them")


def _of_these(run: Recording, *, channels: tuple[str, ...]) -> Recording:
    """The run in the store's order of regions."""
    if run.channels == channels:
        return run
    if sorted(run.channels) != sorted(channels):
        raise DataError(
            f"expected the {len(channels)} regions of the first file, got {len(run.channels)} "
            "(others): prepare one store for each atlas"
        )
    order = [run.channels.index(name) for name in channels]
    return replace(run, values=run.values[order], channels=channels)


def _read_labels(path: str) -> tuple[tuple[int, str], ...]:
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
        pairs = [line.split(",")[:2] for line in lines if line.strip()]
        if pairs and not pairs[0][0].strip().isdigit():
            pairs = pairs[1:]  # a header row
        found = tuple((int(value), name.strip().strip('"')) for value, name in pairs)
    except (OSError, ValueError) as error:
        raise FormatError(f"{path}: expected value,name a line: {error}") from None
    if not found or len({name for _, name in found}) != len(found):
        raise FormatError(f"{path}: expected a name of its own for each label")
    return found


def _expanded(path: Path, options: Options) -> list[Path]:
    """The runs in a folder, by name; a file is returned as it is.

    With --parcels those of vertices; else of an fMRIPrep or BIDS folder the preprocessed or raw
    runs, else images, else tables: a table or mask beside images is no run.
    """
    if not path.is_dir():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    kinds: list[tuple[str, ...]] = [(*IMAGES,), SUFFIXES]
    if options.parcels is not None:
        kinds.insert(0, SERIES)
        if "," in options.parcels:  # of two hemispheres the left one stands for the run
            files = [p for p in files if "hemi-R" not in p.name]
    elif options.atlas is not None:
        kinds[:0] = [
            tuple(ending + i for i in IMAGES) for ending in ("_desc-preproc_bold", "_bold")
        ]
    for endings in kinds:
        found = [p for p in files if p.name.lower().endswith(endings)]
        if found:
            return found
    return []


def _numbered(n: int) -> tuple[str, ...]:
    return tuple(f"region-{i + 1}" for i in range(n))
