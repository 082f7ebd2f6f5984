"""Philips (Sierra) ECG XML 1.03 and 1.04: the `parsedwaveforms` of a `restingecgdata` document.

Samples are 16-bit counts of `resolution` microvolt, as Base64 or as text, lead after lead, plain or
XLI-compressed. In XLI files leads III, aVR, aVL and aVF are residuals: what is left of them after
Einthoven's and Goldberger's equations. Representative beats are not read.

References
----------
The format as documented by the Sierra ECG Tools project (C. Watford),
github.com/sixlettervariables/sierra-ecg-tools and its wiki.
"""

from __future__ import annotations

from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from biojepa.data._xli import decode_xli
from biojepa.data._xml import base64_bytes, integers, number, text_of, texts_of
from biojepa.data.assemble import Decoded
from biojepa.data.leads import STANDARD_12
from biojepa.errors import FormatError

ROOT = "restingecgdata"
VERSIONS = ("1.03", "1.04")
MAX_LEADS = 64
MAX_OFF_COUNTS = 4.0  # ours: filters and rounding of the device stay below
_SEX = {"male": "male", "female": "female"}


def decode_philips(root: Element, *, record_id: str, where: str) -> Decoded:
    """Decode the waveforms of a document.

    Parameters
    ----------
    root : Element
    record_id : str
    where : str
        For the messages.

    Returns
    -------
    Decoded
        `labels` holds age (years), sex and the statements of the interpretation; no name, no date.

    Raises
    ------
    FormatError
        If the version or compression is not known, or the samples are not what the counts say.
    """
    version = text_of(root, "documentinfo", "documentversion")
    if not version.startswith(VERSIONS):
        raise FormatError(
            f"{where}: expected Philips ECG XML {' or '.join(VERSIONS)}, got version {version!r}"
        )
    signal = root.find("dataacquisition/signalcharacteristics")
    waves = root.find(".//parsedwaveforms")
    if signal is None or waves is None:
        raise FormatError(
            f"{where}: expected signalcharacteristics and parsedwaveforms, one is missing"
        )
    rate = number(
        text_of(signal, "samplingrate") or waves.get("samplespersec", ""),
        what="samplingrate",
        where=where,
    )
    size = number(
        waves.get("resolution")
        or text_of(signal, "resolution")
        or text_of(signal, "signalresolution"),
        what="the resolution (microvolt of a count)",
        where=where,
    )
    if not size:
        raise FormatError(f"{where}: expected a resolution other than 0")
    offset = number(text_of(signal, "signaloffset") or "0", what="signaloffset", where=where)
    names = _lead_names(signal, waves, where)
    duration_ms = number(
        waves.get("durationperchannel", ""), what="durationperchannel", where=where
    )
    counts = _counts(waves, len(names), rate * duration_ms / 1000, where)
    if _compression(waves) == "xli":
        counts = _without_residuals(counts, names)
    notes = _contradiction(counts, names)
    return Decoded(
        values=(counts - offset) * size,
        names=names,
        units=["uV"] * len(names),
        rate_hz=rate,
        record_id=record_id,
        subject_id=text_of(root, "patient", "generalpatientdata", "patientid"),
        labels=_labels(root),
        notes=notes,
    )


def _counts(waves: Element, n_leads: int, n_times: float, where: str) -> NDArray[np.int64]:
    """Samples of all leads, shape (n_leads, n_times)."""
    encoding, compression = waves.get("dataencoding", "").lower(), _compression(waves)
    if compression not in ("uncompressed", "xli") or encoding not in ("base64", "plain"):
        raise FormatError(
            f"{where}: expected Base64 or Plain, Uncompressed or XLI waveforms, got "
            f"{encoding!r} and {compression!r}; export the recording without compression"
        )
    text = waves.text or ""
    if compression == "xli":
        raw = base64_bytes(text, what="parsedwaveforms", where=where)
        return decode_xli(raw, n_leads=n_leads, n_times=round(n_times), where=where)
    if encoding == "plain":
        flat = integers(text, what="parsedwaveforms", where=where)
    else:
        raw = base64_bytes(text, what="parsedwaveforms", where=where)
        flat = np.frombuffer(raw[: len(raw) // 2 * 2], dtype="<i2").astype(np.int64)
    if not n_times >= 1 or len(flat) != n_leads * round(n_times):
        raise FormatError(
            f"{where}: expected {n_leads} leads of {n_times:g} samples, got {len(flat)} samples"
        )
    return flat.reshape(n_leads, -1)


def _without_residuals(counts: NDArray[np.int64], names: list[str]) -> NDArray[np.int64]:
    """Put III, aVR, aVL, aVF back together; half counts are rounded down, as the device does."""
    at = {name.upper(): i for i, name in enumerate(names)}
    if not {"I", "II", "III", "AVR", "AVL", "AVF"} <= at.keys():
        return counts
    whole = counts.copy()
    one, two = counts[at["I"]], counts[at["II"]]
    three = two - one - counts[at["III"]]
    whole[at["III"]] = three
    whole[at["AVR"]] = -counts[at["AVR"]] - (one + two) // 2
    whole[at["AVL"]] = (one - three) // 2 - counts[at["AVL"]]
    whole[at["AVF"]] = (two + three) // 2 - counts[at["AVF"]]
    return whole


def _contradiction(counts: NDArray[np.int64], names: list[str]) -> tuple[str, ...]:
    """A note if lead III is not II - I, as after a wrong guess of what is a residual."""
    if names[:3] != ["I", "II", "III"]:
        return ()
    off = float(np.abs(counts[2] - (counts[1] - counts[0])).mean())
    if off <= MAX_OFF_COUNTS:
        return ()
    return (f"lead III is not II - I ({off:.1f} counts off on average): look at the limb leads",)


def _lead_names(signal: Element, waves: Element, where: str) -> list[str]:
    names = waves.get("leadlabels", "").split()
    stated = waves.get("numberofleads") or text_of(signal, "numberchannelsallocated")
    n_leads = number(stated or str(len(names)), what="the number of leads", where=where)
    if not 1 <= n_leads <= MAX_LEADS or n_leads != int(n_leads):
        raise FormatError(f"{where}: expected 1 to {MAX_LEADS} leads, got {n_leads:g}")
    if not names:
        kind = text_of(signal, "leadset") or text_of(signal, "acquisitiontype")
        if kind not in ("STD-12", "10-WIRE") or n_leads > len(STANDARD_12):
            raise FormatError(
                f"{where}: expected leadlabels, or the lead set STD-12 or 10-WIRE, got {kind!r}"
            )
        names = list(STANDARD_12)
    if len(names) < n_leads:
        raise FormatError(f"{where}: expected {n_leads:g} leadlabels, got {len(names)}")
    return names[: int(n_leads)]


def _labels(root: Element) -> dict:
    labels: dict = {}
    age = text_of(root, "patient", "generalpatientdata", "age", "years")
    if age.isdigit():
        labels["age"] = int(age)
    sex = _SEX.get(text_of(root, "patient", "generalpatientdata", "sex").lower())
    if sex:
        labels["sex"] = sex
    said = [text for side in ("leftstatement", "statement") for text in texts_of(root, side)]
    if said:
        labels["statements"] = list(dict.fromkeys(said))
    return labels


def _compression(waves: Element) -> str:
    return (waves.get("compressmethod") or waves.get("compression") or "Uncompressed").lower()
