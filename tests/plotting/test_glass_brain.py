"""Gradients in a glass brain."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib import colormaps

from biojepa.errors import DataError
from biojepa.plotting.glass_brain import plot_glass_gradients

pytest.importorskip("nilearn.plotting", reason="the extra fmri is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of nilearn's own imports
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]
RNG = np.random.default_rng(0)


def test_each_gradient_is_drawn_on_three_views_of_a_brain_beside_their_space() -> None:
    gradients, places = RNG.standard_normal((20, 4)), RNG.normal(0, 30, (20, 3))
    places[4] = np.nan  # a region without a place is in the space alone
    figure = plot_glass_gradients(gradients, places, title="AAL")
    space = figure.axes[0]
    np.testing.assert_allclose(np.stack(space.collections[0]._offsets3d, axis=1), gradients[:, :3])
    known = np.delete(places, 4, axis=0)
    drawn = [dots for ax in figure.axes[1:] for dots in ax.collections]
    above = [dots for dots in drawn if len(dots.get_offsets()) == len(known)]
    assert len(above) == 3  # from the sides one half is seen at a time
    for k, dots in enumerate(above):
        np.testing.assert_allclose(np.ma.getdata(dots.get_offsets()), known[:, :2])
        limit = np.abs(gradients[:, k]).max()
        colours = colormaps["coolwarm"](0.5 + 0.5 * np.delete(gradients, 4, axis=0)[:, k] / limit)
        np.testing.assert_allclose(dots.get_facecolors()[:, :3], colours[:, :3], atol=0.02)
    left, right = (known[:, 0] < 0).sum(), (known[:, 0] > 0).sum()
    counts = [len(dots.get_offsets()) for dots in drawn]
    assert counts.count(left) >= 3 <= counts.count(right)
    stream = io.BytesIO()
    figure.savefig(stream, dpi=40)
    assert len(stream.getvalue()) > 5000


@pytest.mark.parametrize(
    ("gradients", "places"),
    [((20, 2), (20, 3)), ((20, 3), (19, 3)), ((20, 3), (20, 2))],
)
def test_other_shapes_are_refused(gradients, places) -> None:
    with pytest.raises(DataError, match="expected"):
        plot_glass_gradients(np.ones(gradients), np.ones(places))
    with pytest.raises(DataError, match="expected coordinates"):
        plot_glass_gradients(np.ones((20, 3)), np.full((20, 3), np.nan))
