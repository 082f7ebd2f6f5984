"""HL7 annotated ECG (aECG): the rhythm waveforms of an `AnnotatedECG` document.

A series holds sequence sets; a set holds one sequence of time (`GLIST_TS`: head and increment) and
one per lead (`SLIST_PQ`: origin, scale, digits). A value is origin + scale x digit. Derived series
(representative beats) and annotations are not read.

References
----------
HL7 aECG Implementation Guide, Final, 21 March 2005.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from biojepa.data._xml import integers, number, text_of
from biojepa.data.assemble import Decoded
from biojepa.errors import FormatError

ROOT = "AnnotatedECG"
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
_LEAD = "MDC_ECG_LEAD_"
_SEX = {"M": "male", "F": "female"}


def decode_aecg(root: Element, *, record_id: str, where: str) -> Iterator[Decoded]:
    """Decode every rhythm sequence set of a document.

    Parameters
    ----------
    root : Element
    record_id : str
        Of the file; several sets get `[i]` after it.
    where : str
        For the messages.

    Yields
    ------
    Decoded

    Raises
    ------
    FormatError
        If there is none, or a sequence is not what the guide says.
    """
    sets = [
        found
        for series in root.findall("component/series")
        if "REPRESENTATIVE" not in _code(series)
        for found in series.findall("component/sequenceSet")
    ]
    if not sets:
        raise FormatError(
            f"{where}: expected a series with a sequenceSet in the aECG document, got none; a "
            "document of annotations or of representative beats alone holds no recording"
        )
    subject = root.find(".//trialSubject")
    subject_id = None
    labels: dict = {}
    if subject is not None:
        identity = subject.find("id")
        subject_id = None if identity is None else identity.get("extension")
        gender = subject.find(".//administrativeGenderCode")
        sex = _SEX.get("" if gender is None else gender.get("code", "").upper())
        labels = {"sex": sex} if sex else {}
    for i, one in enumerate(sets):
        at = where if len(sets) == 1 else f"{where}[{i}]"
        name = record_id if len(sets) == 1 else f"{record_id}[{i}]"
        yield _sequence_set(one, name, subject_id, labels, at)


def _sequence_set(
    element: Element, record_id: str, subject_id: str | None, labels: dict, where: str
) -> Decoded:
    rate_hz: float | None = None
    names: list[str] = []
    units: list[str | None] = []
    rows: list[NDArray[np.float64]] = []
    notes: list[str] = []
    for sequence in element.findall("component/sequence"):
        code, value = _code(sequence), sequence.find("value")
        if value is None:
            raise FormatError(f"{where}: sequence {code or 'without code'} has no value")
        kind = value.get("type", "").rpartition(":")[2]
        if code.startswith("TIME_"):
            rate_hz = _rate(value, kind, where)
        elif kind in ("SLIST_PQ", "SLIST_INT"):
            row, unit = _samples(value, code, where)
            names.append(code.removeprefix(_LEAD))
            rows.append(row)
            units.append(unit)
        else:
            notes.append(f"left out sequence {code}: its values are of type {kind or 'unknown'}")
    if rate_hz is None or not rows:
        raise FormatError(
            f"{where}: expected a sequence of time and of leads in the sequenceSet, got "
            f"{', '.join(names) or 'no lead'} and {'no' if rate_hz is None else 'a'} time"
        )
    lengths = {name: len(row) for name, row in zip(names, rows, strict=True)}
    if len(set(lengths.values())) > 1 or 0 in lengths.values():
        raise FormatError(
            f"{where}: expected as many digits in every lead, got "
            f"{', '.join(f'{n} in {name}' for name, n in lengths.items())}"
        )
    return Decoded(
        values=np.stack(rows),
        names=names,
        units=units,
        rate_hz=rate_hz,
        record_id=record_id,
        subject_id=subject_id,
        labels=dict(labels),
        notes=tuple(notes),
    )


def _rate(value: Element, kind: str, where: str) -> float:
    increment = value.find("increment")
    unit = "" if increment is None else increment.get("unit", "")
    if kind != "GLIST_TS" and kind != "GLIST_PQ" or increment is None or unit not in _SECONDS:
        raise FormatError(
            f"{where}: expected a time of type GLIST_TS with an increment in s, ms or us, got "
            f"{kind or 'no type'} and the unit {unit!r}"
        )
    step = number(increment.get("value", ""), what="the increment of time", where=where)
    step *= _SECONDS[unit]
    if step <= 0:
        raise FormatError(f"{where}: expected an increment of time above 0, got {step:g} s")
    rate = 1 / step
    return float(round(rate)) if abs(rate - round(rate)) < 1e-6 * rate else rate


def _samples(value: Element, code: str, where: str) -> tuple[NDArray[np.float64], str | None]:
    """Values of a lead and their unit: that of the scale."""
    digits = integers(text_of(value, "digits"), what=f"the digits of {code}", where=where)
    scale, scale_unit = _quantity(value, "scale", code, where)
    origin, origin_unit = _quantity(value, "origin", code, where)
    if origin and origin_unit != scale_unit:
        raise FormatError(
            f"{where}: expected one unit for origin and scale of {code}, got {origin_unit!r} and "
            f"{scale_unit!r}"
        )
    if not scale:
        raise FormatError(f"{where}: expected a scale other than 0 for {code}")
    return np.asarray(origin + scale * digits, dtype=np.float64), scale_unit


def _quantity(value: Element, name: str, code: str, where: str) -> tuple[float, str | None]:
    found = value.find(name)
    if found is None:
        raise FormatError(f"{where}: {code} has no {name}; the size of a digit is not known")
    size = number(found.get("value", ""), what=f"the {name} of {code}", where=where)
    return size, found.get("unit")


def _code(element: Element) -> str:
    code = element.find("code")
    return "" if code is None else code.get("code", "")
