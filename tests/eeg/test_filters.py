"""Learned spatial filters: the numbers, and their maps."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError

from biojepa.eeg import SignalJEPAClassifier
from biojepa.eeg.filters import plot_spatial_filters
from biojepa.errors import DataError
from tests.eeg.published import TEN_TWENTY, needs_eeg
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = TEN_TWENTY[:8]


def fitted(architecture: str, names=NAMES, **options) -> SignalJEPAClassifier:
    settings = {"preset": "tiny", "epochs": 2, "sfreq": 128, "random_state": 0} | options
    net = SignalJEPAClassifier(architecture=architecture, ch_names=names, **settings)
    return net.fit(waves(12, NAMES[: len(names)], n_times=300), np.arange(12) % 2)


@pytest.mark.parametrize("architecture", ["pre-local", "post-local", "contextual"])
def test_a_filters_weight_is_what_a_channel_adds_to_its_virtual_channel(architecture) -> None:
    net = fitted(architecture, n_filters=3)
    filters = net.spatial_filters_
    assert (filters.shape, filters.dtype) == ((8, 3), np.float32)
    assert net.channels_ == tuple(NAMES)
    unit = torch.zeros(1, 1, 8, 5) if architecture == "pre-local" else torch.zeros(1, 1, 8, 5, 2)
    for channel in range(8):
        moved = unit.clone()
        moved[:, :, channel] = 1.0
        with torch.no_grad():
            change = net.network_.spatial(moved) - net.network_.spatial(unit)
        np.testing.assert_allclose(change.flatten(2)[0, :, 0], filters[channel], atol=1e-6)


@pytest.mark.parametrize("architecture", ["pre-local", "post-local", "contextual"])
def test_every_filter_is_a_map_that_is_scaled_to_its_largest_weight(architecture) -> None:
    net = fitted(architecture)
    figure = plot_spatial_filters(net)
    maps = [ax for ax in figure.axes if ax.images]
    assert [ax.get_title() for ax in maps] == [f"filter {k}" for k in range(1, 5)]
    assert architecture in figure.get_suptitle()
    places = np.asarray(net.positions_)
    for k, ax in enumerate(maps):
        own = net.spatial_filters_[:, k]
        dots = ax.collections[-1].get_offsets()
        assert len(dots) == len(places)
        x, y = dots[np.abs(own).argmax()]
        left, right, low, high = ax.images[0].get_extent()
        values = ax.images[0].get_array()
        n = len(values)
        column, row = (int((v - a) / (b - a) * n) for v, a, b in ((x, left, right), (y, low, high)))
        assert values[row, column] == pytest.approx(np.sign(own[np.abs(own).argmax()]), abs=0.15)


def test_without_filters_or_places_it_is_said(tmp_path) -> None:
    linear = fitted("contextual", regime="linear")
    assert not hasattr(linear, "spatial_filters_")
    with pytest.raises(DataError, match="regime 'linear', which has none"):
        plot_spatial_filters(linear)
    with pytest.raises(DataError, match="at least 4 channels with a place"):
        plot_spatial_filters(fitted("pre-local", NAMES[:3]))
    with pytest.raises(NotFittedError):
        plot_spatial_filters(SignalJEPAClassifier())
    saved = fitted("pre-local")
    saved.save_pretrained(tmp_path / "net")
    again = SignalJEPAClassifier.from_pretrained(tmp_path / "net")
    np.testing.assert_array_equal(again.spatial_filters_, saved.spatial_filters_)
