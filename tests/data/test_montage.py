"""Names and places of electrodes: what is found, what is refused, what is reported."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.montage import (
    HEAD_RADII_PER_METRE,
    clean_name,
    place_channels,
    standard_xyz,
    template_positions,
)
from biojepa.errors import ConfigError, LeadError
from tests.eeg.published import needs_eeg, spatial_blocks

pytestmark = needs_eeg


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("EEG Fp1-REF", "Fp1"),
        ("FP1.", "FP1"),
        ("fp1", "fp1"),
        ("Fc5..", "Fc5"),
        ("EEG C3-LE", "C3"),
        ("C3-A2", "C3"),
        ("EEG:Oz", "Oz"),
        (" Cz ", "Cz"),
        ("Fp1-F7", "Fp1-F7"),
    ],
)
def test_names_are_freed_of_what_files_put_around_them(written, name):
    assert clean_name(written) == name


def test_any_spelling_finds_the_same_electrode():
    spellings = ["EEG Fp1-REF", "FP1.", "fp1", "Fp1"]
    places = {place_channels([name]).positions for name in spellings}
    assert len(places) == 1
    assert place_channels(["CZ", "t3"]).names == ("Cz", "T3")


def test_places_are_those_of_the_reference():
    montage = spatial_blocks()["montages"]["lee62"]
    found = standard_xyz(montage["channels"]) * HEAD_RADII_PER_METRE
    np.testing.assert_allclose(found, montage["xyz"], atol=1e-6)


@pytest.mark.parametrize("bad", ["Fp1-F7", "C3-P3", "EMG1", "status", "EXG 3", ""])
def test_a_channel_without_a_place_is_an_error_that_names_it(bad):
    with pytest.raises(LeadError, match="on_unknown='drop'") as caught:
        place_channels(["Cz", bad, "Pz"])
    assert bad in str(caught.value)


def test_what_is_dropped_is_reported_and_the_rest_keeps_its_place_in_the_input():
    placed = place_channels(["EOG", "Cz", "Fp1-F7", "pz"], on_unknown="drop")
    assert placed.names == ("Cz", "Pz")
    assert placed.index == (1, 3)
    assert placed.dropped == ("EOG", "Fp1-F7")
    assert str(placed).splitlines()[0] == "2 of 4 channels used"
    assert "dropped (2): EOG, Fp1-F7" in str(placed)


def test_nothing_left_is_an_error_also_when_dropping():
    with pytest.raises(LeadError, match="EOG"):
        place_channels(["EOG"], on_unknown="drop")
    with pytest.raises(LeadError, match="at least one channel"):
        place_channels([])
    with pytest.raises(ConfigError, match="on_unknown"):
        place_channels(["Cz"], on_unknown="zero")  # type: ignore[arg-type]


@pytest.mark.parametrize("names", [["Cz", "cz"], ["T3", "T7"], ["EEG Oz-REF", "Oz."]])
def test_one_electrode_under_two_names_is_an_error(names):
    with pytest.raises(LeadError, match="place of its own"):
        place_channels(names)


def test_the_model_comes_first_then_the_system_then_what_was_supplied():
    model = {"Cz": (0.0, 0.0, 0.1), "E7": (0.05, 0.0, 0.05)}
    head = {"X1": (0.0, 0.09, 0.03), "Pz": (0.0, 0.0, 0.0)}
    placed = place_channels(["cz", "e7", "Pz", "X1"], model=model, supplied=head)
    assert placed.matched == ("Cz", "E7")
    assert placed.looked_up == ("Pz",)
    assert placed.supplied == ("X1",)
    assert placed.positions[0] == (0.0, 0.0, 0.1)


@pytest.mark.parametrize("place", [(0.0, 0.0, 0.0), (np.nan, 0.0, 0.1), (0.1,)])
def test_zero_nan_and_short_places_count_as_none(place):
    with pytest.raises(LeadError, match="X1"):
        place_channels(["X1"], supplied={"X1": place})


def test_digitised_places_are_moved_from_the_head_frame_into_the_template():
    import mne

    info = mne.create_info(["Oz", "Fz"], 100.0, "eeg")
    info.set_montage("colin27_1005")  # into the head frame
    supplied = {f"new {c['ch_name']}": c["loc"][:3] for c in info["chs"]}
    placed = place_channels(list(supplied), supplied=supplied)
    own = [template_positions()[n][1] for n in ("oz", "fz")]
    np.testing.assert_allclose(placed.positions, own, atol=1e-6)
    assert np.linalg.norm(info["chs"][0]["loc"][:3] - own[0]) > 0.02  # the frames differ


def test_two_electrodes_at_one_supplied_place_are_an_error():
    place = (0.01, 0.09, 0.03)
    with pytest.raises(LeadError, match="X1 and X2"):
        place_channels(["X1", "X2"], supplied={"X1": place, "X2": place})
