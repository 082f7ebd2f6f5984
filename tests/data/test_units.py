import numpy as np
import pytest

from biojepa.data.units import (
    canonical_unit,
    check_plausible_mv,
    implausibility,
    peak_to_peak,
    to_millivolt,
)
from biojepa.errors import DataError, PlausibilityWarning


def ecg_mv(shape=(3, 12, 1000)):
    """Something with a millivolt of peak-to-peak."""
    return np.random.default_rng(0).normal(0, 0.2, shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("mv", "mV"),
        ("MV", "mV"),
        ("millivolts", "mV"),
        ("mV/nd", "mV"),
        ("uV", "uV"),
        ("\u00b5V", "uV"),
        ("\u03bcV", "uV"),
        ("microvolt", "uV"),
        (" V ", "V"),
        ("ADU", "adc"),
        ("arbitrary", "arbitrary"),
    ],
)
def test_usual_spellings_of_a_unit_are_known(text, unit):
    assert canonical_unit(text) == unit


@pytest.mark.parametrize("text", ["", "mmHg", "kV", None, 3, []])
def test_an_unknown_unit_is_an_error_that_lists_the_known(text):
    with pytest.raises(DataError, match="mV, uV, V, adc, arbitrary"):
        canonical_unit(text)


@pytest.mark.parametrize(("unit", "factor"), [("mV", 1), ("uV", 1e-3), ("V", 1e3)])
def test_conversion_to_millivolt(unit, factor):
    values = np.array([[1.0, -2.0]])
    found = to_millivolt(values, unit)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values * factor, rtol=1e-6)


def test_counts_are_divided_by_the_gain_of_each_lead():
    counts = np.array([[200, -200], [1000, 500]], dtype=np.int16)
    np.testing.assert_allclose(
        to_millivolt(counts, "adc", adc_gain=[200, 1000]), [[1, -1], [1, 0.5]]
    )
    np.testing.assert_allclose(to_millivolt(counts, "adc", adc_gain=200)[1], [5, 2.5])


@pytest.mark.parametrize("gain", [None, 0, np.nan, np.inf, [1, 2, 3]])
def test_counts_without_a_usable_gain_are_refused(gain):
    with pytest.raises(DataError, match="adc_gain"):
        to_millivolt(np.ones((2, 2)), "adc", adc_gain=gain)


def test_a_gain_for_volts_is_refused():
    with pytest.raises(DataError, match="adc_gain"):
        to_millivolt(np.ones((2, 2)), "V", adc_gain=200)


@pytest.mark.parametrize("dtype", ["f2", "f8", ">f4", "i2", ">i2"])
def test_the_input_is_not_changed_and_its_dtype_does_not_matter(dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)[:, ::-1]
    before = values.copy()
    np.testing.assert_allclose(to_millivolt(values, "uV") * 1000, before.astype(float), rtol=1e-5)
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("scale", "unit", "hint"),
    [
        (1e3, "mV", "looks like microvolt: pass units='uV'"),
        (1e-3, "mV", "looks like volt: pass units='V'"),
        (1e-3, "uV", "looks like millivolt: pass units='mV'"),
        (1e3, "V", "looks like millivolt: pass units='mV'"),
        (1e6, "V", "looks like microvolt: pass units='uV'"),
        (1e3, "adc", "check adc_gain"),
        (1e9, "mV", "no usual unit"),
    ],
)
def test_an_implausible_scale_names_the_likely_unit(scale, unit, hint):
    with pytest.warns(PlausibilityWarning, match=hint):
        check_plausible_mv(ecg_mv() * scale, where="X", unit=unit, strict=False)
    with pytest.raises(DataError, match=hint):
        check_plausible_mv(ecg_mv() * scale, where="X", unit=unit, strict=True)


@pytest.mark.parametrize("scale", [0.1, 1, 10])
def test_a_plausible_scale_passes_in_silence(scale):
    check_plausible_mv(ecg_mv() * scale, where="X", unit="mV", strict=True)


def test_arbitrary_units_are_not_judged():
    check_plausible_mv(ecg_mv() * 1e6, where="X", unit="arbitrary", strict=True)


def test_flat_and_missing_leads_do_not_count():
    values = ecg_mv((12, 1000))
    values[:7] = 0
    values[7:10] = np.nan
    check_plausible_mv(values, where="X", unit="mV", strict=True)
    check_plausible_mv(np.zeros((2, 100)), where="X", unit="mV", strict=True)
    check_plausible_mv(np.full((2, 100), np.nan), where="X", unit="mV", strict=True)


def test_a_few_artefacts_do_not_make_a_record_implausible():
    values = ecg_mv((12, 1000))
    values[:, 3] = 1e6
    values[:, 5] = np.inf
    check_plausible_mv(values, where="X", unit="mV", strict=True)


def test_swapped_axes_are_recognised():
    assert "axes look swapped" in implausibility(ecg_mv((1000, 12)), unit="mV")


def test_peak_to_peak_of_a_sine_of_any_period_is_found():
    time = np.arange(5120)
    for period in (10, 64, 500):
        height = peak_to_peak(np.sin(2 * np.pi * time / period)[None])
        assert 1.8 < height.item() <= 2


def test_peak_to_peak_ignores_missing_samples_lead_by_lead():
    values = np.stack([np.linspace(0, 1, 101), np.linspace(0, 1, 101), np.full(101, np.nan)])
    values[1, :50] = np.nan
    np.testing.assert_allclose(peak_to_peak(values), [1, 0.5, np.nan], atol=1e-6)
    assert peak_to_peak(np.ones((2, 0))).shape == (2,)
