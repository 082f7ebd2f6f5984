"""Small, valid files of every format, written independently of the readers; tests damage them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

from biojepa.data.leads import STANDARD_12

RATE_HZ = 500.0


def ecg_counts(n_leads: int = 12, n_times: int = 1000, *, seed: int = 0) -> np.ndarray:
    """Counts of 5 microvolt with a plausible height, shape (n_leads, n_times)."""
    rng = np.random.default_rng(seed)
    beat = 200 * np.exp(-0.5 * ((np.arange(n_times) % 400 - 150) / 8) ** 2)
    size = rng.uniform(0.5, 1.5, (n_leads, 1))
    return np.round(size * beat + rng.normal(0, 4, (n_leads, n_times))).astype(np.int16)


def twelve_counts(n_times: int = 1000, *, seed: int = 0) -> np.ndarray:
    """The 12 standard leads, limb leads as a device computes them from I and II."""
    counts = ecg_counts(12, n_times, seed=seed).astype(np.int64)
    one, two = counts[0], counts[1]
    counts[2] = two - one
    counts[3] = -((one + two) // 2)
    counts[4] = (one - counts[2]) // 2
    counts[5] = (two + counts[2]) // 2
    return counts.astype(np.int16)


def edf_bytes(
    counts: Sequence[np.ndarray],
    *,
    labels: Sequence[str],
    units: Sequence[str] | str = "uV",
    rate_hz: Sequence[int] | int = 500,
    width: int = 2,
    n_records: int | None = None,
    duration: str = "1",
    reserved: str = "",
    patient: str = "X X X X",
) -> bytes:
    """An EDF (width 2) or BDF (width 3) file of one-second records, 5 `units` a count."""
    n = len(labels)
    units = [units] * n if isinstance(units, str) else units
    rates = [rate_hz] * n if isinstance(rate_hz, int) else rate_hz
    seconds = len(counts[0]) // rates[0]
    low, high = (-32768, 32767) if width == 2 else (-8388608, 8388607)
    # BDF has finer counts: 32 in a microvolt, which is 160 in five
    gain, finer = (5.0, 1) if width == 2 else (1 / 32, 160)

    def columns(values: Sequence[object], size: int) -> bytes:
        return b"".join(str(v).encode("latin-1").ljust(size)[:size] for v in values)

    head = (b"0" if width == 2 else b"\xffBIOSEMI").ljust(8)
    head += patient.encode().ljust(80) + b"Startdate X X X X".ljust(80) + b"01.01.2600.00.00"
    head += str(256 * (n + 1)).encode().ljust(8) + reserved.encode().ljust(44)
    head += str(seconds if n_records is None else n_records).encode().ljust(8)
    head += duration.encode().ljust(8) + str(n).encode().ljust(4)
    head += columns(labels, 16) + columns([""] * n, 80) + columns(units, 8)
    head += columns([f"{low * gain:.8g}"[:8] for _ in labels], 8)
    head += columns([f"{high * gain:.8g}"[:8] for _ in labels], 8)
    head += columns([low] * n, 8) + columns([high] * n, 8) + columns([""] * n, 80)
    head += columns(rates, 8) + columns([""] * n, 32)
    body = b""
    for second in range(seconds):
        for row, rate in zip(counts, rates, strict=True):
            piece = np.asarray(row[second * rate : (second + 1) * rate])
            if piece.dtype == np.uint8:  # annotations come as bytes
                body += piece.tobytes()
            elif width == 2:
                body += piece.astype("<i2").tobytes()
            else:
                body += (piece.astype("<i4") * finer).view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    return head + body


def aecg_xml(counts: np.ndarray, leads: Sequence[str] = STANDARD_12, *, unit: str = "uV") -> str:
    """An HL7 aECG document with one rhythm."""
    sequences = "".join(
        f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value '
        f'xsi:type="SLIST_PQ"><origin value="0" unit="{unit}"/><scale value="5" unit="{unit}"/>'
        f"<digits>{' '.join(map(str, row))}</digits></value></sequence></component>"
        for lead, row in zip(leads, counts, strict=True)
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?><AnnotatedECG xmlns="urn:hl7-org:v3" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><componentOf><timepointEvent>'
        "<componentOf><subjectAssignment><subject><trialSubject>"
        '<id root="2.16" extension="P7"/><subjectDemographicPerson>'
        '<administrativeGenderCode code="F"/></subjectDemographicPerson></trialSubject></subject>'
        "</subjectAssignment></componentOf></timepointEvent></componentOf><component><series>"
        '<code code="RHYTHM"/><component><sequenceSet><component><sequence>'
        '<code code="TIME_ABSOLUTE"/><value xsi:type="GLIST_TS"><head value="20200101"/>'
        '<increment value="0.002" unit="s"/></value></sequence></component>'
        f"{sequences}</sequenceSet></component></series></component></AnnotatedECG>"
    )


def muse_xml(counts: np.ndarray, leads: Sequence[str]) -> str:
    """A GE MUSE document with a median beat and a rhythm."""

    def waveform(kind: str, values: np.ndarray) -> str:
        parts = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(row)}</LeadByteCountTotal>"
            f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal>"
            "<LeadAmplitudeUnitsPerBit>5</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{lead}</LeadID>"
            "<LeadSampleSize>2</LeadSampleSize><LeadOff>FALSE</LeadOff>"
            f"<WaveFormData>\n{base64.b64encode(row.astype('<i2').tobytes()).decode()}\n"
            "</WaveFormData></LeadData>"
            for lead, row in zip(leads, values, strict=True)
        )
        return (
            f"<Waveform><WaveformType>{kind}</WaveformType><SampleBase>500</SampleBase>"
            f"<SampleExponent>0</SampleExponent>{parts}</Waveform>"
        )

    return (
        '<?xml version="1.0" encoding="ISO-8859-1"?>\n'
        '<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG><PatientDemographics>'
        "<PatientID>P7</PatientID><PatientAge>61</PatientAge><AgeUnits>YEARS</AgeUnits>"
        "<Gender>MALE</Gender><PatientLastName>Nobody</PatientLastName></PatientDemographics>"
        "<Diagnosis><DiagnosisStatement><StmtText>Sinus rhythm</StmtText></DiagnosisStatement>"
        f"</Diagnosis>{waveform('Median', counts[:, :600])}{waveform('Rhythm', counts)}"
        "</RestingECG>"
    )


def philips_xml(counts: np.ndarray, *, version: str = "1.04", packed: str = "XLI") -> str:
    """A Philips document; `packed` is XLI, Base64 or Plain."""
    if packed == "XLI":
        data = base64.b64encode(b"".join(xli_chunk(row) for row in residuals(counts))).decode()
    elif packed == "Base64":
        data = base64.b64encode(counts.astype("<i2").tobytes()).decode()
    else:
        data = " ".join(map(str, counts.ravel()))
    compression = "XLI" if packed == "XLI" else "Uncompressed"
    encoding = "Plain" if packed == "Plain" else "Base64"
    name = "compression" if version == "1.03" else "compressmethod"
    return (
        '<?xml version="1.0" encoding="UTF-8"?><restingecgdata '
        'xmlns="http://www3.medical.philips.com"><documentinfo>'
        f"<documenttype>SierraECG</documenttype><documentversion>{version}</documentversion>"
        "</documentinfo><dataacquisition><signalcharacteristics><samplingrate>500</samplingrate>"
        "<signalresolution>5</signalresolution><signaloffset>0</signaloffset>"
        "<acquisitiontype>STD-12</acquisitiontype>"
        f"<numberchannelsallocated>{len(counts)}</numberchannelsallocated>"
        "<leadset>STD-12</leadset></signalcharacteristics></dataacquisition><patient>"
        "<generalpatientdata><patientid>P7</patientid><age><years>50</years></age>"
        "<sex>Male</sex></generalpatientdata></patient><interpretations><interpretation>"
        "<statement><leftstatement>Sinus rhythm</leftstatement></statement></interpretation>"
        "</interpretations><waveforms>"
        f'<parsedwaveforms dataencoding="{encoding}" {name}="{compression}" '
        f'durationperchannel="{counts.shape[1] * 2}">\n{data}\n</parsedwaveforms></waveforms>'
        "</restingecgdata>"
    )


def residuals(counts: np.ndarray) -> np.ndarray:
    """What XLI files store of the 12 leads: limb leads as the rest of the lead equations."""
    left = counts.astype(np.int64)
    one, two, three = left[0], left[1], left[2].copy()
    left[2] = two - one - three
    left[3] = -left[3] - (one + two) // 2
    left[4] = (one - three) // 2 - left[4]
    left[5] = (two + three) // 2 - left[5]
    return left


def xli_chunk(samples: np.ndarray) -> bytes:
    """One compressed lead: second differences, bytes split by rank, LZW of 10 bits."""
    values = [int(v) for v in samples]
    start = 0
    words = values[:2]
    for i in range(2, len(values)):
        # the reader takes the correction that stands one word earlier
        needed = 2 * values[i - 1] - values[i - 2] - values[i]
        if i == 2:
            start = needed
        else:
            words.append(needed + 64)
    words.append(64)
    packed = np.array(words, dtype=np.int64).astype(np.int16).view(np.uint16)
    raw = (packed >> 8).astype(np.uint8).tobytes() + (packed & 255).astype(np.uint8).tobytes()
    body = lzw_bytes(raw)
    return (
        len(body).to_bytes(4, "little")
        + b"\0\0"
        + int(np.int16(start)).to_bytes(2, "little", signed=True)
        + body
    )


def lzw_bytes(raw: bytes) -> bytes:
    """LZW with codes of 10 bits, high bit first; the code 1023 ends it."""
    table = {bytes([i]): i for i in range(256)}
    codes, text = [], b""
    for byte in raw:
        longer = text + bytes([byte])
        if longer in table:
            text = longer
            continue
        codes.append(table[text])
        if len(table) <= 1022:
            table[longer] = len(table)
        text = bytes([byte])
    codes += [table[text], 1023]
    bits = "".join(f"{code:010b}" for code in codes)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def write_dicom(
    path: Path,
    counts: np.ndarray,
    leads: Sequence[str] = STANDARD_12,
    *,
    unit: str | None = "uV",
    median: bool = True,
    rate_hz: float = RATE_HZ,
) -> Path:
    """A 12-lead ECG object with, as devices write it, a median beat at another rate."""
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence as Items
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    codes = dict(zip(STANDARD_12, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))

    def group(values: np.ndarray, rate: float, label: str) -> Dataset:
        item = Dataset()
        item.MultiplexGroupLabel = label
        item.NumberOfWaveformChannels = len(values)
        item.NumberOfWaveformSamples = values.shape[1]
        item.SamplingFrequency = rate
        item.WaveformBitsAllocated = 16
        item.WaveformSampleInterpretation = "SS"
        channels = []
        for lead in leads[: len(values)]:
            channel, source = Dataset(), Dataset()
            source.CodeValue = f"5.6.3-9-{codes[lead]}" if lead in codes else lead
            source.CodingSchemeDesignator = "SCPECG"
            source.CodeMeaning = f"Lead {lead}"
            channel.ChannelSourceSequence = Items([source])
            if unit is not None:
                units = Dataset()
                units.CodeValue = unit
                units.CodingSchemeDesignator = "UCUM"
                units.CodeMeaning = unit
                channel.ChannelSensitivity = 5
                channel.ChannelSensitivityUnitsSequence = Items([units])
                channel.ChannelSensitivityCorrectionFactor = 1
                channel.ChannelBaseline = 0
            channels.append(channel)
        item.ChannelDefinitionSequence = Items(channels)
        item.WaveformData = values.T.astype("<i2").tobytes()
        item["WaveformData"].VR = "OW"
        return item

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["ecg"])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    dataset.Modality = "ECG"
    dataset.PatientID, dataset.PatientSex, dataset.PatientAge = "P7", "F", "047Y"
    groups = [group(counts, rate_hz, "RHYTHM")]
    if median:
        groups.insert(0, group(counts[:, :600], 1000, "MEDIAN BEAT"))
    dataset.WaveformSequence = Items(groups)
    dataset.save_as(path, enforce_file_format=True)
    return path


def scp_bytes(counts: np.ndarray, leads: Sequence[str] = STANDARD_12, *, order: int = 0) -> bytes:
    """An SCP-ECG file of 16-bit samples, or of their first or second differences (`order`)."""
    codes = {"I": 1, "II": 2, "III": 61, "aVR": 62, "aVL": 63, "aVF": 64}
    codes |= {f"V{i}": i + 2 for i in range(1, 7)}
    n_leads, n_times = counts.shape
    patient = b"".join(
        bytes([tag]) + len(value).to_bytes(2, "little") + value
        for tag, value in ((2, b"P7\0"), (5, bytes(4)), (8, b"\x02"), (255, b""))
    )
    lead_body = bytes([n_leads, 0x04 | n_leads << 3 & 0xF8])
    for lead in leads[:n_leads]:
        lead_body += (1).to_bytes(4, "little") + n_times.to_bytes(4, "little")
        lead_body += bytes([codes[lead]])
    coded = counts.astype(np.int64)
    if order:
        coded = np.concatenate([counts[:, :order], np.diff(counts.astype(np.int64), order)], axis=1)
    samples = [row.astype("<i2").tobytes() for row in coded]
    rhythm = (5000).to_bytes(2, "little") + (2000).to_bytes(2, "little") + bytes([order, 0])
    rhythm += b"".join(len(s).to_bytes(2, "little") for s in samples) + b"".join(samples)
    sections = {1: patient, 3: lead_body, 6: rhythm}
    start = 6 + 16 + 10 * 12
    pointers, body = b"", b""
    for number in range(1, 12):
        content = sections.get(number)
        length = 16 + len(content) if content is not None else 0
        place = start + len(body) + 1 if content is not None else 0
        pointers += number.to_bytes(2, "little") + length.to_bytes(4, "little")
        pointers += place.to_bytes(4, "little")
        if content is not None:
            body += _scp_section(number, content)
    own = (0).to_bytes(2, "little") + (16 + 120).to_bytes(4, "little") + (7).to_bytes(4, "little")
    whole = _scp_section(0, own + pointers) + body
    size = (6 + len(whole)).to_bytes(4, "little")
    return binascii.crc_hqx(size + whole, 0xFFFF).to_bytes(2, "little") + size + whole


def _scp_section(number: int, content: bytes) -> bytes:
    name = b"SCPECG" if number == 0 else bytes(6)
    head = number.to_bytes(2, "little") + (16 + len(content)).to_bytes(4, "little")
    head += bytes([20, 20]) + name + content
    return binascii.crc_hqx(head, 0xFFFF).to_bytes(2, "little") + head


def write_mat(path: Path, variables: dict, *, version: str = "5", compressed: bool = True) -> Path:
    """A MATLAB file of version 4, 5 or 7.3."""
    if version != "7.3":
        savemat(path, variables, format=version, do_compression=compressed and version == "5")
        return path
    with h5py.File(path, "w", userblock_size=512) as file:
        _fill(file, variables)
    with path.open("r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


def _fill(group: h5py.Group, variables: dict) -> None:
    for name, value in variables.items():
        if isinstance(value, dict):
            _fill(group.create_group(name), value)
        elif isinstance(value, str):
            item = group.create_dataset(name, data=np.array([[ord(c)] for c in value], "u2"))
            item.attrs["MATLAB_class"] = np.bytes_("char")
        else:
            group.create_dataset(name, data=np.atleast_2d(value).T, compression="gzip")
