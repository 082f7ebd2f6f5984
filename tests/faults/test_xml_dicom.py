"""Rows X1 and X2: XML that attacks its reader, DICOM waveforms that lack or mix what matters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biojepa.data.files import read_ecg
from tests.data import format_factory as factory
from tests.faults.rows import Row, fine, in_one_child

COUNTS = factory.twelve_counts()
AECG = factory.aecg_xml(COUNTS)
MUSE = factory.muse_xml(COUNTS[:8], ["I", "II", "V1", "V2", "V3", "V4", "V5", "V6"])
ENTITIES = '<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {chr(98 + i)} "{f"&{chr(97 + i)};" * 10}">' for i in range(9)
)


def summary(path: Path) -> dict[str, Any]:
    """What is looked at of the recordings of a file."""
    found = read_ecg(path)
    return {
        "n": len(found),
        "channels": len(found[0].channels),
        "rate": found[0].rate_hz,
        "n_times": found[0].n_times,
        "notes": found[0].notes,
    }


def xml(text: str | bytes) -> Callable[[Path], Callable]:
    """A file of this text."""

    def make(root: Path) -> Callable:
        (root / "x.xml").write_bytes(text if isinstance(text, bytes) else text.encode())
        return lambda: summary(root / "x.xml")

    return make


def with_doctype(doctype: str, *, use: str = "") -> Row:
    """An aECG with a document type, and something in its text."""
    head, rest = AECG.split("?>", 1)
    text = f"{head}?>{doctype}{rest.replace('P7', f'P7{use}', 1)}"
    return Row(xml(text), "refused", r"x\.xml.*(document type|entity)")


def dicom(
    change: Callable[[Any], Any] = lambda d: None, **options: Any
) -> Callable[[Path], Callable]:
    """A DICOM waveform with other elements."""

    def make(root: Path) -> Callable:
        from pydicom import dcmread

        path = factory.write_dicom(root / "x.dcm", COUNTS)
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path, enforce_file_format=True)
        return lambda: summary(path)

    return make


def rhythm(dataset: Any) -> Any:
    """The group that is not the median beat."""
    return dataset.WaveformSequence[1]


def without_sensitivity(dataset: Any) -> None:
    """One channel does not say how large a count is."""
    del rhythm(dataset).ChannelDefinitionSequence[3].ChannelSensitivity


def sensitivity(value: str) -> Callable[[Any], None]:
    """One channel has another size of a count."""

    def change(dataset: Any) -> None:
        rhythm(dataset).ChannelDefinitionSequence[3].ChannelSensitivity = value

    return change


def set_of(name: str, value: Any) -> Callable[[Any], None]:
    """Another element of the rhythm."""
    return lambda dataset: setattr(rhythm(dataset), name, value)


def without(name: str) -> Callable[[Any], None]:
    """The rhythm lacks an element."""
    return lambda dataset: delattr(rhythm(dataset), name)


def cut_dicom(share: float) -> Callable[[Path], Callable]:
    """A file that was cut."""

    def make(root: Path) -> Callable:
        path = factory.write_dicom(root / "x.dcm", COUNTS)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        return lambda: summary(path)

    return make


ROWS: dict[str, Row] = {
    "X1-good": fine(xml(AECG), "'channels': 12, 'rate': 500.0, 'n_times': 1000"),
    "X1-dtd": with_doctype("<!DOCTYPE AnnotatedECG [<!ELEMENT a ANY>]>"),
    "X1-external-dtd": with_doctype('<!DOCTYPE AnnotatedECG SYSTEM "http://example.org/x.dtd">'),
    "X1-local-dtd": with_doctype('<!DOCTYPE AnnotatedECG SYSTEM "file:///etc/passwd">'),
    "X1-entity": with_doctype('<!DOCTYPE AnnotatedECG [<!ENTITY a "b">]>'),
    "X1-entity-bomb": with_doctype(f"<!DOCTYPE AnnotatedECG [{ENTITIES}]>"),
    "X1-external-entity": with_doctype(
        '<!DOCTYPE AnnotatedECG [<!ENTITY a SYSTEM "file:///etc/passwd">]>'
    ),
    "X1-parameter-entity": with_doctype(
        '<!DOCTYPE AnnotatedECG [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x.dtd"> %a;]>'
    ),
    "X1-known-type": fine(xml(MUSE), "'channels': 8"),
    "X1-known-type-with-content": Row(
        xml(MUSE.replace('"restecg.dtd">', '"restecg.dtd" [<!ENTITY a "b">]>')),
        "refused",
        "document type|entity",
    ),
    "X1-deep": Row(xml("<a>" * 100_000), "refused", "without end|well-formed"),
    "X1-cut": Row(xml(AECG[: len(AECG) // 2]), "refused", "well-formed"),
    "X1-encoding": Row(xml(AECG.replace("UTF-8", "utf-77", 1)), "refused", "encoding|well-formed"),
    "X1-empty": Row(xml(""), "refused", "well-formed"),
    "X2-good": fine(dicom(), "'channels': 12, 'rate': 500.0, 'n_times': 1000"),
    "X2-median-beat-is-named": fine(dicom(), "MEDIAN BEAT.*1000"),
    "X2-no-sensitivity": Row(dicom(without_sensitivity), "refused", "ChannelSensitivity of lead"),
    "X2-sensitivity-0": Row(dicom(sensitivity("0")), "refused", "finite sensitivity"),
    "X2-two-rates": fine(dicom(set_of("SamplingFrequency", 250)), "'rate': 250.0"),
    "X2-no-rate": Row(dicom(without("SamplingFrequency")), "refused", "damaged|Sampling"),
    "X2-rate-0": Row(dicom(set_of("SamplingFrequency", 0)), "refused", "rate"),
    "X2-too-many-samples": Row(
        dicom(set_of("NumberOfWaveformSamples", 2**31)), "refused", "is cut"
    ),
    "X2-too-many-channels": Row(dicom(set_of("NumberOfWaveformChannels", 13)), "refused", "defin"),
    "X2-no-data": Row(dicom(without("WaveformData")), "refused", "damaged|WaveformData"),
    "X2-other-samples": Row(
        dicom(set_of("WaveformSampleInterpretation", "MB")), "refused", "expected samples of"
    ),
    "X2-no-channels": Row(dicom(without("ChannelDefinitionSequence")), "refused", "0 def|chann"),
    "X2-no-waveform": Row(
        dicom(lambda dataset: delattr(dataset, "WaveformSequence")), "refused", "WaveformSequence"
    ),
    "X2-beats-alone": Row(
        dicom(lambda dataset: dataset.WaveformSequence.pop(1)), "refused", "averaged beats"
    ),
    **{f"X2-cut-{share}": Row(cut_dicom(share), "refused", "x.dcm") for share in (0.05, 0.5, 0.99)},
    "X2-noise": Row(
        lambda root: [
            (root / "x.dcm").write_bytes(np.random.default_rng(0).bytes(5000)),
            lambda: summary(root / "x.dcm"),
        ][1],
        "refused",
        "expected a DICOM file",
    ),
}


ended = in_one_child(ROWS)


@pytest.mark.parametrize("row", ROWS)
def test_a_file_of_a_device_ends_as_the_catalogue_says(ended, row) -> None:
    ROWS[row].judge(*ended[row])
