"""Windows for pretraining: prepared together, with the numbers of each record alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from biojepa.data.leads import STANDARD_12
from biojepa.data.recording import Recording
from biojepa.data.records import open_records
from biojepa.data.store import SignalStore
from biojepa.data.store_writer import StoreWriter
from biojepa.ecg.inputs import ECGInputs, ECGWindows
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.engine.randomness import BatchKey
from biojepa.errors import MissingLeadWarning

N_TIMES = 200
KINDS = ((500.0, 2000), (100.0, 700), (500.0, 2000), (257.0, 900), (500.0, 600), (100.0, 150))


def ecg(*, rate_hz: float, n_times: int, seed: int, n_leads: int = 12) -> np.ndarray:
    """Smooth millivolts with a wandering baseline, shape (n_leads, n_times)."""
    rng = np.random.default_rng(seed)
    time = np.arange(n_times) / rate_hz
    beat = np.sin(2 * np.pi * (1.1 + 0.1 * seed) * time + rng.random((n_leads, 1)) * 6) ** 9
    return (beat + 0.3 * time + 0.02 * rng.standard_normal(beat.shape)).astype(np.float32)


@pytest.fixture
def store(tmp_path) -> SignalStore:
    """Twelve records of three rates and several lengths, some with gaps or a flat lead."""
    with StoreWriter(tmp_path / "store", channels=STANDARD_12) as writer:
        for k in range(12):
            rate_hz, n_times = KINDS[k % len(KINDS)]
            values = ecg(rate_hz=rate_hz, n_times=n_times, seed=k)
            if k % 4 == 2:
                values[1, 100:140] = np.nan
                values[7] = 0.4
            writer.add(Recording(values, STANDARD_12, rate_hz, record_id=f"r{k}"))
    return SignalStore(tmp_path / "store")


def make_inputs(store: SignalStore, preprocess: ECGPreprocess) -> ECGInputs:
    return ECGInputs(open_records(store, fs=None, channels=None), preprocess)


@pytest.mark.parametrize("normalise", ["record-lead", "record", "none"])
def test_windows_of_a_store_are_those_of_each_record_alone(store, normalise):
    inputs = make_inputs(store, ECGPreprocess(normalise=normalise))
    indices = np.random.default_rng(1).integers(0, len(store), 20)
    key = BatchKey(7, 3, np.arange(20), 20)
    found = ECGWindows(inputs, N_TIMES, in_memory=False).fetch(indices, key)
    assert found.values.shape == (20, 8, N_TIMES)
    shares = key.generator("crop").random(20)
    for row, (index, u) in enumerate(zip(indices, shares, strict=True)):
        length, rate_hz = int(store.lengths[index]), store.rates_hz[index]
        n_times = int(np.ceil(N_TIMES * rate_hz / 100))
        start = int(u * (max(0, length - n_times) + 1))
        alone = inputs.read(int(index), start, min(length, start + n_times)).values[:, :N_TIMES]
        n_there = alone.shape[1]
        np.testing.assert_array_equal(found.values[row, :, :n_there], alone)
        assert bool((found.values[row, :, n_there:] == 0).all())
        assert bool(found.valid[row, :, :n_there].all())
        assert not found.valid[row, :, n_there:].any()
    assert not found.valid.all()


def test_pieces_of_one_length_and_rate_are_prepared_in_one_call(store, monkeypatch):
    sizes = []
    batch = ECGPreprocess.batch

    def counted(self, values, rate_hz, **arguments):
        sizes.append((rate_hz, *np.shape(values)[::2]))
        return batch(self, values, rate_hz, **arguments)

    monkeypatch.setattr(ECGPreprocess, "batch", counted)
    windows = ECGWindows(make_inputs(store, ECGPreprocess()), N_TIMES, in_memory=False)
    windows.fetch(np.arange(12), BatchKey(0, 0, np.arange(12), 12))
    assert sorted(sizes) == [
        (100.0, 2, 150),  # rate, records, samples
        (100.0, 2, 200),
        (257.0, 2, 514),
        (500.0, 2, 600),
        (500.0, 4, 1000),
    ]


def test_a_window_does_not_depend_on_the_others_of_its_batch(store):
    windows = ECGWindows(make_inputs(store, ECGPreprocess()), N_TIMES, in_memory=False)
    indices = np.arange(12)
    whole = windows.fetch(indices, BatchKey(0, 0, np.arange(12), 12)).values
    rows = np.array([4, 0, 9])
    some = windows.fetch(indices[rows], BatchKey(0, 0, rows, 12))
    assert torch.equal(some.values, whole[rows])


def test_records_with_other_leads_are_prepared_apart(tmp_path):
    for k, n_leads in enumerate((2, 12, 2)):
        values = ecg(rate_hz=100, n_times=400, seed=k, n_leads=n_leads)
        header = ",".join(STANDARD_12[:n_leads])
        np.savetxt(tmp_path / f"{k}.csv", values.T, delimiter=",", header=header, comments="")
    paths = [tmp_path / f"{k}.csv" for k in range(3)]
    records = open_records(paths, fs=100, channels=None)
    inputs = ECGInputs(records, ECGPreprocess(leads=("II", "I", "V6")), on_missing="drop")
    with pytest.warns(MissingLeadWarning, match="V6"):
        pieces = inputs.read_pieces([(i, slice(0, 300)) for i in (2, 0, 1)])
    assert [piece.valid.tolist() for piece in pieces] == [[1, 1, 0], [1, 1, 0], [1, 1, 1]]
    for i, piece in zip((2, 0, 1), pieces, strict=True):
        alone = inputs.read(i, 0, 300)
        np.testing.assert_array_equal(piece.values, alone.values)
        np.testing.assert_array_equal(piece.log_scale, alone.log_scale)


def test_windows_of_arrays_are_cut_from_records_prepared_once():
    X = np.stack([ecg(rate_hz=100, n_times=500, seed=seed) for seed in range(4)])
    inputs = ECGInputs(open_records(X, fs=100, channels=STANDARD_12), ECGPreprocess())
    windows = ECGWindows(inputs, N_TIMES, in_memory=True)
    key = BatchKey(0, 5, np.arange(4), 4)
    found = windows.fetch(np.arange(4), key)
    assert found.valid is None
    shares = key.generator("crop").random(4)
    for row, (u, whole) in enumerate(zip(shares, inputs.iterate(), strict=True)):
        start = int(u * (500 - N_TIMES + 1))
        np.testing.assert_array_equal(found.values[row], whole.values[:, start : start + N_TIMES])


def test_stretched_windows_are_the_record_at_another_rate():
    ramp = np.tile(np.arange(500.0), (12, 1))
    inputs = make_inputs_of(ramp)
    plain = ECGWindows(inputs, N_TIMES, in_memory=True)
    windows = ECGWindows(inputs, N_TIMES, in_memory=True, stretch=0.2)
    windows.prepared = plain.prepared = [ramp[:8].astype(np.float32)] * 50
    key = BatchKey(0, 3, np.arange(50), 50)
    found = windows.fetch(np.zeros(50, int), key)
    assert found.valid is None
    slopes = np.diff(found.values.numpy(), axis=2)
    assert np.allclose(slopes, slopes[:, :1, :1], atol=1e-3)
    assert 0.8 <= slopes.min() < 0.85
    assert 1.15 < slopes.max() <= 1.21
    assert found.values.max() <= 499
    assert np.allclose(np.diff(plain.fetch(np.zeros(50, int), key).values.numpy(), axis=2), 1)


def test_a_record_that_is_too_short_to_stretch_is_padded_as_much_as_it_stands_for():
    ramp = np.tile(np.arange(100.0, dtype=np.float32), (8, 1))
    windows = ECGWindows(make_inputs_of(ramp), N_TIMES, in_memory=True, stretch=0.5)
    windows.prepared = [ramp]
    key = BatchKey(0, 3, np.arange(20), 20)
    found = windows.fetch(np.zeros(20, int), key)
    u = key.generator("stretch").random(20)
    spans = np.rint(N_TIMES * (0.5 + u)).astype(int)
    expected = [N_TIMES if n <= 100 else round(100 * N_TIMES / n) for n in spans]
    valid = torch.ones(found.values.shape, dtype=torch.bool) if found.valid is None else found.valid
    assert valid[:, 0].sum(1).tolist() == expected


def make_inputs_of(values):
    """One 12-lead record at 100 Hz."""
    X = np.stack([ecg(rate_hz=100, n_times=values.shape[1], seed=0)])
    return ECGInputs(open_records(X, fs=100, channels=STANDARD_12), ECGPreprocess())
