"""The public EEG databases whose files are read as they are downloaded: one table.

Lee2019, BNCI2014-001 and Brain Invaders are MATLAB files of trials, which MOABB reads.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from biojepa.data._paths import shown
from biojepa.data.cards import load_card
from biojepa.errors import ConfigError, DataError


@dataclass(frozen=True)
class EEGLayout:
    """One database on disk.

    Parameters
    ----------
    names : str
        Pattern of its files' names.
    example : str
        Such a name.
    subject : str
        Pattern that finds the subject in a path below the database's folder, in its first group.
    """

    names: str
    example: str
    subject: str


EEG_LAYOUTS: Mapping[str, EEGLayout] = MappingProxyType(
    {
        "eegmmidb": EEGLayout(r"S\d{3}R\d{2}\.edf", "S001R01.edf", r"(S\d{3})R\d{2}\.edf$"),
        "ssvep-exoskeleton": EEGLayout(
            r"record-.*_raw\.fif", "subject01/record-[...]_raw.fif", r"(subject\d+)/"
        ),
        "tuh-eeg": EEGLayout(
            r"[a-z]{8}_s\d{3}_t\d{3}\.edf",
            "aaaaaaaa_s001_t000.edf",
            r"([a-z]{8})_s\d{3}_t\d{3}\.edf$",
        ),
    }
)


@dataclass(frozen=True)
class SubjectOf:
    """Path to subject, by the pattern of a database; light, for worker processes."""

    pattern: str

    def __call__(self, path: str) -> str | None:
        """The subject, None if the path does not say."""
        found = re.search(self.pattern, path.replace(os.sep, "/"))
        return None if found is None else found[1]


def eeg_database_files(name: str, root: str | os.PathLike[str]) -> tuple[list[Path], SubjectOf]:
    """Find the recordings of a database.

    Parameters
    ----------
    name : str
        Of its card.
    root : path-like
        Folder that holds it as it was downloaded, or a folder above.

    Raises
    ------
    ConfigError
        If there is no layout of that name.
    DataError
        If the folder does not hold the database.
    """
    if name not in EEG_LAYOUTS:
        raise ConfigError(f"no layout of an EEG database {name!r}: known: {', '.join(EEG_LAYOUTS)}")
    layout, folder = EEG_LAYOUTS[name], Path(os.path.abspath(root))
    if not folder.is_dir():
        raise DataError(f"expected the folder of {name}, got {shown(root)}: no such folder")
    wanted = re.compile(layout.names)
    found = sorted(p for p in folder.rglob("*") if wanted.fullmatch(p.name) and p.is_file())
    if not found:
        raise DataError(
            f"expected recordings of {name} such as {layout.example} in {shown(folder)}, got none"
        )
    return found, SubjectOf(layout.subject)


def is_arbitrary(name: str) -> bool:
    """Whether the numbers of a database are in no known unit."""
    return load_card(name).unit == "arbitrary"
