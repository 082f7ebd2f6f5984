"""Windows for pretraining: of stores with what the filters need, and one montage a batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.data.eeg_records import open_eeg
from biojepa.data.eeg_store import prepare_eeg
from biojepa.eeg import SignalJEPA
from biojepa.eeg.inputs import open_inputs
from biojepa.eeg.preprocess import EEGPreprocess
from biojepa.eeg.windows import EEGWindows, MixedWindows, pretraining_windows
from biojepa.engine.plan import GroupedPlan
from biojepa.engine.randomness import BatchKey
from tests.data.eeg_factory import write_fif
from tests.eeg.published import needs_eeg

pytestmark = needs_eeg
ONE, OTHER = ("Fz", "C3", "Cz", "Oz"), ("Pz", "POz", "O1")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("windows")
    for k, names in enumerate((ONE, OTHER, ONE)):
        write_fif(folder / f"{k}_raw.fif", names, n_times=6000, sfreq=200.0, seed=k)
    return sorted(folder.glob("*.fif"))


@pytest.fixture(scope="module")
def store(files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores") / "s"
    prepare_eeg(files, folder)
    return folder


def windows_of(source, n_times=280):
    inputs = open_inputs(source, EEGPreprocess(), model={}, shortest=280, window=n_times)
    return pretraining_windows(inputs, n_times)


def key(n):
    return BatchKey(0, 0, np.arange(n), n)


def test_a_record_of_a_store_is_as_many_windows_as_fit(store, files):
    windows = windows_of(open_eeg(store))
    assert isinstance(windows, MixedWindows)
    assert len(windows) == len(windows_of(open_eeg(files))) == 3 * (6000 * 128 // 200 // 280)


def test_a_window_of_a_store_is_that_of_the_whole_filtered_recording(tmp_path):
    write_fif(tmp_path / "a_raw.fif", ONE, n_times=4000)
    prepare_eeg([tmp_path / "a_raw.fif"], tmp_path / "s")
    windows = windows_of(open_eeg(tmp_path / "s"))
    assert isinstance(windows, EEGWindows)
    whole = windows.inputs.read(0).values
    for index, u in ((5, 0.3), (8, 0.9)):
        start = int((index + u) / len(windows) * 4000)
        gap = np.abs(whole[:, start : start + 280] - windows._read(index, u).values).max()
        assert gap < 1.0  # microvolt, of 15: what the filters know of the recording further off


def test_every_start_of_a_record_can_be_drawn_and_none_leaves_it(store):
    part = windows_of(open_eeg(store)).parts[0]
    for index in (0, len(part) - 1):
        for u in (0.0, 0.5, 1 - 1e-9):
            assert part._read(index, u).values.shape == (3, 280)


def test_a_batch_holds_one_montage(store):
    windows = windows_of(open_eeg(store))
    plan = windows.plan(4, 0)
    assert isinstance(plan, GroupedPlan)
    seen = set()
    for step in range(plan.steps_per_epoch):
        batch = windows.fetch(plan.indices(step), key(4))
        assert batch.values.shape == (4, len(batch.positions), 280)
        seen.add(len(batch.positions))
    assert seen == {4, 3}


def test_one_montage_needs_no_plan(files):
    windows = windows_of(open_eeg([files[0], files[2]]))
    assert windows.plan(4, 0) is None
    assert torch.isfinite(windows.fetch(np.arange(3), key(3)).values).all()


def test_mixed_montages_are_trained_on_and_features_come_in_the_order_of_the_files(files, store):
    jepa = SignalJEPA(preset="tiny", steps=4, batch_size=4, random_state=0).fit(files)
    assert jepa.model_config_.channels == (*ONE, *OTHER)
    assert jepa.channels_.looked_up == (*ONE, *OTHER)
    assert jepa.training_["n_records"] == 3
    features = jepa.transform(files)
    alone = np.concatenate([jepa.transform(file) for file in files])
    assert np.abs(features - alone).max() <= 1e-5
    tokens = jepa.encode([files[1], files[0]])
    assert [t.shape[0] for t in tokens] == [3] * 13 + [4] * 13
    by_montage = np.concatenate([features[13:26], features[:13], features[26:]])
    assert np.abs(jepa.transform(store) - by_montage).max() < 0.02  # 16 bits a sample
    assert SignalJEPA(preset="tiny", steps=2, random_state=0).fit(store).history_
