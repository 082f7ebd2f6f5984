"""What a file holds and whether it looks right, for a person who has to decide what to do."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biojepa.data._paths import shown
from biojepa.data.files import read_ecg
from biojepa.data.formats import format_of
from biojepa.data.leads import STANDARD_12, arrange_leads
from biojepa.data.units import peak_to_peak
from biojepa.errors import BiojepaError, PlausibilityWarning

SATURATED_SAMPLES = 5  # ours: so many equal extreme samples in a row are a clipped signal


def describe_file(
    path: str | Path,
    *,
    leads: Sequence[str] | None = None,
    rate_hz: float | None = None,
    unit: str | None = None,
) -> dict[str, Any]:
    """Describe a file without refusing it.

    Parameters
    ----------
    path : path
    leads, rate_hz, unit
        See `biojepa.data.files.read_ecg`.

    Returns
    -------
    dict
        JSON-able. Always `path`, `readable` and `problem` (a sentence, empty if none). If readable,
        also `format`, `n_records`, and of the first record `record_id`, `leads`, `rate_hz`, `unit`,
        `n_times`, `duration_s`, per lead `nan_fraction`, `saturated_fraction` (samples that
        sit on the extreme value in runs) and `peak_to_peak` (in `unit`), `flat_leads`, `scale`
        ("plausible" or the sentence that says why not), of the 12 standard leads those that are
        computed from others (`derived_leads`) and that cannot be had (`missing_leads`),
        `other_channels`, `labels`, `notes`, `warnings`.
    """
    result: dict[str, Any] = {"path": shown(path), "readable": False, "problem": ""}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            recordings = read_ecg(
                path, leads=leads, rate_hz=rate_hz, unit=unit, verify="warn", scale_check=False
            )
        except BiojepaError as error:
            result["problem"] = str(error)
            return result
    scale = _scale_problem(path, leads, rate_hz, unit)
    first = recordings[0]
    values = first.values
    height = peak_to_peak(values)
    constant = np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=-1) == np.nanmin(
        np.where(np.isnan(values), np.inf, values), axis=-1
    )
    judged = "not judged" if first.unit in ("adc", "arbitrary") else "plausible"
    kind = format_of(path)
    derived, missing = _standard_leads(first.channels)
    result.update(
        readable=True,
        format=kind.name if kind else "",
        problem=scale,
        n_records=len(recordings),
        record_id=first.record_id,
        leads=list(first.channels),
        rate_hz=first.rate_hz,
        unit=first.unit,
        n_times=first.n_times,
        duration_s=first.duration_s,
        nan_fraction=_by_lead(first.channels, np.isnan(values).mean(axis=-1)),
        flat_leads=[c for c, flat in zip(first.channels, constant, strict=True) if flat],
        saturated_fraction=_by_lead(first.channels, np.array([_saturated(v) for v in values])),
        peak_to_peak=_by_lead(first.channels, height),
        scale=scale or judged,
        derived_leads=derived,
        missing_leads=missing,
        other_channels=[c for c in first.channels if c not in STANDARD_12],
        labels=first.labels,
        notes=list(first.notes),
        warnings=[str(w.message) for w in caught if issubclass(w.category, PlausibilityWarning)],
    )
    return result


def _scale_problem(
    path: str | Path, leads: Sequence[str] | None, rate_hz: float | None, unit: str | None
) -> str:
    """What the readers hold against the scale of a file that they can read otherwise."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read_ecg(path, leads=leads, rate_hz=rate_hz, unit=unit, verify=False)
        except BiojepaError as error:
            return str(error)
    return ""


def _standard_leads(channels: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of the 12 standard leads: computed from others, and not to be had; none if names are odd."""
    if not set(channels) & set(STANDARD_12):
        return [], []
    probe = np.zeros((len(channels), 1), np.float32)
    _, present = arrange_leads(probe, channels, STANDARD_12, on_missing="drop")
    there = [lead for lead, found in zip(STANDARD_12, present, strict=True) if found]
    derived = [lead for lead in there if lead not in channels]
    return derived, [lead for lead in STANDARD_12 if lead not in there]


def _by_lead(channels: Sequence[str], numbers: np.ndarray) -> dict[str, float | None]:
    return {
        channel: float(number) if np.isfinite(number) else None
        for channel, number in zip(channels, numbers, strict=True)
    }


def _saturated(lead: np.ndarray) -> float:
    """Fraction of samples in runs of the lead's largest or smallest value; 0 for a flat lead."""
    finite = lead[np.isfinite(lead)]
    if finite.size == 0 or finite.max() == finite.min():
        return 0.0
    extreme = (lead == finite.max()) | (lead == finite.min())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], extreme, [False]]).astype(np.int8)))
    lengths = edges[1::2] - edges[::2]
    return float(lengths[lengths >= SATURATED_SAMPLES].sum() / lead.size)
