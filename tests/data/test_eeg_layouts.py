"""Which recordings have the same montage."""

from __future__ import annotations

from biojepa.data.eeg_layouts import Layouts

NOWHERE = (float("nan"),) * 3


def test_the_order_of_channels_makes_no_other_montage():
    layouts = Layouts()
    assert layouts.number(["Fz", "Cz"], {}) == 0
    assert layouts.number(["Cz", "Fz"], {}) == 0
    assert layouts.order(0, ["Cz", "Fz"]) == [1, 0]
    assert layouts.number(["Cz"], {}) == 1
    assert layouts.names == [("Fz", "Cz"), ("Cz",)]


def test_a_cap_on_another_head_is_the_same_and_another_cap_of_the_same_names_is_not():
    layouts = Layouts()
    assert layouts.number(["A1"], {"A1": (0.0, 0.0, 0.10)}) == 0
    assert layouts.number(["A1"], {"A1": (0.0, 0.02, 0.11)}) == 0
    assert layouts.number(["A1"], {"A1": (0.08, 0.0, 0.0)}) == 1
    assert layouts.number(["A1"], {"A1": NOWHERE}) == 0


def test_places_that_are_none_are_not_kept():
    layouts = Layouts()
    layouts.number(["Fz", "Cz", "Oz"], {"Fz": NOWHERE, "Cz": (0.0, 0.0, 114.0), "Oz": (0, 0, 0.1)})
    assert layouts.places == [{"Oz": (0, 0, 0.1)}]
