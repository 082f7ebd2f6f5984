"""`SignalJEPAClassifier` inside MOABB, without network: arrays and epochs, its evaluations."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.pipeline import make_pipeline

from biojepa.eeg import SignalJEPAClassifier
from biojepa.eeg.pretrain import pretrain
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


def evaluate(
    moabb, tmp_path, name: str, *, epochs: bool = False, net=None, **options: Any
) -> np.ndarray:
    """Scores of one evaluation on white noise."""
    dataset = moabb.datasets.fake.FakeDataset(
        ["left_hand", "right_hand"], n_sessions=2, n_runs=1, n_subjects=2, channels=CHANNELS, seed=0
    )
    paradigm = moabb.paradigms.LeftRightImagery(fmin=0.5, fmax=40, resample=128)
    evaluation = getattr(moabb.evaluations, name)(
        paradigm=paradigm,
        datasets=[dataset],
        hdf5_path=str(tmp_path),
        overwrite=True,
        random_state=0,
        return_epochs=epochs,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MOABB and MNE on made-up data
        results = evaluation.process({"S-JEPA": make_pipeline(net or classifier())})
    return results["score"].to_numpy()


def classifier(**options: Any) -> SignalJEPAClassifier:
    """A network of seconds."""
    given = {"preset": "tiny", "epochs": 2, "sfreq": 128, "ch_names": CHANNELS, "random_state": 0}
    return SignalJEPAClassifier(**given | options)


@pytest.mark.parametrize("epochs", [False, True])
@pytest.mark.parametrize(
    "name", ["WithinSessionEvaluation", "CrossSessionEvaluation", "CrossSubjectEvaluation"]
)
def test_the_classifier_is_the_last_step_of_a_pipeline(moabb, tmp_path, name, epochs):
    scores = evaluate(moabb, tmp_path, name, epochs=epochs)
    assert len(scores) >= 2
    assert np.isfinite(scores).all()
    assert ((scores >= 0) & (scores <= 1)).all()


def test_two_processes_give_the_scores_of_one(moabb, tmp_path):
    name = "CrossSubjectEvaluation"
    alone = evaluate(moabb, tmp_path / "one", name, n_jobs=1)
    together = evaluate(moabb, tmp_path / "two", name, n_jobs=2)
    assert np.allclose(np.sort(alone), np.sort(together), atol=1e-6)


@pytest.mark.parametrize("regime", ["new", "linear"])
def test_the_models_that_moabb_keeps_predict_again(moabb, tmp_path, regime):
    net = classifier(architecture="contextual", regime=regime)
    evaluate(moabb, tmp_path, "CrossSubjectEvaluation", net=net, save_model=True)
    kept = sorted(tmp_path.rglob("*.pkl"))
    assert len(kept) == 2  # one a subject
    X = 15 * np.random.default_rng(0).standard_normal((4, len(CHANNELS), 385))
    found = []
    for path in kept:
        with path.open("rb") as file:
            found.append(pickle.load(file).predict_proba(X))
    assert all(p.shape == (4, 2) and np.allclose(p.sum(axis=1), 1, atol=1e-5) for p in found)
    assert not np.allclose(found[0], found[1])


@pytest.mark.parametrize("epochs", [False, True])
def test_pretraining_goes_on_with_the_target_that_moabb_routes(
    moabb, tmp_path, monkeypatch, epochs
):
    seen = []

    def watched(source, *args, **options):
        seen.append((len(source.records), options["training"].steps))
        return pretrain(source, *args, **options)

    monkeypatch.setattr("biojepa.eeg._encoder.pretrain", watched)
    with sklearn.config_context(enable_metadata_routing=True):
        net = classifier(adapt_steps=2).set_fit_request(X_target_unlabeled=True)
    name, mode = "CrossSubjectEvaluation", "train_and_target_unlabeled_50p"
    plain = evaluate(moabb, tmp_path / "a", name, epochs=epochs, cs_mode=mode)
    assert not seen
    scores = evaluate(moabb, tmp_path / "b", name, epochs=epochs, net=net, cs_mode=mode)
    assert len(seen) == 2  # one a subject
    assert all(n_records > 4 and steps == 2 for n_records, steps in seen)
    assert np.isfinite(scores).all()
    assert len(scores) == len(plain)
