"""`SignalJEPA` on arrays, MNE objects and files; units, montages, saving, the channel contract."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline

from biojepa.eeg import SignalJEPA
from biojepa.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    LeadError,
    MissingLeadWarning,
    PlausibilityWarning,
)
from tests.conftest import real_data
from tests.eeg.published import TEN_TWENTY, needs_eeg, spatial_blocks
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = TEN_TWENTY[:8]


@pytest.fixture(scope="module")
def X() -> np.ndarray:
    return waves(24, NAMES, n_times=300)


@pytest.fixture(scope="module")
def fitted(X) -> SignalJEPA:
    jepa = SignalJEPA(preset="tiny", steps=4, sfreq=128, ch_names=NAMES, random_state=0)
    return jepa.fit(X)


@pytest.fixture
def jepa(fitted) -> SignalJEPA:
    return pickle.loads(pickle.dumps(fitted))


def epochs_of(X, names=NAMES, sfreq=128.0, bads=()):
    import mne

    info = mne.create_info(list(names), sfreq, "eeg")
    info["bads"] = list(bads)
    return mne.EpochsArray(X * 1e-6, info, verbose="error")


def test_features_are_two_dimensional_float32_and_named(fitted, X):
    features = fitted.transform(X)
    assert features.shape == (24, 64)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()
    assert fitted.get_feature_names_out()[0] == "signaljepa0"
    assert fitted.n_features_in_ == 8


def test_epochs_in_volt_and_arrays_in_microvolt_give_the_same_features(fitted, X):
    wanted = fitted.transform(X)
    assert np.abs(fitted.transform(epochs_of(X)) - wanted).max() <= 1e-5
    volts = clone(fitted).set_params(units="V")
    volts.take(fitted.pretrained())
    assert np.abs(volts.transform(X * 1e-6) - wanted).max() <= 1e-5


def test_fitting_on_epochs_is_fitting_on_arrays(X, fitted):
    other = SignalJEPA(preset="tiny", steps=4, random_state=0).fit(epochs_of(X))
    assert other.model_config_ == fitted.model_config_
    assert np.abs(other.transform(epochs_of(X)) - fitted.transform(X)).max() <= 1e-4


def test_the_order_of_channels_does_not_matter(jepa, X):
    wanted = jepa.transform(X)
    order = np.random.default_rng(0).permutation(8)
    jepa.set_params(ch_names=[NAMES[i].upper() for i in order])
    assert np.abs(jepa.transform(X[:, order]) - wanted).max() <= 1e-5


def test_permuting_channels_permutes_tokens(jepa, X):
    wanted = jepa.encode(X[:3])
    order = np.random.default_rng(1).permutation(8)
    jepa.set_params(ch_names=[NAMES[i] for i in order])
    for own, other in zip(wanted, jepa.encode(X[:3, order]), strict=True):
        assert np.abs(own[order] - other).max() <= 1e-5


def test_a_model_of_62_channels_gives_features_of_22_and_of_8():
    cap = spatial_blocks()["montages"]["lee62"]["channels"]
    bnci = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split()
    jepa = SignalJEPA(preset="tiny", steps=1, batch_size=4, sfreq=128, ch_names=cap)
    jepa.set_params(random_state=0).fit(waves(4, cap, n_times=300))
    ssvep = ["Oz", "O1", "O2", "PO3", "POz", "PO7", "PO8", "PO4"]
    for names, sfreq in ((bnci, 250.0), (ssvep, 256.0)):
        x = waves(3, names, n_times=800, sfreq=sfreq)
        features = jepa.set_params(ch_names=names, sfreq=sfreq).transform(x)
        assert features.shape == (3, 64)
        assert np.isfinite(features).all()
        placed = jepa.channels_
        assert {n.lower() for n in (*placed.matched, *placed.looked_up)} == {
            n.lower() for n in names
        }
    assert placed.looked_up == ("PO7", "PO8")


def test_one_nameless_channel_has_the_learned_unknown_place_and_a_named_one_its_own(X):
    single = SignalJEPA(preset="tiny", steps=2, sfreq=128, random_state=0).fit(X[:, 0])
    assert single.model_config_.positions == ((0.0, 0.0, 0.0),)
    assert single.transform(X[:, 0]).shape == (24, 64)
    named = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=["Fp1"], random_state=0)
    assert named.fit(X[:, 0]).channels_.looked_up == ("Fp1",)
    assert np.array_equal(named.transform(X[:, 0]), named.transform(X[:, :1]))


def test_a_model_states_its_reference_filters_and_unit(tmp_path, fitted):
    fitted.save_pretrained(tmp_path / "model")
    stored = json.loads((tmp_path / "model" / "config.json").read_text())
    assert stored["preprocess"]["reference"] == "average"
    assert stored["preprocess"]["bandpass_hz"] == [0.5, 40.0]
    assert stored["preprocess"]["rate_hz"] == 128.0
    assert stored["units"] == "uV"
    assert stored["model"]["channels"] == NAMES


def test_the_report_of_channels_is_printed_when_asked_for(jepa, X, capsys):
    names = [*NAMES[:6], "EXG1", "FTT9h"]
    jepa.set_params(ch_names=names, on_unknown="drop", verbose=True).transform(X)
    said = capsys.readouterr().out
    for line in ("7 of 8 channels used", "matched (6): ", "looked up (1): FTT9h", "(1): EXG1"):
        assert line in said


def test_a_model_of_eight_channels_takes_other_montages(jepa):
    for names in (TEN_TWENTY, ["Oz", "POz"], ["EEG C3-REF"], ["FTT9h", "cz"]):
        few = waves(3, ["Cz"], n_times=500).repeat(len(names), axis=1)
        few += np.random.default_rng(0).standard_normal(few.shape)
        features = jepa.set_params(ch_names=names).transform(few)
        assert features.shape == (3, 64)
        assert np.isfinite(features).all()
    assert jepa.channels_.matched == ()
    assert jepa.channels_.looked_up == ("FTT9h", "Cz")


def test_unknown_channels_are_an_error_or_dropped_and_reported(jepa, X):
    names = [*NAMES[:6], "EXG1", "Fp1-F7"]
    with pytest.raises(LeadError, match="EXG1, Fp1-F7"):
        jepa.set_params(ch_names=names).transform(X)
    dropped = jepa.set_params(on_unknown="drop").transform(X)
    assert jepa.channels_.dropped == ("EXG1", "Fp1-F7")
    without = jepa.set_params(ch_names=NAMES[:6]).transform(X[:, :6])
    assert np.abs(dropped - without).max() <= 1e-6


def test_channels_of_another_system_need_their_positions(jepa, X):
    names = [f"E{i}" for i in range(1, 9)]
    with pytest.raises(LeadError, match="E1"):
        jepa.set_params(ch_names=names).transform(X)
    jepa.set_params(montage="GSN-HydroCel-129").transform(X)
    assert len(jepa.channels_.supplied) == 8
    with pytest.raises(DataError, match="montage"):
        jepa.set_params(montage="my cap").transform(X)


def test_the_same_name_in_another_system_is_the_supplied_place(jepa, X):
    names = [f"A{i}" for i in range(1, 9)]  # of BioSemi; A1 and A2 are ears in the 10-05 system
    jepa.set_params(ch_names=names, montage="biosemi128").transform(X)
    assert jepa.channels_.supplied == tuple(names)


def test_epochs_without_a_montage_are_looked_up_and_never_nan(fitted, X):
    epochs = epochs_of(X)
    assert np.isnan(epochs.info["chs"][0]["loc"][:3]).all()
    assert np.isfinite(fitted.transform(epochs)).all()


def test_bad_channels_are_left_out_with_a_warning_and_others_are_no_eeg(jepa, X):
    import mne

    with pytest.warns(MissingLeadWarning, match="Fz"):
        features = jepa.transform(epochs_of(X, bads=["Fz"]))
    keep = [i for i, name in enumerate(NAMES) if name != "Fz"]
    jepa.set_params(ch_names=[NAMES[i] for i in keep])
    assert np.abs(features - jepa.transform(X[:, keep])).max() <= 1e-5
    info = mne.create_info([*NAMES[:7], "EOG"], 128.0, ["eeg"] * 7 + ["eog"])
    jepa.transform(mne.EpochsArray(X * 1e-6, info, verbose="error"))
    assert jepa.channels_.names == tuple(NAMES[:7])
    info["bads"] = NAMES[:7]
    with pytest.raises(LeadError, match="bad"):
        jepa.transform(mne.EpochsArray(X * 1e-6, info, verbose="error"))


def test_a_lost_channel_does_not_spoil_the_others(fitted, X):
    broken = X.copy()
    broken[3, 2] = np.nan
    broken[4, 5] = 7.0
    features = fitted.transform(broken)
    assert np.isfinite(features).all()
    untouched = [i for i in range(24) if i not in (3, 4)]
    assert np.abs(features[untouched] - fitted.transform(X)[untouched]).max() <= 1e-6


def test_a_channel_that_is_bad_in_some_recordings_is_missing_there_alone(jepa, X):
    bad, good = epochs_of(X[:3], bads=["Fz"]), epochs_of(X[3:6])
    with pytest.warns(MissingLeadWarning, match="Fz"):
        features = jepa.transform([bad, good])
    assert jepa.channels_.names == tuple(NAMES)
    with pytest.warns(MissingLeadWarning, match="Fz"):
        alone = jepa.transform(bad)
    assert np.abs(features[:3] - alone).max() <= 1e-5
    assert np.abs(features[3:] - jepa.transform(good)).max() <= 1e-5


def test_raw_is_cut_into_windows_after_filtering(jepa, X):
    import mne

    long = np.concatenate(list(X[:6]), axis=1)
    raw = mne.io.RawArray(long * 1e-6, mne.create_info(NAMES, 128.0, "eeg"), verbose="error")
    window = jepa.model_config_.n_times
    features = jepa.transform(raw)
    assert features.shape == (1800 // window, 64)
    assert jepa.transform([raw, raw]).shape == (2 * (1800 // window), 64)
    again = SignalJEPA(preset="tiny", steps=2, random_state=0).fit([raw, raw])
    assert again.training_["n_records"] == 2


def test_files_are_read_and_cut_into_windows(tmp_path, jepa, X):
    import mne

    long = np.concatenate(list(X[:6]), axis=1)
    raw = mne.io.RawArray(long * 1e-6, mne.create_info(NAMES, 128.0, "eeg"), verbose="error")
    for name in ("a", "b"):
        raw.save(tmp_path / f"{name}_raw.fif", verbose="error")
    assert np.abs(jepa.transform(tmp_path / "a_raw.fif") - jepa.transform(raw)).max() <= 1e-4
    assert jepa.transform(tmp_path).shape[0] == 2 * jepa.transform(raw).shape[0]


def test_a_record_gets_the_same_features_alone(fitted, X):
    whole = fitted.transform(X)
    for index in (0, 7):
        assert np.abs(fitted.transform(X[[index]])[0] - whole[index]).max() <= 1e-6
    assert np.abs(fitted.transform(list(X)) - whole).max() <= 1e-6


def test_records_of_any_rate_and_length_are_taken(jepa):
    names = NAMES[:3]
    jepa.set_params(ch_names=names)
    for sfreq, n_times in ((1000.0, 4000), (100.0, 250), (250.0, 100), (64.0, 700)):
        x = waves(2, names, n_times=n_times, sfreq=sfreq)
        assert jepa.set_params(sfreq=sfreq).transform(x).shape == (2, 64)
    lists = [waves(1, names, n_times=n)[0] for n in (300, 1000, 90)]
    assert jepa.set_params(sfreq=128.0).transform(lists).shape == (3, 64)


def test_volts_given_as_microvolts_warn_with_the_fix(fitted, X):
    with pytest.warns(PlausibilityWarning, match="units='V'"):
        fitted.transform(X * 1e-6)


def test_arbitrary_units_give_the_same_at_any_scale(jepa, X):
    jepa.set_params(units="arbitrary")
    assert np.abs(jepa.transform(X * 1e-4) - jepa.transform(X * 1e5)).max() <= 1e-4


def test_nothing_is_changed_and_tokens_have_channel_and_time(fitted, X):
    before = X.copy()
    tokens = fitted.encode(X[:2])
    assert np.array_equal(X, before)
    assert [t.shape for t in tokens] == [(8, 2, 32)] * 2


def test_several_layers_stand_side_by_side(jepa, X):
    both = jepa.set_params(layer=[0, 1], pool="mean").transform(X[:2])
    last = jepa.set_params(layer=-1).transform(X[:2])
    assert both.shape == (2, 64)
    assert np.abs(both[:, 32:] - last).max() <= 1e-6
    assert np.array_equal(jepa.set_params(layer="all").transform(X[:2]), both)
    with pytest.raises(ConfigError, match="register"):
        jepa.set_params(pool="register").transform(X[:2])
    with pytest.raises(ConfigError, match="layer"):
        jepa.set_params(pool="mean", layer=5).transform(X[:2])


@pytest.mark.parametrize("downstream", ["context", "target"])
def test_features_come_from_the_network_that_the_model_names(X, downstream):
    jepa = SignalJEPA(
        preset="tiny",
        steps=8,
        lr=0.01,
        sfreq=128,
        ch_names=NAMES,
        pool="mean",
        model={"downstream": downstream, "momentum_start": 1.0, "momentum_end": 1.0},
        random_state=0,
    ).fit(X)
    X = X[:2, :, : jepa.model_config_.n_times]  # one window
    moved = jepa.transform(X)
    mean = [tokens.mean(axis=(0, 1)) for tokens in jepa.encode(X)]
    assert np.allclose(moved, mean, atol=1e-5)
    inner = jepa.jepa_.encoder.contextual
    frozen = jepa.jepa_.target_encoder
    inner.load_state_dict(frozen.state_dict())
    still = np.allclose(jepa.transform(X), moved, atol=1e-6)
    assert still == (downstream == "target")


def test_a_saved_model_gives_the_same_features(tmp_path, fitted, X):
    fitted.save_pretrained(tmp_path / "model")
    again = SignalJEPA.from_pretrained(tmp_path / "model").set_params(sfreq=128, ch_names=NAMES)
    assert np.array_equal(again.transform(X), fitted.transform(X))
    assert again.preprocess_ == fitted.preprocess_
    assert again.training_ == fitted.training_
    nameless = SignalJEPA.from_pretrained(tmp_path / "model").set_params(sfreq=128)
    assert np.array_equal(nameless.transform(X), fitted.transform(X))
    weights = tmp_path / "model" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(CheckpointError, match="damaged"):
        SignalJEPA.from_pretrained(tmp_path / "model")


def test_pretraining_goes_on_from_a_model_on_another_montage(tmp_path, fitted):
    fitted.save_pretrained(tmp_path / "model")
    other = waves(16, TEN_TWENTY, n_times=300, seed=1)
    jepa = SignalJEPA(
        preset="tiny", steps=3, sfreq=128, ch_names=TEN_TWENTY, init=tmp_path / "model"
    )
    jepa.set_params(random_state=0).fit(other)
    assert jepa.model_config_.channels == tuple(NAMES)
    old = fitted.jepa_.encoder.feature_encoder[1][0].weight
    assert not old.equal(jepa.jepa_.encoder.feature_encoder[1][0].weight)


def test_the_same_seed_gives_the_same_model(X, fitted):
    again = clone(fitted).fit(X)
    assert np.array_equal(again.transform(X), fitted.transform(X))
    other = clone(fitted).set_params(random_state=1).fit(X)
    assert not np.allclose(other.transform(X), fitted.transform(X))


@pytest.mark.parametrize("masks", ["paper", "config", "space-time"])
def test_every_kind_of_mask_trains(X, masks):
    jepa = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=NAMES, model={"masks": masks})
    jepa.set_params(random_state=0, regulariser="none").fit(X)
    assert np.isfinite(jepa.history_[-1]["loss"])


def test_it_works_inside_pipelines_and_searches(X):
    y = np.arange(24) % 2
    jepa = SignalJEPA(preset="tiny", steps=2, sfreq=128, ch_names=NAMES, random_state=0)
    line = make_pipeline(jepa, LogisticRegression())
    groups = np.repeat(np.arange(6), 4)
    scores = cross_val_score(line, X, y, cv=GroupKFold(2), groups=groups)
    assert len(scores) == 2
    search = GridSearchCV(line, {"signaljepa__pool": ["mean", "mean_std"]}, cv=2).fit(X, y)
    assert search.best_params_


def test_what_cannot_be_used_says_so(X):
    small = {"preset": "tiny", "steps": 1, "random_state": 0}
    with pytest.raises(LeadError, match="ch_names"):
        SignalJEPA(**small, sfreq=128).fit(X)
    with pytest.raises(DataError, match="sfreq"):
        SignalJEPA(**small, ch_names=NAMES).fit(X)
    with pytest.raises(DataError, match="at least 2 records"):
        SignalJEPA(**small, ch_names=NAMES, sfreq=128).fit(X[:1])
    with pytest.raises(LeadError, match="8 channels"):
        SignalJEPA(**small, ch_names=NAMES, sfreq=128).fit(X[:, :5])
    with pytest.raises(ConfigError, match="did you mean 'tiny'"):
        SignalJEPA(preset="tny").fit(X)
    with pytest.raises(DataError, match="empty"):
        SignalJEPA(**small).fit(epochs_of(X)[:0])


def test_it_runs_on_real_eegmmidb_recordings():
    folder = real_data("eeg/eegmmidb/MNE-eegbci-data/files/eegmmidb/1.0.0/S001")
    jepa = SignalJEPA(preset="tiny", steps=3, random_state=0).fit(folder)
    assert len(jepa.channels_.names) == 64
    features = jepa.transform(folder / "S001R04.edf")
    assert np.isfinite(features).all()
    assert features.std(axis=0).mean() > 1e-3
