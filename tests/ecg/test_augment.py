"""Augmentations: what they change, and that they do not depend on the process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from biojepa.ecg.augment import Jitter, augmentation
from biojepa.ecg.recipes import get_recipe
from biojepa.engine.randomness import BatchKey
from biojepa.engine.signals import Signals
from biojepa.errors import ConfigError


def key_of(n, step=0):
    return BatchKey(0, step, np.arange(n), n)


def test_a_gain_multiplies_each_lead_of_each_record_by_one_number():
    x = Signals(torch.arange(1.0, 11.0).expand(40, 3, 10))
    found = Jitter(0.1, 0.0)(x, key_of(40)).values / x.values
    assert torch.allclose(found, found[..., :1].expand_as(found))
    assert found[..., 0].unique().numel() == 120
    assert found[..., 0].log().std().item() == pytest.approx(0.1, rel=0.2)


def test_noise_has_the_spread_that_was_asked_for():
    x = Signals(torch.zeros(8, 4, 2000))
    found = Jitter(0.0, 0.05)(x, key_of(8)).values
    assert found.std().item() == pytest.approx(0.05, rel=0.02)
    assert x.values.abs().max() == 0


def test_a_rank_draws_for_its_rows_what_one_process_draws():
    x = torch.randn(6, 2, 50)
    whole = Jitter(0.1, 0.05)(Signals(x), key_of(6)).values
    rows = np.array([1, 4])
    part = Jitter(0.1, 0.05)(Signals(x[rows]), BatchKey(0, 0, rows, 6)).values
    assert torch.equal(part, whole[rows])


def test_the_settings_decide_what_is_chained():
    config = get_recipe("small").model
    assert [type(step).__name__ for step in augmentation(config).steps] == ["Jitter"]
    both = replace(config, lead_dropout=0.2)
    assert [type(step).__name__ for step in augmentation(both).steps] == ["Jitter", "LeadDropout"]
    assert augmentation(replace(config, gain_jitter=0.0, noise_jitter=0.0)) is None


@pytest.mark.parametrize(("gain", "noise"), [(-1, 0), (0, float("nan"))])
def test_a_spread_out_of_range_is_refused(gain, noise):
    with pytest.raises(ConfigError, match="finite gain >= 0"):
        Jitter(gain, noise)
