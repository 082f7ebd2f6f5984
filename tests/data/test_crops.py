"""Strided, random and padded windows."""

from __future__ import annotations

import numpy as np
import pytest

from biojepa.data.crops import pad_to, random_start, window_starts
from biojepa.errors import ConfigError, DataError
from tests.conftest import PARITY


def test_strided_crops_are_the_published_ones():
    with np.load(PARITY / "ecg" / "preprocess.npz", allow_pickle=False) as file:
        expected = file["strided_crops_1250_625_starts"]
    np.testing.assert_array_equal(window_starts(5000, 1250, 625), expected)
    assert len(expected) == 7


@pytest.mark.parametrize(
    ("n_times", "starts"), [(1, [0]), (9, [0]), (10, [0]), (13, [0]), (14, [0, 4]), (18, [0, 4, 8])]
)
def test_only_whole_windows_are_taken_and_a_short_record_gives_one(n_times, starts):
    assert window_starts(n_times, 10, 4).tolist() == starts


def test_random_starts_cover_every_place_equally_often():
    places = [random_start(14, 10, u) for u in np.arange(1000) / 1000]
    assert np.bincount(places).tolist() == [200] * 5


@pytest.mark.parametrize("u", [0.0, 0.999999999999, 1.0])
def test_a_random_window_never_leaves_the_record(u):
    assert 0 <= random_start(5000, 1250, u) <= 3750
    assert random_start(100, 1250, u) == 0
    assert random_start(1250, 1250, u) == 0


def test_padding_appends_zeros_and_says_where():
    values = np.ones((2, 3), dtype=np.float16)
    values.setflags(write=False)
    padded, valid = pad_to(values, 5)
    assert padded.dtype == np.float16
    np.testing.assert_array_equal(padded, [[1, 1, 1, 0, 0]] * 2)
    np.testing.assert_array_equal(valid, [True, True, True, False, False])
    whole, all_valid = pad_to(values, 3)
    np.testing.assert_array_equal(whole, values)
    assert all_valid.all()


def test_impossible_windows_are_refused():
    with pytest.raises(DataError, match="got 0"):
        window_starts(0, 10, 5)
    with pytest.raises(ConfigError, match="stride"):
        window_starts(10, 5, 0)
    with pytest.raises(ConfigError, match="window"):
        random_start(10, 0, 0.5)
    with pytest.raises(ConfigError, match="nan"):
        random_start(10, 5, float("nan"))
    with pytest.raises(DataError, match="at most 2 samples"):
        pad_to(np.zeros((1, 3)), 2)
