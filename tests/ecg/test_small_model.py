"""The model in the box: what it says of itself is true, and how it is made and compared."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from biojepa.data.simulate import simulate_ecg
from biojepa.data.splits import check_no_leakage
from biojepa.ecg import ECGJEPA
from biojepa.ecg._encoder_file import write_encoder
from biojepa.ecg.small_budget import EXTRA, RecordSet
from biojepa.ecg.small_model import FOLDER, NAME, make_card, measure, same
from biojepa.errors import LeakageError
from tests.conftest import real_data

COHORT = simulate_ecg(40, rate_hz=100, random_state=0)


@pytest.fixture(scope="module")
def tiny():
    """A model of seconds."""
    model = ECGJEPA(preset="tiny", fs=100, leads=COHORT.leads, random_state=0)
    return model.fit(COHORT.values)


@pytest.fixture
def box():
    """The shipped folder."""
    assert (FOLDER / "config.json").is_file(), "python -m biojepa.ecg.small_model makes it"
    return FOLDER


def test_the_shipped_model_loads_by_name_and_reads_any_recording(box):
    model = ECGJEPA.from_pretrained(NAME).set_params(fs=100, leads=COHORT.leads)
    features = model.transform(COHORT.values[:3])
    assert features.shape == (3, len(model.get_feature_names_out()))
    assert np.isfinite(features).all()
    assert features.std(axis=0).max() > 0.01


def test_the_shipped_folder_is_small_and_says_what_it_is(box):
    assert sum(path.stat().st_size for path in box.iterdir()) <= 5_000_000
    card = json.loads((box / "model_card.json").read_text())
    assert "CC BY 4.0" in card["attribution"]
    assert card["uncommitted_changes"] is False
    low, high = (card["results"]["with scale"]["mean_auc"][name] for name in ("low", "high"))
    assert 0.5 < low < high < 1
    assert len(card["limits"]) >= 3


def test_the_shipped_model_is_continued_on_own_records_and_knows_what_both_have_seen(box):
    own = simulate_ecg(8, rate_hz=500, random_state=9)
    options = {"fs": 500, "leads": own.leads, "random_state": 0}
    model = ECGJEPA(init=NAME, steps=2, batch_size=4, **options).fit(own.values)
    before = ECGJEPA.from_pretrained(NAME)
    assert model.model_config_ == before.model_config_
    seen = model.training_
    # the shipped model knows each of its records by three names
    assert seen["n_records"] == before.training_["n_records"] + 8
    assert len(seen["ids"]) == len(before.training_["ids"]) + 8
    assert [stage["n_records"] for stage in seen["stages"]][1:] == [8]
    with pytest.raises(LeakageError, match="record"):
        check_no_leakage(seen["ids"], [before.training_["ids"][0]], what="record")
    reading = options | {"pool": model.pool, "layer": model.layer, "scale": model.scale}
    features = [m.set_params(**reading).transform(own.values) for m in (before, model)]
    assert features[0].shape == features[1].shape
    assert np.abs(features[0] - features[1]).max() > 0


def test_the_shipped_model_knows_the_recordings_it_has_seen(box):
    seen = ECGJEPA.from_pretrained(NAME).training_["ids"]
    with pytest.raises(LeakageError, match="record"):
        check_no_leakage(seen, [seen[0]], what="record")
    with np.load(real_data("ecg") / EXTRA, allow_pickle=False) as z:
        ids, part = z["ecg_id"], z["split"] == "train"
    assert {str(i) for i in ids[part]} <= set(seen)
    assert not {str(i) for i in ids[~part]} & set(seen)


def test_pretraining_goes_on_from_the_shipped_model(box):
    more = ECGJEPA(init=NAME, fs=100, leads=COHORT.leads, steps=2, batch_size=8, random_state=0)
    more.fit(COHORT.values)
    assert more.training_["n_records"] > len(COHORT.values)


def test_a_model_of_rounded_weights_gives_nearly_the_same_features(tiny, tmp_path):
    write_encoder(tmp_path / "half", tiny.pretrained(), tiny.reading(), half=True)
    back = ECGJEPA.from_pretrained(tmp_path / "half").set_params(fs=100, leads=COHORT.leads)
    found, expected = back.transform(COHORT.values), tiny.transform(COHORT.values)
    np.testing.assert_allclose(found, expected, atol=0.02)
    assert same(tmp_path / "half", tiny)
    with torch.no_grad():
        next(back.jepa_.downstream_encoder.parameters()).add_(0.1)
    assert not same(tmp_path / "half", back)


def test_the_card_states_data_results_and_limits(tiny):
    records = RecordSet(
        COHORT.values, COHORT.leads, "mV", COHORT.y.astype(float), COHORT.patient_id.astype(str)
    )
    results = measure(tiny, records, {"pool": "mean", "layer": -1, "C": 0.01})
    card = make_card(tiny, results, {"commit": "abc"})
    json.dumps(card, allow_nan=False)
    assert set(card["results"]) == {"task", "with scale", "without scale"}
    found = card["results"]["with scale"]
    assert found["mean_auc"]["low"] <= found["mean_auc"]["point"] <= found["mean_auc"]["high"]
    assert found["over_random"]["low"] <= found["over_random"]["high"]
