"""The baseline of the ratio of reading and preparing computes what was published and what we do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from biojepa.data.cards import load_card
from biojepa.data.leads import STANDARD_12
from biojepa.ecg.lead_stats import LeadStats
from biojepa.ecg.preprocess import ECGPreprocess
from tests.benchmarks import bench_preprocess
from tests.benchmarks import straightforward_preprocess as plain
from tests.benchmarks.synthetic import write_records
from tests.conftest import PARITY


@pytest.fixture(scope="module")
def golden():
    with np.load(PARITY / "ecg" / "preprocess.npz", allow_pickle=False) as file:
        return dict(file)


def test_the_steps_are_those_of_the_published_record(golden) -> None:
    raw, norm = golden["raw_float16"], load_card("code-15").normalisation
    np.testing.assert_array_equal(plain.interpolate(raw), golden["interp_only"])
    found = plain.prepare(raw, 400.0, STANDARD_12, STANDARD_12, norm.mean, norm.std)
    assert found.dtype == np.float16
    close = {"rtol": 0, "atol": 2e-2}
    np.testing.assert_allclose(np.float32(found), np.float32(golden["code15_to_500hz"]), **close)
    calm = plain.remove_baseline(golden["interp_only"], 400.0)
    np.testing.assert_allclose(np.float32(calm), np.float32(golden["highpass_400hz"]), **close)


@pytest.mark.parametrize("rate_hz", [500, 400])
def test_both_sides_of_the_ratio_give_the_same_windows(rate_hz, tmp_path: Path) -> None:
    folder = write_records(tmp_path, 3, n_times=10 * rate_hz, rate_hz=rate_hz)
    for path in sorted(folder.glob("*.hea")):
        ours = bench_preprocess.ours(str(path))
        theirs = bench_preprocess.straightforward(str(path))
        assert ours.shape == theirs.shape == (12, 5000)
        # float16 all along against float32
        np.testing.assert_allclose(ours, theirs, atol=2e-2)
        assert np.abs(ours).max() > 1


def test_leads_of_another_order_are_put_right_on_both_sides(golden) -> None:
    order = golden["mimic_channel_order"]
    raw = golden["interp_only"][:, order]
    have = [STANDARD_12[i] for i in order]
    stats = LeadStats(tuple(have), tuple(0.01 * order), tuple(0.2 + 0.01 * order))
    found = plain.prepare(raw, 500.0, have, STANDARD_12, stats.mean, stats.std)
    road = ECGPreprocess.paper(stats)
    arranged = golden["interp_only"].T.astype(np.float32)
    wanted = road(arranged, 500.0).values
    np.testing.assert_allclose(found.T.astype(np.float32), wanted, atol=3e-2)
