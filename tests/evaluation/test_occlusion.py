from __future__ import annotations

import numpy as np
import pytest

from biojepa.errors import ConfigError, DataError
from biojepa.evaluation.occlusion import occlusion_saliency


def test_the_patch_that_the_score_reads_is_found() -> None:
    values = np.zeros((3, 100), np.float32)
    values[1, 42:48] = 2.0

    def score(batch: np.ndarray) -> np.ndarray:
        return batch[:, 1, 40:50].sum(-1)

    found = occlusion_saliency(score, values, patch=10)
    assert found.shape == (3, 10)
    assert np.unravel_index(found.argmax(), found.shape) == (1, 4)
    assert found[1, 4] == pytest.approx(12.0)
    assert np.count_nonzero(found) == 1


def test_channels_go_together_when_asked() -> None:
    values = np.random.default_rng(0).standard_normal((4, 50)).astype(np.float32)
    found = occlusion_saliency(lambda b: b.sum((1, 2)), values, patch=10, per_channel=False)
    assert found.shape == (1, 5)


def test_a_straight_line_loses_nothing_and_the_record_stays() -> None:
    line = np.linspace(0, 1, 40, dtype=np.float32)[None].repeat(2, 0)
    before = line.copy()
    found = occlusion_saliency(lambda b: np.square(b).sum((1, 2)), line, patch=8)
    assert np.abs(found[:, 1:-1]).max() < 1e-5
    assert np.array_equal(line, before)


def test_the_last_patch_may_be_short_and_batches_change_nothing() -> None:
    values = np.random.default_rng(1).standard_normal((2, 23)).astype(np.float32)
    whole = occlusion_saliency(lambda b: b.std((1, 2)), values, patch=10)
    assert whole.shape == (2, 3)
    parts = occlusion_saliency(lambda b: b.std((1, 2)), values, patch=10, batch_size=1)
    assert whole == pytest.approx(parts, abs=1e-7)


def test_one_patch_over_everything_is_the_flat_record() -> None:
    values = np.ones((1, 10), np.float32)
    values[0, 3] = 5
    found = occlusion_saliency(lambda b: b.max((1, 2)), values, patch=10)
    assert found == pytest.approx(np.array([[4.0]]))


def test_mistakes_are_named() -> None:
    values = np.zeros((2, 10), np.float32)
    with pytest.raises(ConfigError, match="1 to 10 samples"):
        occlusion_saliency(lambda b: b[:, 0, 0], values, patch=0)
    with pytest.raises(DataError, match="one record"):
        occlusion_saliency(lambda b: b[:, 0, 0], values[0], patch=2)
    with pytest.raises(DataError, match="one score a copy"):
        occlusion_saliency(lambda b: b[:, 0], values, patch=2)
