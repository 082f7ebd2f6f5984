import numpy as np
import pytest

from biojepa.data.leads import (
    INDEPENDENT_8,
    STANDARD_12,
    arrange_leads,
    canonical_lead,
    canonical_leads,
)
from biojepa.errors import ConfigError, DataError, LeadError


def twelve(rng, shape=()):
    """Twelve leads that obey Einthoven and Goldberger, random otherwise."""
    values = rng.normal(size=(*shape, 12, 20))
    one, two = values[..., 0, :], values[..., 1, :]
    values[..., 2, :] = two - one
    values[..., 3, :] = -(one + two) / 2
    values[..., 4, :] = one - two / 2
    values[..., 5, :] = two - one / 2
    return values.astype(np.float32)


@pytest.mark.parametrize(
    ("name", "lead"),
    [
        ("AVR", "aVR"),
        ("avf", "aVF"),
        ("MLII", "II"),
        ("ECG I", "I"),
        ("ecg_v1", "V1"),
        ("lead ii", "II"),
        ("Lead aVL", "aVL"),
        ("MDC_ECG_LEAD_III", "III"),
        ("DIII", "III"),
        ("D1", "I"),
        ("V-6", "V6"),
        (" v4 ", "V4"),
        (" vx ", "vx"),
        ("Resp", "Resp"),
        ("-aVR", "-aVR"),
        ("ECG 1", "ECG 1"),
        ("Iⅱ", "Iⅱ"),
        ("", ""),
    ],
)
def test_lead_names_are_written_as_the_field_writes_them(name, lead):
    assert canonical_lead(name) == lead


def test_canonical_names_stay():
    assert tuple(map(canonical_lead, STANDARD_12)) == STANDARD_12


@pytest.mark.parametrize("names", [["I", "i"], ["MLII", "II"], ["Vx", "VX"], ["I", ""], "I"])
def test_a_lead_named_twice_or_not_at_all_is_refused(names):
    with pytest.raises(LeadError):
        canonical_leads(names)


@pytest.mark.parametrize("shape", [(), (3,)])
def test_leads_are_picked_by_name_in_any_order(shape):
    values = twelve(np.random.default_rng(0), shape)
    order = np.random.default_rng(1).permutation(12)
    names = [STANDARD_12[i].upper() for i in order]
    found, present = arrange_leads(values[..., order, :], names, STANDARD_12)
    assert found.dtype == np.float32
    assert present.all()
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("pair", [("I", "II"), ("I", "III"), ("II", "III")])
def test_any_two_of_the_limb_leads_give_the_other_four(pair):
    values = twelve(np.random.default_rng(2))
    rows = [STANDARD_12.index(lead) for lead in pair]
    found, _ = arrange_leads(values[rows], pair, STANDARD_12[:6])
    np.testing.assert_allclose(found, values[:6], atol=1e-6)


def test_derived_leads_by_hand():
    found, _ = arrange_leads([[1.0, 2.0], [4.0, 8.0]], ["I", "II"], STANDARD_12[2:6])
    np.testing.assert_array_equal(found, [[3, 6], [-2.5, -5], [-1, -2], [3.5, 7]])


def test_a_recorded_lead_is_taken_rather_than_derived():
    found, _ = arrange_leads([[1.0], [4.0], [9.0]], ["I", "II", "III"], ["III"])
    assert found.item() == 9.0


def test_a_missing_lead_is_named_with_the_fix():
    with pytest.raises(LeadError, match=r"missing leads V2, V3.*on_missing='drop'"):
        arrange_leads(np.ones((3, 5)), ["I", "II", "V1"], ["I", "V1", "V2", "V3"])


def test_a_dropped_lead_is_zero_and_not_present():
    found, present = arrange_leads(
        np.ones((2, 2, 5)), ["I", "V1"], ["V1", "aVR", "I"], on_missing="drop"
    )
    np.testing.assert_array_equal(present, [True, False, True])
    np.testing.assert_array_equal(found[:, 1], 0)
    np.testing.assert_array_equal(found[:, [0, 2]], 1)


def test_no_wanted_lead_at_all_is_an_error_even_under_drop():
    with pytest.raises(LeadError, match="missing"):
        arrange_leads(np.ones((1, 5)), ["V1"], ["V2"], on_missing="drop")


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ">f4", "i2", ">i2", "i4", "u1"])
@pytest.mark.parametrize("layout", ["plain", "fortran", "strided", "read-only"])
def test_dtype_and_memory_layout_do_not_matter_and_input_stays(dtype, layout):
    plain = np.arange(24).reshape(2, 12)
    values = plain.astype(dtype)
    if layout == "fortran":
        values = np.asfortranarray(values)
    elif layout == "strided":
        values = np.repeat(values, 2, axis=1)[:, ::2]
    values.flags.writeable = layout != "read-only"
    before = values.copy()
    found, _ = arrange_leads(values, ["I", "II"], ["aVF", "I"])
    np.testing.assert_allclose(found, [plain[1] - plain[0] / 2, plain[0]], rtol=1e-5)
    found[:] = 7
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize(
    ("values", "have", "error"),
    [
        (np.ones(5), ["I"], DataError),
        (np.ones((1, 5), dtype=complex), ["I"], DataError),
        (np.array([["a"]]), ["I"], DataError),
        (np.ones((2, 5)), ["I"], LeadError),
        (np.ones((1, 5)), ["I", "II"], LeadError),
    ],
)
def test_unusable_input_is_an_error_of_the_family(values, have, error):
    with pytest.raises(error):
        arrange_leads(values, have, ["I"])


def test_an_unknown_policy_is_a_config_error():
    with pytest.raises(ConfigError):
        arrange_leads(np.ones((1, 5)), ["I"], INDEPENDENT_8, on_missing="mask")
