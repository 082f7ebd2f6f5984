"""The model in the box: what it says of itself is true, and how it is made and compared."""

from __future__ import annotations

import json
from itertools import product

import numpy as np
import pytest

from biojepa.data.bci import BCIRecordings, BCIRun
from biojepa.data.montage import standard_xyz
from biojepa.data.splits import check_no_leakage
from biojepa.eeg import SignalJEPA
from biojepa.eeg._encoder_file import write_encoder
from biojepa.eeg.small_model import (
    FEATURES,
    FOLDER,
    N_TIMES,
    NAME,
    RUNS,
    SEEN,
    TASKS,
    UNSEEN,
    left_out_auc,
    load,
    make_card,
    measure,
    random_twin,
    same,
    summarise,
    train,
    verdict,
)
from biojepa.errors import DataError, LeakageError
from tests.data.eeg_factory import write_edf
from tests.eeg.published import needs_eeg
from tests.eeg.toys import waves

pytestmark = needs_eeg
NAMES = ["Fz", "C3", "C4", "Pz"]


@pytest.fixture(scope="module")
def recordings() -> BCIRecordings:
    """Runs of 50 s in EEGMMIDB's form; imagery adds a wave of 12 Hz to C3 or C4."""
    rng, time, runs = np.random.default_rng(0), np.arange(50 * 128) / 128, []
    labels = ("rest", "left", "rest", "right") * 2 + ("rest", "left")
    onsets = (128 * np.arange(1, 43, 4.2)).astype(np.int64)
    for subject, name in product((*SEEN, *UNSEEN), RUNS):
        values = 10 * rng.standard_normal((len(NAMES), len(time)))
        for onset, label in zip(onsets, labels, strict=True):
            if label != "rest":
                there = slice(onset, onset + N_TIMES)
                side = NAMES.index("C3" if label == "left" else "C4")
                values[side, there] += 40 * np.sin(2 * np.pi * 12 * time[there])
        runs.append(BCIRun(subject, name, values.astype(np.float32), onsets, labels))
    return BCIRecordings("made up", tuple(runs), tuple(NAMES))


@pytest.fixture(scope="module")
def tiny(recordings) -> SignalJEPA:
    return train(recordings, preset="tiny")


@pytest.fixture
def box():
    """The shipped folder."""
    assert (FOLDER / "config.json").is_file(), "python -m biojepa.eeg.small_model makes it"
    return FOLDER


def test_the_shipped_model_loads_by_name_and_reads_any_montage(box):
    model = SignalJEPA.from_pretrained(NAME).set_params(sfreq=128, ch_names=NAMES)
    features = model.transform(waves(5, NAMES, n_times=600))
    assert features.shape == (5, len(model.get_feature_names_out()))
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0.01


def test_the_shipped_folder_is_small_and_says_what_it_is(box):
    assert sum(path.stat().st_size for path in box.iterdir()) <= 5_000_000
    card = json.loads((box / "model_card.json").read_text())
    assert "ODC-By" in card["licence"]
    assert "Schalk" in card["attribution"]
    assert card["uncommitted_changes"] is False
    assert card["subjects_seen"] == list(SEEN)
    assert len(card["results"]["rows"]) == len(TASKS) * len(FEATURES)
    assert len(card["limits"]) >= 3


def test_the_shipped_model_knows_the_recordings_it_has_seen(box):
    seen = SignalJEPA.from_pretrained(NAME).training_["ids"]
    assert {name[:4] for name in seen} == set(SEEN)
    with pytest.raises(LeakageError, match="record"):
        check_no_leakage(seen, ["S001R04"], what="record")
    check_no_leakage(seen, [f"{subject}R04" for subject in UNSEEN], what="record")


def test_pretraining_goes_on_from_the_shipped_model_on_another_montage(box):
    more = SignalJEPA(init=NAME, sfreq=128, ch_names=NAMES, steps=2, batch_size=8, random_state=0)
    more.fit(waves(20, NAMES, n_times=600))
    assert len(more.model_config_.channels) == 64


def test_what_was_seen_goes_by_the_names_of_the_files(tiny):
    assert tiny.training_["ids"] == [subject + run for subject in SEEN for run in RUNS]
    assert tiny.model_config_.channels == tuple(NAMES)


def test_a_missing_run_is_named(tmp_path):
    write_edf(tmp_path / "S001R04.edf")
    with pytest.raises(DataError, match="S001R08.edf"):
        load(tmp_path)


def test_runs_are_judged_by_probes_of_the_other_runs():
    y, runs = np.tile([0, 1], 12), np.repeat(RUNS, 8)
    told = y[:, None] * np.ones((1, 3))
    assert left_out_auc(told, y, runs) == 1.0
    # a feature that turns round from run to run tells nothing
    turned = np.where(runs == RUNS[1], -1, 1)[:, None] * (2 * told - 1)
    assert left_out_auc(turned, y, runs) < 0.5


def test_rows_compare_with_random_weights_subject_by_subject(tiny, recordings):
    rows = measure(tiny, recordings, subjects=UNSEEN[:2], n_random=2)
    assert len(rows) == 2 * len(TASKS) * len(FEATURES)
    assert all(0 <= auc <= 1 for row in rows for auc in (row["auc"], *row["random"]))
    found = summarise(rows)
    gains = [row["auc"] - np.mean(row["random"]) for row in rows[:: len(TASKS) * len(FEATURES)]]
    assert found[0]["gain"]["least"] == pytest.approx(min(gains))
    assert found[0]["gain"]["mean"] == pytest.approx(np.mean(gains))
    card = make_card(tiny, found, {"commit": "abc"})
    json.dumps(card, allow_nan=False)
    assert "no claim of significance" in card["results"]["verdict"]
    assert any(card["results"]["verdict"] in limit for limit in card["limits"])


def test_the_verdict_says_where_pretraining_is_ahead_and_where_behind():
    def row(least: float, largest: float) -> dict:
        gain = {"mean": (least + largest) / 2, "least": least, "largest": largest}
        return {"task": "left or right", "features": FEATURES[0], "gain": gain}

    name = f"left or right ({FEATURES[0]})"
    assert f"behind for {name}; mixed for nothing" in verdict([row(-0.2, -0.1)], 3)
    assert f"ahead of random weights for {name} and behind for nothing" in verdict(
        [row(0.1, 0.2)], 3
    )
    assert f"ahead of random weights for nothing and behind for nothing; mixed for {name}" in (
        verdict([row(-0.1, 0.2)], 3)
    )


def test_rounded_weights_give_nearly_the_same_features(tiny, tmp_path):
    write_encoder(tmp_path / "half", tiny.pretrained(), tiny.reading(), half=True)
    back = SignalJEPA.from_pretrained(tmp_path / "half").set_params(sfreq=128, ch_names=NAMES)
    X = waves(5, NAMES, n_times=600)
    tiny.set_params(sfreq=128, ch_names=NAMES)
    np.testing.assert_allclose(back.transform(X), tiny.transform(X), atol=0.02)
    assert same(tmp_path / "half", tiny)
    assert not same(tmp_path / "half", random_twin(tiny, 0))


def test_places_of_the_shipped_channels_are_those_of_the_template(box):
    config = SignalJEPA.from_pretrained(NAME).model_config_
    np.testing.assert_allclose(config.positions, standard_xyz(config.channels), atol=1e-6)
