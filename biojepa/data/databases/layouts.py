"""How each of the ten databases of ECG-JEPA lies on disk: one table.

References
----------
Weimann & Conrad 2024, arXiv:2410.13867 (which records the published pretraining keeps).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from biojepa.data._paths import shown
from biojepa.data.databases import code15, ptbxl
from biojepa.data.databases.headers import (
    find_headers,
    find_listed,
    read_header_record,
    read_mimic_record,
    read_ptb_record,
)
from biojepa.data.path_list import PathList
from biojepa.data.prepare import Read, Select
from biojepa.data.recording import Recording
from biojepa.errors import ConfigError, DataError

PUBLISHED_S = 10.0


@dataclass(frozen=True)
class Layout:
    """One database on disk.

    Parameters
    ----------
    find : callable
        (root) to the paths of its records, in order.
    read : callable
        (path, root=) to a recording, or several.
    published : callable or None
        Why the published pretraining leaves a recording out; None if it keeps all.
    low_rate_hz : float or None
        A rate at which `find` (with `rate_hz=`) knows files of their own.
    """

    find: Callable[..., PathList]
    read: Callable[..., Any]
    published: Select | None = None
    low_rate_hz: float | None = None


@dataclass(frozen=True)
class DatabaseFiles:
    """What `prepare_store` needs of a database.

    Parameters
    ----------
    paths : PathList
    read : callable
        Path to a recording, or several; may be sent to another process.
    select : callable or None
    """

    paths: PathList
    read: Read
    select: Select | None


def too_short(recording: Recording) -> str:
    """Why the published pretraining leaves a recording out: it is shorter than its window."""
    return "" if recording.duration_s >= PUBLISHED_S else f"shorter than {PUBLISHED_S:g} s"


def _cinc(folder: str, names: str, example: str, *, whole: bool = True) -> Layout:
    find = partial(find_headers, folder=folder, names=names, example=example)
    return Layout(find, read_header_record, None if whole else too_short)


LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "mimic-iv-ecg": Layout(find_listed, read_mimic_record),
        "code-15": Layout(code15.find_stretches, code15.read_stretch, code15.is_padded),
        "ptb-xl": Layout(
            ptbxl.find_records_of_table,
            ptbxl.read_record_of_table,
            ptbxl.outside_training_folds,
            low_rate_hz=100,
        ),
        "chapman-shaoxing": _cinc("chapman_shaoxing", r"JS\d{5}", "JS00001"),
        "ningbo": _cinc("ningbo", r"JS\d{5}", "JS20000"),
        "georgia": _cinc("georgia", r"E\d{5}", "E00001", whole=False),
        "cpsc": _cinc("cpsc_2018", r"A\d{4}", "A0001", whole=False),
        "cpsc-extra": _cinc("cpsc_2018_extra", r"Q\d{4}", "Q0001", whole=False),
        "ptb": Layout(
            partial(
                find_headers, folder="ptb", names=r"S\d{4}|s\d{4}\w{0,8}", example="s0010_re, S0001"
            ),
            read_ptb_record,
        ),
        "st-petersburg": _cinc("st_petersburg_incart", r"I\d{2,4}", "I0001"),
    }
)


def database_files(
    name: str, root: str | os.PathLike[str], *, rate_hz: float | None, published: bool
) -> DatabaseFiles:
    """Find the records of a database.

    Parameters
    ----------
    name : str
        Of its card.
    root : path-like
        Folder that holds it as it was downloaded.
    rate_hz : float or None
        Rate that is wanted in the end, hertz; PTB-XL has files of 100 Hz of its own.
    published : bool
        Only those records that the published pretraining of ECG-JEPA keeps.

    Raises
    ------
    ConfigError
        If there is no layout of that name.
    DataError
        If the folder does not hold the database.
    """
    if name not in LAYOUTS:
        raise ConfigError(f"no layout of a database {name!r}: known are {', '.join(LAYOUTS)}")
    layout, folder = LAYOUTS[name], Path(os.path.abspath(root))
    if not folder.is_dir():
        raise DataError(f"expected the folder of {name}, got {shown(root)}: no such folder")
    paths = (
        layout.find(folder) if layout.low_rate_hz is None else layout.find(folder, rate_hz=rate_hz)
    )
    read = partial(layout.read, root=str(folder))
    return DatabaseFiles(paths, read, layout.published if published else None)
