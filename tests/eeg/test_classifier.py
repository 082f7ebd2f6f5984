"""`SignalJEPAClassifier`: architectures, regimes, the paper's protocol, channels, saving."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import cross_val_score

from biojepa.eeg import SignalJEPA, SignalJEPAClassifier
from biojepa.errors import CheckpointError, ConfigError, DataError, LeadError
from tests.eeg.published import TEN_TWENTY, needs_eeg
from tests.eeg.test_estimator import epochs_of
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = TEN_TWENTY[:6]
COMBINATIONS = [
    (architecture, regime)
    for architecture in ("pre-local", "post-local", "contextual")
    for regime in ("new", "full", "linear")
    if (architecture, regime) != ("pre-local", "linear")
]


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    """Two classes that differ in the power of one channel and in a rhythm of another."""
    X, y = waves(60, NAMES, n_times=300), np.arange(60) % 2
    rhythm = np.sin(2 * np.pi * 11 * np.arange(300) / 128)
    X[y == 1, 0] *= 3
    X[y == 1, 3] += 25 * rhythm
    return X, y


@pytest.fixture(scope="module")
def encoder(data, tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("eeg") / "model"
    jepa = SignalJEPA(preset="tiny", steps=10, sfreq=128, ch_names=NAMES, random_state=0)
    jepa.fit(data[0]).save_pretrained(folder)
    return str(folder)


def classifier(**options) -> SignalJEPAClassifier:
    defaults = {"preset": "tiny", "epochs": 25, "sfreq": 128, "ch_names": NAMES, "random_state": 0}
    return SignalJEPAClassifier(**(defaults | {"lr": 5e-3} | options))


@pytest.mark.parametrize(("architecture", "regime"), COMBINATIONS)
def test_every_network_learns_a_strong_difference(data, encoder, architecture, regime):
    X, y = data
    net = classifier(architecture=architecture, regime=regime, encoder=encoder, warmup_epochs=3)
    net.set_params(C=1.0).fit(X[:40], y[:40])
    assert net.predict_proba(X[40:]).shape == (20, 2)
    assert np.allclose(net.predict_proba(X[40:]).sum(1), 1)
    assert net.score(X[40:], y[40:]) >= 0.75


def test_regime_new_leaves_the_encoder_alone_and_full_does_not(data, encoder):
    X, y = data
    before = SignalJEPA.from_pretrained(encoder).jepa_.encoder.state_dict()
    moved = {}
    for regime in ("new", "full"):
        net = classifier(regime=regime, encoder=encoder, epochs=3, warmup_epochs=0).fit(X, y)
        after = net.network_.encoder.state_dict()
        moved[regime] = {k for k in before if not torch.equal(before[k], after[k])}
    assert not moved["new"]
    assert moved["full"] == {k for k in before if k.startswith("feature_encoder")}


def test_the_encoder_waits_until_the_warm_up_is_over(data, encoder):
    X, y = data
    before = SignalJEPA.from_pretrained(encoder).jepa_.encoder.feature_encoder[1][0].weight
    for epochs, waits in ((3, True), (6, False)):
        options = {"regime": "full", "warmup_epochs": 4, "patience": None, "epochs": epochs}
        net = classifier(encoder=encoder, **options).fit(X, y)
        own = net.network_.encoder.feature_encoder[1][0].weight
        assert torch.equal(own, before) == waits


def test_training_stops_early_with_the_best_weights(data):
    X, y = data
    noise = np.random.default_rng(0).permutation(y)
    net = classifier(epochs=200, patience=3, lr=3e-2).fit(X, noise)
    losses = [row["val_loss"] for row in net.history_ if "val_loss" in row]
    assert len(losses) < 200
    assert len(losses) - 1 - int(np.argmin(losses)) <= 3


def test_held_out_records_share_no_group_with_the_rest(data, monkeypatch):
    from biojepa.eeg import finetune

    seen = []
    split = finetune.patient_folds
    monkeypatch.setattr(
        finetune, "patient_folds", lambda *a, **k: seen.append(a[0]) or split(*a, **k)
    )
    X, y = data
    groups = np.repeat(np.arange(10), 6)
    classifier(epochs=2).fit(X, y, groups=groups)
    assert np.array_equal(seen[0], groups)
    with pytest.raises(DataError, match="groups"):
        classifier(epochs=1).fit(X, y, groups=groups[:5])


def test_epochs_and_arrays_give_the_same_answer_and_channels_are_found_by_name(data, encoder):
    X, y = data
    net = classifier(encoder=encoder, epochs=5).fit(X, y)
    wanted = net.decision_function(X)
    assert np.abs(net.decision_function(epochs_of(X, NAMES)) - wanted).max() <= 1e-4
    order = [3, 1, 5, 0, 2, 4]
    turned = pickle.loads(pickle.dumps(net)).set_params(ch_names=[NAMES[i] for i in order])
    assert np.abs(turned.decision_function(X[:, order]) - wanted).max() <= 1e-4
    with pytest.raises(LeadError, match=NAMES[5]):
        turned.set_params(ch_names=NAMES[:5]).predict(X[:, :5])


def test_a_record_gets_the_same_answer_alone(data, encoder):
    X, y = data
    for regime, architecture in (("new", "contextual"), ("linear", "contextual")):
        net = classifier(encoder=encoder, regime=regime, architecture=architecture, epochs=3)
        whole = net.fit(X, y).decision_function(X)
        assert abs(net.decision_function(X[[7]])[0] - whole[7]) <= 1e-5


def test_random_weights_are_the_control_and_the_seed_decides(data):
    X, y = data
    a, b = (classifier(epochs=3).fit(X, y).decision_function(X) for _ in range(2))
    assert np.array_equal(a, b)
    other = classifier(epochs=3, random_state=1).fit(X, y).decision_function(X)
    assert not np.allclose(a, other)


def test_pretraining_goes_on_with_an_unlabelled_target(data, encoder):
    X, y = data
    before = SignalJEPA.from_pretrained(encoder)
    net = classifier(architecture="contextual", regime="linear", encoder=encoder, adapt_steps=3)
    plain = net.fit(X[:40], y[:40]).predict_proba(X[40:])
    adapted = net.fit(X[:40], y[:40], X_target_unlabeled=X[40:]).predict_proba(X[40:])
    assert not np.allclose(adapted, plain, atol=1e-4)
    assert np.array_equal(
        adapted, net.fit(X[:40], y[:40], X_target_unlabeled=X[40:]).predict_proba(X[40:])
    )
    after = SignalJEPA.from_pretrained(encoder)
    for own, other in zip(before.jepa_.parameters(), after.jepa_.parameters(), strict=True):
        assert torch.equal(own, other)


@pytest.mark.parametrize(
    ("architecture", "regime"), [("contextual", "full"), ("post-local", "linear")]
)
def test_a_saved_classifier_gives_the_same_answer(tmp_path, data, encoder, architecture, regime):
    X, y = data
    labels = np.array(["left", "right"])[y]
    net = classifier(architecture=architecture, regime=regime, encoder=encoder, epochs=2)
    net.fit(X, labels).save_pretrained(tmp_path / "net")
    again = SignalJEPAClassifier.from_pretrained(tmp_path / "net")
    again.set_params(sfreq=128, ch_names=NAMES)
    assert np.allclose(again.predict_proba(X), net.predict_proba(X), atol=1e-6)
    assert again.classes_.tolist() == ["left", "right"]
    with pytest.raises(CheckpointError, match="kind"):
        SignalJEPA.from_pretrained(tmp_path / "net")
    config = tmp_path / "net" / "config.json"
    config.write_text(config.read_text().replace('"labels"', '"lables"'))
    with pytest.raises(CheckpointError, match="labels"):
        SignalJEPAClassifier.from_pretrained(tmp_path / "net", verify=False)


def test_a_fitted_estimator_is_an_encoder_once_it_is_frozen(data, encoder):
    X, y = data
    jepa = SignalJEPA.from_pretrained(encoder)
    with pytest.raises(ConfigError, match="FrozenEstimator"):
        classifier(encoder=jepa).fit(X, y)
    for bad in (FrozenEstimator(LeadError), 3):
        with pytest.raises(ConfigError, match="encoder=|FrozenEstimator"):
            classifier(encoder=bad).fit(X, y)
    frozen = classifier(encoder=FrozenEstimator(jepa), epochs=2)
    assert np.array_equal(
        clone(frozen).fit(X, y).decision_function(X),
        classifier(encoder=encoder, epochs=2).fit(X, y).decision_function(X),
    )


def test_labels_may_be_columns_with_unknown_entries(data, encoder):
    X, y = data
    Y = np.stack([y, 1 - y], axis=1).astype(float)
    Y[:3, 1] = np.nan
    net = classifier(encoder=encoder, epochs=5).fit(X, Y)
    assert net.predict_proba(X).shape == (60, 2)
    assert set(np.unique(net.predict(X))) <= {0.0, 1.0}


def test_it_works_in_cross_validation_with_few_trials(data, encoder):
    X, y = data
    net = classifier(encoder=encoder, epochs=4, class_weight="balanced")
    assert len(cross_val_score(net, X[:12], y[:12], cv=3)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"architecture": "local"},
        {"regime": "frozen"},
        {"architecture": "pre-local", "regime": "linear"},
        {"epochs": 0},
        {"lr": 0.0},
        {"validation_fraction": 0.9},
        {"warmup_epochs": -1},
        {"precision": "fp8"},
        {"class_weight": "equal"},
    ],
)
def test_settings_out_of_range_are_refused(data, options):
    with pytest.raises(ConfigError):
        classifier(**options).fit(*data)


def test_records_of_other_lengths_are_refused(data, encoder):
    X, y = data
    with pytest.raises(DataError, match="one length"):
        classifier(encoder=encoder, epochs=1).fit([*X[:30], *X[30:, :, :250]], y)
    net = classifier(encoder=encoder, epochs=1).fit(X, y)
    with pytest.raises(DataError, match="300 samples"):
        net.predict(X[:, :, :250])


def test_training_on_several_montages_names_the_channels_to_pick(data, encoder):
    X, y = data
    many = [
        epochs_of(X[:30], NAMES),
        epochs_of(X[30:, [5, 3, 1, 0]], [NAMES[i] for i in (5, 3, 1, 0)]),
    ]
    with pytest.raises(LeadError, match="got 2 montages .of 6, 4 channels") as caught:
        classifier(encoder=encoder, epochs=1).fit(many, y)
    common = [NAMES[i] for i in (0, 1, 3, 5)]
    assert f"pick the 4 that all records have, {', '.join(common)}" in str(caught.value)
    picked = [epochs.copy().pick(common) for epochs in many]
    net = classifier(encoder=encoder, epochs=2).fit(picked, y)
    assert net.channels_ == tuple(common)
    apart = [epochs_of(X[:30, :2], NAMES[:2]), epochs_of(X[30:, 3:], NAMES[3:])]
    with pytest.raises(LeadError, match="share no channel: fit one classifier for each"):
        classifier(encoder=encoder, epochs=1).fit(apart, y)


@pytest.mark.parametrize("regime", ["new", "linear"])
def test_records_of_several_montages_are_predicted_by_their_common_channels(data, encoder, regime):
    X, y = data
    options = {"architecture": "contextual", "regime": regime, "encoder": encoder, "epochs": 2}
    net = classifier(**options, ch_names=NAMES[:4]).fit(X[:, :4], y)
    whole = net.decision_function(epochs_of(X[:, :4], NAMES[:4]))
    order = [4, 2, 0, 3, 1]
    mixed = [
        epochs_of(X[:20], NAMES),
        epochs_of(X[20:45][:, order], [NAMES[i] for i in order]),
        epochs_of(X[45:, :4], NAMES[:4]),
    ]
    assert np.abs(net.decision_function(mixed) - whole).max() <= 1e-4
    mixed[1] = epochs_of(X[20:45, 1:], NAMES[1:])
    with pytest.raises(LeadError, match=f"{NAMES[0]} are missing"):
        net.decision_function(mixed)
