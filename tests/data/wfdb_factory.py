"""Small WFDB records, written by wfdb itself, for the tests of the reader."""

from __future__ import annotations

import warnings

import numpy as np
import wfdb

from biojepa.data.leads import STANDARD_12

UPPER_12 = [name.upper() for name in STANDARD_12]


def signals(n_times=500, n_leads=12, seed=0):
    """Millivolt with a peak-to-peak of about 1.5, shape (n_times, n_leads)."""
    return np.random.default_rng(seed).normal(0, 0.3, (n_times, n_leads)).clip(-0.6, 0.6)


def wrsamp(name, **arguments):
    """Let wfdb write a record; its use of pandas is not ours to warn about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wfdb.wrsamp(name, **arguments)


def write(folder, *, name="r1", fmt="16", values=None, leads=None, gain=200.0, baseline=0):
    """Write values (n_times, n_leads), millivolt, as a record of 500 Hz and return its path."""
    values = signals() if values is None else values
    n_leads = values.shape[1]
    wrsamp(
        name,
        fs=500,
        units=["mV"] * n_leads,
        sig_name=UPPER_12[:n_leads] if leads is None else leads,
        p_signal=values,
        fmt=[fmt] * n_leads,
        adc_gain=[gain] * n_leads,
        baseline=[baseline] * n_leads,
        write_dir=str(folder),
    )
    return folder / name


def edit(record, old, new, *, count=-1):
    """Change the text of a record's header."""
    header = record.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new, count))


def assert_equals_wfdb(recording, record):
    """Missing samples in the same places, the others equal to float32 rounding."""
    expected = wfdb.rdrecord(str(record)).p_signal.T
    np.testing.assert_array_equal(np.isnan(recording.values), np.isnan(expected))
    np.testing.assert_allclose(recording.values, expected, rtol=0, atol=1e-6)
