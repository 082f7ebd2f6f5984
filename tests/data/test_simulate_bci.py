from __future__ import annotations

import pytest

from biojepa.data.simulate_bci import CHANNELS, simulate_bci
from biojepa.errors import ConfigError
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg


@pytest.mark.parametrize("paradigm", ["mi", "erp", "ssvep"])
def test_a_simulation_is_the_same_for_the_same_seed(paradigm) -> None:
    one, two, other = (
        simulate_bci(paradigm, n_subjects=1, n_runs=1, random_state=seed) for seed in (0, 0, 1)
    )
    assert (one.runs[0].values == two.runs[0].values).all()
    assert not (one.runs[0].values == other.runs[0].values).all()
    assert one.channels == CHANNELS[paradigm]
    assert 3 < one.runs[0].values.std() < 30


def test_an_impossible_simulation_is_refused() -> None:
    with pytest.raises(ConfigError, match="5 trials"):
        simulate_bci("mi", n_trials=1)
