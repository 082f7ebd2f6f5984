"""What an EEG file says of itself besides its samples: who, against which reference, filtered how.

BIDS says it in the file's name and in a JSON file beside it, EDF in labels such as `EEG C3-LE`,
MNE in its info. What is not said is left out, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from biojepa.data.eeg_bids import beside
from biojepa.data.montage import reference_of_name

_BIDS_SUBJECT = re.compile(r"^sub-([A-Za-z0-9]+)_")
_UNKNOWN_IDS = ("", "X", "x")  # EDF+ writes X for what it does not say


def subject_of(raw: Any, path: Path) -> str | None:
    """Subject of a recording: of its BIDS name, else of its own header."""
    bids = _BIDS_SUBJECT.match(path.name)
    if bids:
        return bids[1]
    said = (raw.info.get("subject_info") or {}).get("his_id")
    return None if said is None or str(said) in _UNKNOWN_IDS else str(said)


def facts_of(raw: Any, path: Path) -> dict[str, Any]:
    """What is known of a recording, for its labels.

    Parameters
    ----------
    raw : mne.io.Raw
    path : Path

    Returns
    -------
    dict
        Of `reference`, `highpass_hz`, `lowpass_hz`, `line_hz` and `bad_channels` those that are
        known.
    """
    info = raw.info
    found = {
        "reference": _reference(raw.ch_names, bool(info["custom_ref_applied"]), path),
        "highpass_hz": info["highpass"] or None,
        "lowpass_hz": info["lowpass"] if info["lowpass"] < info["sfreq"] / 2 else None,
        "line_hz": info["line_freq"],
        "bad_channels": list(info["bads"]) or None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _reference(names: Sequence[str], custom: bool, path: Path) -> str | None:
    """The reference that a BIDS file states, that all labels end in, or that MNE knows of."""
    stated = beside(path, path.name.partition(".")[0] + ".json").get("EEGReference")
    if path.name.startswith("sub-") and isinstance(stated, str):
        return stated[:200]
    ends = {reference_of_name(name) for name in names}
    if len(ends) == 1 and (end := ends.pop()):
        return end
    return "set in MNE" if custom else None
