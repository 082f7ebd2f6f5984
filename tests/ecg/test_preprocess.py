"""From raw leads to the model's input: published numbers, recipes, damaged and odd recordings."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import signal

from biojepa.data.leads import INDEPENDENT_8, STANDARD_12
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.preprocess import ECGPreprocess
from biojepa.errors import ConfigError, DataError, LeadError
from tests.conftest import PARITY, real_data

# Published constants of CODE-15 after removal of the baseline, millivolt.
CODE15_STD = (0.488, 0.450, 0.437, 0.416, 0.405, 0.370, 0.548, 0.639, 0.719, 0.695, 0.676, 0.639)
CODE15 = LeadStats(STANDARD_12, (0.0,) * 12, CODE15_STD)
MIMIC_LEADS = ("I", "II", "III", "aVR", "aVF", "aVL", "V1", "V2", "V3", "V4", "V5", "V6")
UNIT = LeadStats(STANDARD_12, (0.0,) * 12, (1.0,) * 12)


@pytest.fixture(scope="module")
def official() -> dict[str, np.ndarray]:
    with np.load(PARITY / "ecg" / "preprocess.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def ecg(n_leads: int = 8, n_times: int = 5000, rate_hz: float = 500.0, seed: int = 0) -> np.ndarray:
    """Spikes at 1.2 Hz with wander and noise, millivolt, float32."""
    rng = np.random.default_rng(seed)
    t = np.arange(n_times) / rate_hz
    beats = np.exp(-0.5 * (((t * 1.2) % 1 - 0.5) / 0.02) ** 2)
    size = rng.uniform(0.3, 1.5, (n_leads, 1))
    wander = 0.2 * np.sin(2 * np.pi * 0.2 * t + rng.uniform(0, 6, (n_leads, 1)))
    noise = 0.02 * rng.standard_normal((n_leads, n_times))
    return (size * beats + wander + noise).astype(np.float32)


def test_published_interpolation_is_matched(official):
    out = ECGPreprocess.paper(UNIT, rate_hz=400)(official["raw_float16"].T, 400)
    assert np.isnan(official["raw_float16"]).any()
    np.testing.assert_allclose(out.values.T, official["interp_only"], atol=2e-2)
    assert "interpolated" in " ".join(out.notes)


def test_published_high_pass_is_matched(official):
    prepare = ECGPreprocess.paper(UNIT, rate_hz=400, highpass_hz=0.5)
    out = prepare(official["raw_float16"].T, 400)
    np.testing.assert_allclose(out.values.T, official["highpass_400hz"], atol=2e-2)


def test_published_code15_chain_is_matched(official):
    out = ECGPreprocess.paper(CODE15)(official["raw_float16"].T, 400)
    assert out.values.shape == (12, 5120)
    np.testing.assert_allclose(out.values.T, official["code15_to_500hz"], atol=2e-2)


def test_constants_follow_the_leads_by_name_as_for_mimic(official):
    stats = LeadStats(MIMIC_LEADS, tuple(range(12)), tuple(range(1, 13)))
    assert stats.order(STANDARD_12) == official["mimic_channel_order"].tolist()
    prepare = ECGPreprocess.paper(stats)
    assert prepare.mean[4:6] == (5, 4)
    assert prepare.std[4:6] == (6, 5)
    upper = LeadStats(tuple(n.upper() for n in MIMIC_LEADS), stats.mean, stats.std)
    assert ECGPreprocess.paper(upper) == prepare
    with pytest.raises(LeadError, match="V7"):
        stats.order(("I", "V7"))


def recipe_of_the_extra_set(values: np.ndarray) -> np.ndarray:
    """Butterworth order 4, 0.5-40 Hz, filtfilt at 500 Hz, z-score per lead, every 5th sample."""
    b, a = signal.butter(4, [0.5, 40], "bandpass", fs=500)
    x = signal.filtfilt(b, a, values.astype(np.float64), axis=-1)
    return ((x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True))[:, ::5]


def correlations(a: np.ndarray, b: np.ndarray) -> list[float]:
    return [float(np.corrcoef(u, v)[0, 1]) for u, v in zip(a, b, strict=True)]


def test_small_chain_agrees_with_filtering_at_500_hz_and_taking_every_5th_sample():
    out = ECGPreprocess(clip=None)(ecg(), 500)
    assert out.values.shape == (8, 1000)
    assert min(correlations(out.values, recipe_of_the_extra_set(ecg()))) > 0.999


def test_small_chain_gives_what_the_extra_set_holds_on_real_ptb_xl_records():
    wfdb = pytest.importorskip("wfdb")
    headers = sorted(real_data("ecg/ptbxl/records500").rglob("*.hea"))[:10]
    lowest = 1.0
    for header in headers:
        record = wfdb.rdrecord(str(header.with_suffix("")))
        names = [name.upper() for name in record.sig_name]
        values = record.p_signal.T[[names.index(lead.upper()) for lead in INDEPENDENT_8]]
        out = ECGPreprocess(clip=None)(values, record.fs)
        lowest = min(lowest, *correlations(out.values, recipe_of_the_extra_set(values)))
    assert lowest > 0.999


def test_real_100_and_500_hz_files_of_a_record_look_alike_to_the_model():
    wfdb = pytest.importorskip("wfdb")
    root = real_data("ecg/ptbxl")
    found = []
    for header in sorted((root / "records500").rglob("*.hea"))[:10]:
        slow = root / "records100" / header.parent.name / header.stem.replace("_hr", "_lr")
        fast_record = wfdb.rdrecord(str(header.with_suffix("")))
        slow_record = wfdb.rdrecord(str(slow))
        prepare = ECGPreprocess(leads=STANDARD_12, clip=None)
        a = prepare(fast_record.p_signal.T, 500).values
        b = prepare(slow_record.p_signal.T, 100).values
        # PTB-XL's 100 Hz files ring at their last samples, up to 1 mV: not this package's doing
        found += correlations(a[:, 100:-100], b[:, 100:-100])
    assert np.median(found) > 0.98


def test_z_score_and_scale_by_hand():
    prepare = ECGPreprocess(leads=("I", "II"), bandpass_hz=None, clip=None)
    values = np.array([[0.0, 2.0, 0.0, 2.0], [0.0, 0.0, 0.0, 4.0]])
    out = prepare(values, 100)
    np.testing.assert_allclose(out.values[0], [-1, 1, -1, 1], rtol=1e-6)
    np.testing.assert_allclose(out.log_scale, np.log([1.0, np.sqrt(3)]), rtol=1e-6)
    whole = ECGPreprocess(leads=("I", "II"), bandpass_hz=None, clip=None, normalise="record")
    np.testing.assert_allclose(whole(values, 100).values, (values - 1) / np.sqrt(2), rtol=1e-6)
    raw = ECGPreprocess(leads=("I", "II"), bandpass_hz=None, clip=3.0, normalise="none")
    np.testing.assert_allclose(raw(values, 100).values, np.minimum(values, 3))
    fixed = ECGPreprocess(
        ("I", "II"), bandpass_hz=None, clip=None, normalise="dataset", mean=(1, 2), std=(2, 4)
    )
    np.testing.assert_allclose(fixed(values, 100).values[1], [-0.5, -0.5, -0.5, 0.5])


def test_scale_times_values_gives_millivolts_back():
    prepare = ECGPreprocess(clip=None)
    small, large = prepare(ecg(), 500), prepare(3 * ecg(), 500)
    np.testing.assert_allclose(small.values, large.values, atol=1e-5)
    np.testing.assert_allclose(large.log_scale - small.log_scale, np.log(3), atol=1e-5)


@pytest.mark.parametrize(
    "convert",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        lambda x: x.astype(">f8"),
        lambda x: np.asfortranarray(x),
        lambda x: np.repeat(x, 2, axis=1)[:, ::2],
        lambda x: np.ascontiguousarray(x[:, ::-1])[:, ::-1],
    ],
    ids=["float64", "big-endian float32", "big-endian float64", "Fortran", "strided", "reversed"],
)
def test_any_memory_layout_gives_the_same_result(convert):
    expected = ECGPreprocess()(ecg(), 500)
    out = ECGPreprocess()(convert(ecg()), 500)
    np.testing.assert_allclose(out.values, expected.values, atol=1e-5)
    assert out.values.dtype == np.float32
    assert out.values.flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.int16, ">i2", np.int32, np.uint8])
def test_narrow_types_are_taken_at_their_value(dtype):
    values = np.abs(50 * ecg()).astype(dtype)
    wide = values.astype(np.float64)
    out, expected = ECGPreprocess()(values, 500), ECGPreprocess()(wide, 500)
    np.testing.assert_allclose(out.values, expected.values, atol=1e-5)


def test_the_input_is_never_changed():
    values = ecg()
    values[0, :10] = np.nan
    values[1] = np.nan
    before = values.copy()
    values.setflags(write=False)
    out = ECGPreprocess(bandpass_hz=None)(values, 100, present=np.arange(8) != 3)
    np.testing.assert_array_equal(values, before)
    assert not np.shares_memory(out.values, values)


@pytest.mark.parametrize("normalise", ["record-lead", "record", "none"])
@pytest.mark.parametrize("rate_hz", [100, 250, 257, 360, 1000])
def test_a_batch_gives_the_same_as_record_by_record(normalise, rate_hz, monkeypatch):
    monkeypatch.setattr("biojepa.ecg.preprocess.CHUNK_VALUES", 20_000)  # two records a chunk
    batch = np.stack([ecg(n_times=1000, rate_hz=rate_hz, seed=seed) for seed in range(5)])
    batch[1, 2] = 0.7
    batch[3, 4, 100:120] = np.nan
    batch[4] = np.nan
    prepare = ECGPreprocess(normalise=normalise)
    out = prepare.batch(batch, rate_hz)
    assert out.values.shape == (5, 8, prepare.n_times_out(1000, rate_hz))
    notes: list[str] = []
    for i, record in enumerate(batch):
        single = prepare(record, rate_hz)
        np.testing.assert_allclose(out.values[i], single.values, atol=1e-6)
        np.testing.assert_array_equal(out.valid[i], single.valid)
        np.testing.assert_allclose(out.log_scale[i], single.log_scale, atol=1e-6)
        notes += [f"record {i}: {note}" for note in single.notes]
    assert list(out.notes) == notes
    assert any("lead V1 is flat" in note for note in notes)


@pytest.mark.parametrize("normalise", ["record-lead", "record", "none"])
@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize("level", [0.0, 1.7, -900.0])
def test_a_flat_lead_is_masked_and_leaves_the_others_alone(normalise, rate_hz, level):
    values = ecg()
    values[3] = level
    out = ECGPreprocess(normalise=normalise)(values, rate_hz)
    assert not out.valid[3]
    assert out.valid.sum() == 7
    assert (out.values[3] == 0).all()
    assert np.isfinite(out.values).all()
    assert out.log_scale[3] == pytest.approx(np.log(1e-4))
    assert out.notes == ("lead V2 is flat: masked",)


@pytest.mark.parametrize("fill", [0.0, np.nan, np.inf, 1e25, 5.0])
def test_a_record_without_any_signal_gives_finite_zeros(fill):
    out = ECGPreprocess()(np.full((8, 500), fill, dtype=np.float32), 100)
    assert (out.values == 0).all()
    assert not out.valid.any()
    assert np.isfinite(out.log_scale).all()
    assert "no lead can be used" in out.notes[-1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e25, -2000.0])
def test_a_single_bad_sample_is_interpolated(bad):
    values = ecg()
    expected = ECGPreprocess()(values, 500).values
    values[2, 2000] = bad
    out = ECGPreprocess()(values, 500)
    assert out.valid.all()
    np.testing.assert_allclose(out.values, expected, atol=0.1)
    assert out.notes == ("0.02% of the samples of lead V1 are missing or huge: interpolated",)


def test_gaps_at_the_ends_take_the_nearest_value():
    values = np.array([[np.nan, 1.0, np.nan, 3.0, 5.0, np.nan]])
    out = ECGPreprocess(("I",), bandpass_hz=None, normalise="none")(values, 100)
    np.testing.assert_allclose(out.values[0], [1, 1, 2, 3, 5, 5])


def test_a_lead_that_is_mostly_missing_is_masked():
    values = ecg()
    values[0, :2600] = np.nan
    out = ECGPreprocess()(values, 500)
    assert out.valid.tolist() == [False] + [True] * 7
    assert "52.00%" in out.notes[0]
    assert "lead I are" in out.notes[0]
    assert ECGPreprocess(max_missing=1.0)(values, 500).valid.all()


def test_arbitrary_units_may_be_large():
    values = 20_000 * ecg()
    assert ECGPreprocess(cap_mv=None)(values, 500).notes == ()
    assert ECGPreprocess()(values, 500).notes != ()


@pytest.mark.parametrize("normalise", ["record-lead", "record"])
def test_an_absent_lead_is_masked_whatever_stands_in_it(normalise):
    prepare = ECGPreprocess(normalise=normalise)
    present = np.arange(8) != 5
    values = ecg()
    values[5] = 0.0
    expected = prepare(values, 500, present=present)
    for filler in (np.nan, 1e25, 77.0):
        values[5] = filler
        out = prepare(values, 500, present=present)
        np.testing.assert_array_equal(out.values, expected.values)
        np.testing.assert_array_equal(out.valid, present)
        assert out.notes == ()


@pytest.mark.parametrize("band", [(0.5, 40.0), (0.5, None), (None, 40.0), None])
@pytest.mark.parametrize("n_times", [1, 2, 3, 10, 27, 28, 60])
@pytest.mark.parametrize("rate_hz", [100, 500])
@pytest.mark.parametrize("resample", ["poly", "fft"])
def test_very_short_records_do_not_fail(band, n_times, rate_hz, resample):
    prepare = ECGPreprocess(bandpass_hz=band, resample=resample)
    out = prepare(ecg(n_times=n_times), rate_hz)
    assert out.values.shape == (8, prepare.n_times_out(n_times, rate_hz))
    assert out.values.shape[1] >= 1
    assert np.isfinite(out.values).all()


@pytest.mark.parametrize(
    ("rate_hz", "n_times", "expected"),
    [
        (500, 5000, 1000),
        (400, 4096, 1024),
        (257, 2570, 1000),
        (1000, 10_000, 1000),
        (128, 1280, 1000),
    ]
    + [(1000 / 3, 3333, 1000), (249.99, 2500, 1000), (50, 500, 1000)],
)
def test_resampling_keeps_a_slow_wave_where_it_was(rate_hz, n_times, expected):
    prepare = ECGPreprocess(("I",), bandpass_hz=None, normalise="none")
    t = np.arange(n_times) / rate_hz
    out = prepare(1.0 + np.sin(2 * np.pi * 3 * t)[None], rate_hz).values[0]
    assert len(out) == expected == prepare.n_times_out(n_times, rate_hz)
    wave = 1.0 + np.sin(2 * np.pi * 3 * np.arange(expected) / 100)
    np.testing.assert_allclose(out[20:-20], wave[20:-20], atol=1e-2)
    np.testing.assert_allclose(out, wave, atol=0.25)  # no transient of the 1 mV offset at the ends


def test_frequencies_above_half_the_model_rate_do_not_fold_back():
    prepare = ECGPreprocess(("I",), bandpass_hz=None, normalise="none")
    t = np.arange(5000) / 500
    out = prepare(np.sin(2 * np.pi * 70 * t)[None], 500)
    assert np.abs(out.values[0, 20:-20]).max() < 0.01


def test_a_slow_recording_skips_the_low_pass_it_cannot_have():
    out = ECGPreprocess()(ecg(n_times=600, rate_hz=60), 60)
    assert out.values.shape == (8, 1000)
    assert out.valid.all()
    with pytest.raises(DataError, match="above 4 Hz"):
        ECGPreprocess(bandpass_hz=(2.0, None))(ecg(), 3)


def test_settings_survive_json():
    for prepare in (ECGPreprocess(), ECGPreprocess.paper(CODE15, highpass_hz=0.5)):
        text = json.dumps(prepare.to_config())
        assert ECGPreprocess.from_config(json.loads(text)) == prepare
    assert hash(prepare) == hash(ECGPreprocess.from_config(json.loads(text)))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"normalize": "none"}, "normalise"),
        ({"normalise": "zscore"}, "zscore"),
        ({"resample": "linear"}, "linear"),
        ({"rate_hz": 0.0}, "rate_hz"),
        ({"rate_hz": float("nan")}, "nan"),
        ({"bandpass_hz": [0.5, 50.0]}, "50 Hz"),
        ({"bandpass_hz": [40.0, 0.5]}, "40.0"),
        ({"bandpass_hz": [None, None]}, "None"),
        ({"bandpass_hz": [0.5]}, "bandpass_hz"),
        ({"leads": []}, "at least one lead"),
        ({"normalise": "dataset"}, "mean and std"),
        ({"mean": [0.0] * 8, "std": [1.0] * 8}, "dataset"),
        ({"normalise": "dataset", "mean": [0.0] * 8, "std": [1.0] * 12}, "got 12"),
        ({"normalise": "dataset", "mean": [0.0] * 8, "std": [0.0] * 8}, "std"),
        ({"clip": 0.0}, "clip"),
        ({"eps": None}, "eps"),
        ({"cap_mv": -1.0}, "cap_mv"),
        ({"max_missing": 1.5}, "max_missing"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, named):
    with pytest.raises(ConfigError, match=named):
        ECGPreprocess.from_config(settings)


def test_a_lead_named_twice_is_refused():
    with pytest.raises(LeadError, match="aVR"):
        ECGPreprocess(leads=("aVR", "AVR"))


def test_arrays_that_cannot_be_leads_are_refused():
    prepare = ECGPreprocess()
    with pytest.raises(LeadError, match=r"expected 8 leads .* \(12, 500\)"):
        prepare(np.zeros((12, 500)), 100)
    with pytest.raises(DataError, match=r"\(500,\)"):
        prepare(np.zeros(500), 100)
    with pytest.raises(DataError, match="at least 1 sample"):
        prepare(np.zeros((8, 0)), 100)
    with pytest.raises(DataError, match="complex"):
        prepare(np.zeros((8, 5), dtype=complex), 100)
    with pytest.raises(DataError, match="present"):
        prepare(np.zeros((8, 5)), 100, present=[True])
    for rate_hz in (0, -5, float("nan"), float("inf")):
        with pytest.raises(DataError, match="sampling rate"):
            prepare(np.zeros((8, 5)), rate_hz)
