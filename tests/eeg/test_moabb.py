"""`SignalJEPAClassifier` inside MOABB, without network: arrays and epochs, its evaluations."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from biojepa.eeg import SignalJEPAClassifier
from tests.eeg.published import needs_eeg

pytestmark = [needs_eeg, pytest.mark.slow]
CHANNELS = ["Fz", "C3", "Cz", "C4", "Pz"]


@pytest.fixture(scope="module")
def moabb(tmp_path_factory):
    """The package, with its caches in a folder of the test."""
    pytest.importorskip("moabb", reason='needs pip install "biojepa[moabb]"')
    home = tmp_path_factory.mktemp("moabb")
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other packages, while they are imported
        patch.setenv("HOME", str(home))
        patch.setenv("MNE_DATA", str(home))
        import moabb.datasets.fake
        import moabb.evaluations
        import moabb.paradigms

        yield moabb


def evaluate(moabb, tmp_path, name: str, *, epochs: bool) -> np.ndarray:
    """Scores of one evaluation on white noise."""
    dataset = moabb.datasets.fake.FakeDataset(
        ["left_hand", "right_hand"], n_sessions=2, n_runs=1, n_subjects=2, channels=CHANNELS, seed=0
    )
    paradigm = moabb.paradigms.LeftRightImagery(fmin=0.5, fmax=40, resample=128)
    net = SignalJEPAClassifier(
        preset="tiny", epochs=2, sfreq=128, ch_names=CHANNELS, random_state=0
    )
    evaluation = getattr(moabb.evaluations, name)(
        paradigm=paradigm,
        datasets=[dataset],
        hdf5_path=str(tmp_path),
        overwrite=True,
        return_epochs=epochs,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MOABB and MNE on made-up data
        results = evaluation.process({"S-JEPA": make_pipeline(net)})
    return results["score"].to_numpy()


@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.parametrize(
    "name", ["WithinSessionEvaluation", "CrossSessionEvaluation", "CrossSubjectEvaluation"]
)
def test_the_classifier_is_the_last_step_of_a_pipeline(moabb, tmp_path, name, epochs):
    scores = evaluate(moabb, tmp_path, name, epochs=epochs)
    assert len(scores) >= 2
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()
