"""Figures of brains: what is drawn is what was given."""

from __future__ import annotations

import io

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.plotting.brain import plot_gradients, plot_mask_map, plot_predicted

RNG = np.random.default_rng(0)
NAMES = ("unseen", "context", "cross-ROI", "cross-time", "double-cross")


def drawn(figure) -> int:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=50)
    return len(stream.getvalue())


def test_gradients_are_drawn_in_their_space_and_on_two_views_each() -> None:
    gradients, places = RNG.standard_normal((20, 4)), RNG.standard_normal((20, 3))
    alone = plot_gradients(gradients)
    assert len(alone.axes) == 1
    x, y, z = alone.axes[0].collections[0]._offsets3d
    np.testing.assert_allclose(np.stack([x, y, z], axis=1), gradients[:, :3])
    figure = plot_gradients(gradients, coordinates=places, title="AAL")
    assert len(figure.axes) == 7
    np.testing.assert_allclose(figure.axes[1].collections[0].get_offsets(), places[:, 1:])
    assert drawn(figure) > 0
    for given in ({"gradients": gradients[:, :2]}, {"coordinates": places[:5]}):
        with pytest.raises(DataError, match="expected"):
            plot_gradients(**{"gradients": gradients} | given)


def test_a_mask_map_names_regions_and_the_share_of_each_kind() -> None:
    grid = np.zeros((10, 4), dtype=np.int8)
    grid[:5], grid[7, 2] = 1, 4
    figure = plot_mask_map(grid, NAMES, regions=[f"roi{i}" for i in range(10)])
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), grid)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[1] == "context (50%)"
    assert figure.axes[0].get_yticklabels()[9].get_text() == "roi9"
    assert drawn(figure) > 0
    for wrong, regions in ((grid + 4, None), (grid.astype(float), None), (grid, ["a"])):
        with pytest.raises(DataError, match="expected"):
            plot_mask_map(wrong, NAMES, regions=regions)


def test_predicted_numbers_come_with_error_and_correlation() -> None:
    true = np.array([10.0, 20.0, 30.0, 40.0])
    figure = plot_predicted(true, true + 2)
    assert figure.axes[0].get_title() == "mean absolute error 2.00, r = 1.00, n = 4"
    assert figure.axes[0].get_xlabel() == "true age (years)"
    assert drawn(figure) > 0
    with pytest.raises(DataError, match="at least 3 finite"):
        plot_predicted(true, true[:3])
