"""What every pretraining estimator does alike."""

from __future__ import annotations

import pytest
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator

from biojepa.ecg import ECGJEPA
from biojepa.eeg import SignalJEPA
from biojepa.engine.config import TrainConfig
from biojepa.errors import ConfigError
from biojepa.estimators.encoder import pretrained_of
from biojepa.fmri import BrainJEPA

KINDS = [ECGJEPA, SignalJEPA, BrainJEPA]


@pytest.mark.parametrize("kind", KINDS)
def test_the_warm_up_keeps_its_share_of_the_steps(kind) -> None:
    base = TrainConfig(steps=100, warmup_steps=10, lr=0.1)
    found = kind(steps=40, lr=0.5, random_state=3)._training(base)
    assert (found.steps, found.warmup_steps, found.lr, found.seed) == (40, 4, 0.5, 3)
    assert kind(random_state=3)._training(base).warmup_steps == 10


@pytest.mark.parametrize("kind", KINDS)
def test_settings_of_the_model_and_the_regulariser_go_together(kind) -> None:
    assert kind()._model_settings() == {}
    found = kind(model={"depth": 2}, regulariser="sigreg")._model_settings()
    assert found == {"depth": 2, "regulariser": "sigreg"}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_saved_before_fit(kind, tmp_path) -> None:
    with pytest.raises(NotFittedError):
        kind().save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("kind", [SignalJEPA, BrainJEPA])
def test_a_model_without_register_refuses_to_pool_it(kind) -> None:
    with pytest.raises(ConfigError, match=f"{kind.__name__} has no register"):
        kind(pool="register")._check_reading()
    ECGJEPA(pool="register")._check_reading()


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoder_that_would_be_lost_or_is_of_another_kind_is_refused(kind) -> None:
    other = KINDS[KINDS.index(kind) - 1]
    assert pretrained_of(None, kind, verify=True) is None
    for given, said in [
        (kind(), "would un-fit: pass FrozenEstimator"),
        (FrozenEstimator(other()), f"fitted {kind.__name__}, got one of {other.__name__}"),
        (3, f"fitted_{kind.__name__.lower()}.* or None, got int"),
    ]:
        with pytest.raises(ConfigError, match=said):
            pretrained_of(given, kind, verify=True)
    with pytest.raises(NotFittedError):
        pretrained_of(FrozenEstimator(kind()), kind, verify=True)
