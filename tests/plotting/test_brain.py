"""Figures of brains: what is drawn is what was given."""

from __future__ import annotations

import io

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.plotting.brain import plot_gradients, plot_mask_map, plot_region_embedding

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


def test_regions_are_drawn_on_principal_axes_in_the_colours_of_their_gradients() -> None:
    table = RNG.standard_normal((12, 3))
    figure = plot_region_embedding(np.outer(np.arange(12.0), np.ones(5)), table)
    (dots,) = figure.axes[0].collections
    along = np.asarray(dots.get_offsets())[:, 0]
    np.testing.assert_allclose(np.abs(np.diff(along)), np.sqrt(5.0))
    low, high = table.min(axis=0), table.max(axis=0)
    np.testing.assert_allclose(dots.get_facecolors()[:, :3], (table - low) / (high - low))
    assert figure.axes[0].get_xlabel() == "principal axis 1 (100%)"
    assert drawn(figure) > 0
    for wrong in (np.ones((11, 5)), np.full((12, 5), np.nan)):
        with pytest.raises(DataError, match="expected finite embeddings"):
            plot_region_embedding(wrong, table)
