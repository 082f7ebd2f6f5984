"""`masks.png` of an EEG run."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.cli.eeg_pictures import draw_masks, mask_figure
from biojepa.data.montage import standard_xyz
from biojepa.eeg.config import EEGModelConfig
from tests.eeg.published import TEN_TWENTY, needs_eeg

pytestmark = needs_eeg


def config(names=TEN_TWENTY, **options) -> EEGModelConfig:
    places = tuple(map(tuple, standard_xyz(names).tolist()))
    return EEGModelConfig(tuple(names), places, n_times=536, min_unmasked=4, **options)


@pytest.mark.parametrize("masks", ["paper", "config"])
def test_blocks_are_drawn_as_the_sampler_masks_them(tmp_path, masks):
    given = config(masks=masks, radius=0.8)
    figure = mask_figure(given)
    assert figure is not None
    shown = [ax.collections[0].get_array() for ax in figure.axes]
    assert len(shown) == 4
    blocks = given.sampler().blocks()
    assert all(any(np.array_equal(own, block) for block in blocks) for own in shown)
    assert draw_masks(tmp_path, given)
    assert (tmp_path / "masks.png").stat().st_size > 1000


def test_masks_of_space_and_time_show_the_share_of_time(tmp_path):
    figure = mask_figure(config(masks="space-time", radius_m=0.06, patches=2))
    assert figure is not None
    share = np.stack([ax.collections[0].get_array() for ax in figure.axes])
    assert set(np.unique(share)) <= {0, 0.25, 0.5, 0.75, 1}
    assert 0.3 < share.mean() < 0.8


def test_channels_without_a_place_are_not_drawn(tmp_path):
    assert mask_figure(EEGModelConfig(("ch1",), ((0.0, 0.0, 0.0),), n_times=536)) is None
