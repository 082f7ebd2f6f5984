from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from biojepa.data.leads import STANDARD_12
from biojepa.data.simulate import simulate_record
from biojepa.errors import DataError
from biojepa.plotting.ecg_paper import COLOURS
from biojepa.plotting.saliency import plot_saliency


@pytest.fixture(scope="module")
def record() -> np.ndarray:
    return simulate_record(0, 2, rate_hz=100.0).values


def shaded(figure, name: str) -> list:
    """Collections behind the strips of a lead."""
    found = figure.findobj(lambda artist: artist.get_gid() == f"saliency-{name}")
    return sorted(found, key=lambda artist: len(artist.get_paths()))


def test_patches_lie_at_their_own_time_in_the_strip_of_their_lead(record) -> None:
    saliency = np.zeros((12, 50))
    saliency[6, 27] = 1.0  # V1 is printed from 5.0 to 7.5 s; patch 27 is 5.4 to 5.6 s
    figure = plot_saliency(record, STANDARD_12, 100, saliency, patch_s=0.2)
    (strip,) = shaded(figure, "V1")
    strong = np.flatnonzero(strip.get_facecolors()[:, 3] > 0)
    assert len(strong) == 1
    box = strip.get_paths()[strong[0]].get_extents()
    assert (box.x0, box.x1) == pytest.approx((15 + 5.4 * 25, 15 + 5.6 * 25))
    assert not any((s.get_facecolors()[:, 3] > 0).any() for s in shaded(figure, "II"))


def test_what_speaks_for_is_orange_and_what_speaks_against_blue(record) -> None:
    saliency = np.zeros((12, 50))
    saliency[1, [3, 8]] = [2.0, -1.0]
    strip = shaded(plot_saliency(record, STANDARD_12, 100, saliency, patch_s=0.2), "II")[-1]
    colours = strip.get_facecolors()
    assert len(colours) == 50  # the rhythm strip
    assert colours[3, :3] == pytest.approx(to_rgb(COLOURS["target"]))
    assert colours[8, :3] == pytest.approx(to_rgb(COLOURS["context"]))
    assert colours[3, 3] == pytest.approx(2 * colours[8, 3])


def test_one_row_serves_all_leads_and_nothing_to_see_is_no_error(record) -> None:
    figure = plot_saliency(record, STANDARD_12, 100, np.zeros((1, 50)), patch_s=0.2)
    assert {name for name in STANDARD_12 if shaded(figure, name)} == set(STANDARD_12)


def test_saliency_of_another_shape_is_refused(record) -> None:
    with pytest.raises(DataError, match="saliency"):
        plot_saliency(record, STANDARD_12, 100, np.zeros((8, 50)), patch_s=0.2)
