"""GE MUSE XML: the rhythm waveform of a `RestingECG` document.

Each `LeadData` holds Base64 of little-endian integers, `LeadAmplitudeUnitsPerBit` and the unit.
MUSE stores I, II and V1-V6; the other limb leads follow from them. Median beats are not read, and
`LeadDataCRC32` is not compared, since GE publishes no definition of it.

References
----------
The element names are those of GE's `restecg.dtd`, as exported files show them.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from biojepa.data._xml import base64_bytes, number, text_of, texts_of
from biojepa.data.assemble import Decoded
from biojepa.errors import FormatError

ROOT = "RestingECG"
DOCTYPE = (ROOT, "restecg.dtd")  # a name in every export; the file is not part of it
_SEX = {"MALE": "male", "FEMALE": "female", "M": "male", "F": "female"}


def decode_muse(root: Element, *, record_id: str, where: str) -> Decoded:
    """Decode the rhythm of a document.

    Parameters
    ----------
    root : Element
    record_id : str
    where : str
        For the messages.

    Returns
    -------
    Decoded
        `labels` holds age (years), sex and the statements of the diagnosis; no name, no date.

    Raises
    ------
    FormatError
        If there is not one rhythm, or a lead is not what its counts say.
    """
    rhythms = [w for w in root.findall("Waveform") if _kind(w) == "rhythm"]
    if len(rhythms) != 1:
        kinds = ", ".join(_kind(w) or "unnamed" for w in root.findall("Waveform")) or "none"
        raise FormatError(f"{where}: expected one Rhythm waveform, got {kinds}")
    (rhythm,) = rhythms
    base = number(text_of(rhythm, "SampleBase"), what="SampleBase", where=where)
    power = number(text_of(rhythm, "SampleExponent") or "0", what="SampleExponent", where=where)
    if abs(power) > 6:
        raise FormatError(f"{where}: expected a SampleExponent of -6 to 6, got {power:g}")
    names: list[str] = []
    units: list[str | None] = []
    rows: list[NDArray[np.float64]] = []
    notes: list[str] = []
    for lead in rhythm.findall("LeadData"):
        names.append(text_of(lead, "LeadID"))
        units.append(text_of(lead, "LeadAmplitudeUnits"))
        rows.append(_samples(lead, names[-1], where))
        if text_of(lead, "LeadOff").upper() == "TRUE":
            notes.append(f"the device says that lead {names[-1]} was off")
    if len({len(row) for row in rows}) != 1:
        raise FormatError(
            f"{where}: expected leads of one length, got {', '.join(str(len(r)) for r in rows)}"
        )
    return Decoded(
        values=np.stack(rows),
        names=names,
        units=units,
        rate_hz=base * 10**power,
        record_id=record_id,
        subject_id=text_of(root, "PatientDemographics", "PatientID"),
        labels=_labels(root),
        notes=tuple(notes),
    )


def _samples(lead: Element, name: str, where: str) -> NDArray[np.float64]:
    """Values of a lead in its unit."""
    raw = base64_bytes(text_of(lead, "WaveFormData"), what=f"lead {name}", where=where)
    width = text_of(lead, "LeadSampleSize") or "2"
    if width not in ("2", "4"):
        raise FormatError(f"{where}: expected samples of 2 or 4 bytes in lead {name}, got {width}")
    size = int(width)
    for field, have in (
        ("LeadByteCountTotal", len(raw)),
        ("LeadSampleCountTotal", len(raw) // size),
    ):
        stated = text_of(lead, field)
        if stated and number(stated, what=f"{field} of {name}", where=where) != have:
            raise FormatError(
                f"{where}: expected {field} {stated} in lead {name}, got {have}; the file is cut"
            )
    if not raw or len(raw) % size:
        raise FormatError(f"{where}: lead {name} has {len(raw)} bytes of {size}-byte samples")
    gain = number(
        text_of(lead, "LeadAmplitudeUnitsPerBit"), what=f"the gain of lead {name}", where=where
    )
    if not gain:
        raise FormatError(f"{where}: expected a gain other than 0 for lead {name}")
    return np.frombuffer(raw, dtype=f"<i{size}") * gain


def _labels(root: Element) -> dict:
    labels: dict = {}
    age = text_of(root, "PatientDemographics", "PatientAge")
    if age.isdigit() and text_of(root, "PatientDemographics", "AgeUnits").upper() == "YEARS":
        labels["age"] = int(age)
    sex = _SEX.get(text_of(root, "PatientDemographics", "Gender").upper())
    if sex:
        labels["sex"] = sex
    diagnosis = root.find("Diagnosis")
    if diagnosis is not None and (said := list(texts_of(diagnosis, "StmtText"))):
        labels["statements"] = said
    return labels


def _kind(waveform: Element) -> str:
    return text_of(waveform, "WaveformType").lower()
