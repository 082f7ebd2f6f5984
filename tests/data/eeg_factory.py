"""Small EEG files: written by hand, so that any field can be wrong, or through MNE."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np


def write_edf(
    path: Path,
    labels=("EEG Fp1-REF", "EEG Cz-REF", "Oz"),
    *,
    rates=None,
    unit="uV",
    n_records=8,
    declared=None,
    duration="1",
    physical=-3276,
) -> Path:
    """A small EDF file written by hand, so that any field can be wrong."""
    rates = rates or [100] * len(labels)
    rng = np.random.default_rng(0)

    def text(value, width: int) -> bytes:
        return str(value).ljust(width)[:width].encode("ascii")

    head = text(0, 8) + text("X X X X", 80) + text("Startdate X X X X", 80)
    head += b"01.01.2001.00.00" + text(256 * (len(labels) + 1), 8) + text("", 44)
    head += text(n_records if declared is None else declared, 8) + text(duration, 8)
    head += text(len(labels), 4)
    for width, values in (
        (16, labels),
        (80, [""] * len(labels)),
        (8, [unit] * len(labels)),
        (8, [physical] * len(labels)),
        (8, [3276] * len(labels)),
        (8, [-32768] * len(labels)),
        (8, [32767] * len(labels)),
        (80, [""] * len(labels)),
        (8, rates),
        (32, [""] * len(labels)),
    ):
        head += b"".join(text(v, width) for v in values)
    body = b"".join(
        (150 * rng.standard_normal(rate)).astype("<i2").tobytes()
        for _ in range(n_records)
        for rate in rates
    )
    path.write_bytes(head + body)
    return path


def write_brainvision(folder: Path, data_file: str = "a.eeg", marker_file: str = "a.vmrk") -> Path:
    (folder / "a.vmrk").write_text(
        "Brain Vision Data Exchange Marker File, Version 1.0\n[Common Infos]\nDataFile=a.eeg\n"
        "[Marker Infos]\nMk1=New Segment,,1,1,0,0\n"
    )
    (np.random.default_rng(0).standard_normal((800, 2)) * 15).astype("<f4").tofile(folder / "a.eeg")
    (folder / "a.vhdr").write_text(
        "Brain Vision Data Exchange Header File Version 1.0\n[Common Infos]\n"
        f"DataFile={data_file}\nMarkerFile={marker_file}\nDataFormat=BINARY\n"
        "DataOrientation=MULTIPLEXED\nNumberOfChannels=2\nSamplingInterval=10000\n"
        "[Binary Infos]\nBinaryFormat=IEEE_FLOAT_32\n[Channel Infos]\n"
        "Ch1=Fz,,1,uV\nCh2=Cz,,1,uV\n"
    )
    return folder / "a.vhdr"


def write_fif(
    path: Path,
    names: Sequence[str] = ("Fz", "Cz", "Oz"),
    *,
    n_times: int = 1200,
    sfreq: float = 128.0,
    bads: Sequence[str] = (),
    places: dict[str, tuple[float, float, float]] | None = None,
    subject: str | None = None,
    seed: int = 0,
) -> Path:
    """A FIF file of noise of 15 microvolt."""
    import mne

    info = mne.create_info(list(names), sfreq, "eeg")
    info["bads"] = list(bads)
    if subject is not None:
        info["subject_info"] = {"his_id": subject}
    if places:
        info.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"))
    values = 1.5e-5 * np.random.default_rng(seed).standard_normal((len(names), n_times))
    mne.io.RawArray(values, info, verbose="error").save(path, verbose="error", overwrite=True)
    return path


def write_eeglab(
    path: Path,
    names: Sequence[str] = ("Fz", "Cz", "Oz"),
    *,
    n_times: int = 800,
    sfreq: float = 128.0,
    data_file: str | None = None,
) -> Path:
    """An EEGLAB file of noise of 15 microvolt; its samples in `data_file` if that is given."""
    from scipy.io import savemat

    values = 15 * np.random.default_rng(0).standard_normal((len(names), n_times))
    if data_file is not None:
        target = path.parent / data_file
        values.T.astype("<f4").tofile(target)
    places = [{"labels": n, "X": 0.0, "Y": 0.01 * i, "Z": 0.1} for i, n in enumerate(names)]
    head = {
        "setname": "noise",
        "nbchan": float(len(names)),
        "trials": 1.0,
        "pnts": float(n_times),
        "srate": sfreq,
        "xmin": 0.0,
        "xmax": (n_times - 1) / sfreq,
        "ref": "common",
        "chanlocs": np.array(
            [(p["labels"], p["X"], p["Y"], p["Z"]) for p in places],
            dtype=[("labels", object), ("X", object), ("Y", object), ("Z", object)],
        ),
        "event": np.empty((0, 0)),
        "epoch": np.empty((0, 0)),
        "chaninfo": {"nosedir": "+X"},
        "data": values.astype("<f4") if data_file is None else data_file,
    }
    savemat(path, {"EEG": head})
    return path
