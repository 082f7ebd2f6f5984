"""One recording as a signal store keeps it: checked, in the store's unit, as codes and texts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from biojepa.data.quantise import Codes, quantise
from biojepa.data.recording import Recording
from biojepa.errors import DataError, LeadError

_PER_MILLIVOLT = {"V": 1e-3, "mV": 1.0, "uV": 1e3}


@dataclass(frozen=True)
class EncodedRecord:
    """A recording as the store keeps it: its codes and its texts, by column name."""

    codes: Codes
    rate_hz: float
    texts: dict[str, bytes]


def encode_record(
    recording: Recording,
    *,
    channels: Sequence[str],
    unit: str = "mV",
    gain: float | np.ndarray | None = None,
) -> EncodedRecord:
    """Check a recording against a store's layout and quantise it; see `StoreWriter.add`."""
    name = recording.record_id or recording.source or "recording"
    if tuple(recording.channels) != tuple(channels):
        raise LeadError(
            f"{name}: expected the channels {', '.join(channels)}, got "
            f"{', '.join(recording.channels)}: arrange them before adding"
        )
    values = np.asarray(recording.values)
    if values.ndim != 2 or values.shape[0] != len(channels) or not values.shape[1]:
        raise DataError(
            f"{name}: expected values of shape ({len(channels)}, n_times), got {values.shape}"
        )
    if not (math.isfinite(recording.rate_hz) and recording.rate_hz > 0):
        raise DataError(f"{name}: expected a rate above 0 Hz, got {recording.rate_hz}")
    if recording.unit != unit:
        if recording.unit not in _PER_MILLIVOLT or unit not in _PER_MILLIVOLT:
            raise DataError(
                f"{name}: the store is in {unit!r}, the recording in {recording.unit!r}: "
                "convert it, or write a store of that unit"
            )
        values = values * (_PER_MILLIVOLT[unit] / _PER_MILLIVOLT[recording.unit])
    try:
        codes = quantise(values, gain=gain)
        labels = json.dumps(_plain(recording.labels)) if recording.labels else ""
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{name}: labels must be JSON-able: {error}") from error
    texts = {
        "record_id": recording.record_id,
        "subject_id": recording.subject_id or "",
        "labels": labels,
        "source": recording.source,
        "source_sha256": recording.sha256,
        "notes": json.dumps(list(recording.notes)) if recording.notes else "",
    }
    encoded = {key: str(text).encode("utf-8", "surrogatepass") for key, text in texts.items()}
    return EncodedRecord(codes, float(recording.rate_hz), encoded)


def _plain(value: object) -> object:
    """Labels as JSON knows them: NumPy scalars become numbers, NaN and infinities null."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
