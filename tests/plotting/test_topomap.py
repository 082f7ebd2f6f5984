"""Heads seen from above: what is drawn is what was given."""

from __future__ import annotations

import io

import numpy as np
import pytest

from biojepa.errors import DataError
from biojepa.plotting.topomap import flatten_positions, plot_blocks, plot_filters

# vertex, nose, left and right ear, back: at right angles, on a head of 0.1
CAP = 0.1 * np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=float)
NAMES = ("Cz", "Fpz", "T7", "T8", "Oz")


def drawn(figure) -> int:
    stream = io.BytesIO()
    figure.savefig(stream, dpi=50)
    return len(stream.getvalue())


def test_the_vertex_is_the_middle_and_a_right_angle_is_one() -> None:
    expected = [[0, 0], [0, 1], [-1, 0], [1, 0], [0, -1]]
    np.testing.assert_allclose(flatten_positions(CAP), expected, atol=1e-12)
    np.testing.assert_allclose(flatten_positions(7 * CAP), expected, atol=1e-12)
    halfway = flatten_positions([[0.1, 0.0, 0.1]])
    np.testing.assert_allclose(halfway, [[0.5, 0.0]], atol=1e-12)


def test_masked_channels_have_another_colour_than_the_context() -> None:
    masked = np.array([[1, 1, 0, 0, 0], [0, 0, 0, 0.5, 1]])
    figure = plot_blocks(CAP, masked, centres=[0, 4], radius=0.12, names=NAMES)
    assert len(figure.axes) == 2
    dots = figure.axes[1].collections[0]
    np.testing.assert_allclose(dots.get_offsets(), flatten_positions(CAP))
    np.testing.assert_allclose(dots.get_array(), masked[1])
    assert [ax.get_title() for ax in figure.axes] == ["40 % masked", "30 % masked"]
    assert {text.get_text() for text in figure.axes[0].texts} == set(NAMES)
    keys = [text.get_text() for text in figure.legends[0].get_texts()]
    assert keys == [
        "context",
        "masked for a part of the time",
        "masked",
        "centre",
        "radius of the block",
    ]
    assert drawn(figure) > 0


def test_the_ring_has_the_radius_as_its_straight_distance() -> None:
    figure = plot_blocks(CAP, np.eye(5)[:1], centres=[0], radius=0.1)
    ring = next(line for line in figure.axes[0].lines if len(line.get_xdata()) > 100)
    # a chord as long as the radius of the sphere spans 60 degrees
    np.testing.assert_allclose(np.hypot(*ring.get_data()), 2 / 3, atol=1e-9)


def test_a_filter_is_largest_where_its_weight_is() -> None:
    weights = np.array([[0, 0, -1, 2, 0], [0, 3, 0, 0, 0]], dtype=float)
    figure = plot_filters(weights, CAP, titles=["a", "b"])
    first, second = (ax.images[0].get_array() for ax in figure.axes[:2])
    middle, right = first.shape[0] // 2, np.argmax(first[first.shape[0] // 2])
    assert right > 0.85 * first.shape[1]
    assert first[middle, right] == pytest.approx(1.0, abs=0.15)
    assert first[middle, round(0.05 * first.shape[1])] < -0.2
    assert np.argmax(second[:, middle]) > 0.85 * len(second)  # the nose is up
    assert drawn(figure) > 0


def test_what_does_not_fit_together_is_refused() -> None:
    for masked, options in (
        (np.zeros((2, 4)), {}),
        (np.zeros(5), {}),
        (np.zeros((2, 5)), {"centres": [0]}),
        (np.zeros((2, 5)), {"names": NAMES[:3]}),
        (np.zeros((2, 5)), {"titles": ["a"]}),
    ):
        with pytest.raises(DataError, match="expected"):
            plot_blocks(CAP, masked, **options)
    for filters, places in (
        (np.zeros((1, 3)), CAP[:3]),
        (np.zeros((1, 4)), CAP),
        (np.full((1, 5), np.nan), CAP),
    ):
        with pytest.raises(DataError, match="expected"):
            plot_filters(filters, places)
    for places in (np.zeros((2, 3)), np.zeros((2, 2)), [[np.nan, 0, 0]]):
        with pytest.raises(DataError, match="expected"):
            flatten_positions(places)
