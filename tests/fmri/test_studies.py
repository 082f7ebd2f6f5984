"""What Brain-JEPA is made of, on simulated people."""

from __future__ import annotations

import json

import numpy as np
import pytest

from biojepa.fmri import studies
from biojepa.fmri.simulate import simulate_cohort

BUDGET = studies.Budget(n_seeds=1, steps=1, n_resamples=10)


@pytest.fixture(scope="module")
def cohorts():
    people = simulate_cohort(24, n_regions=10, n_times=48, random_state=1)
    train = people.take(range(8))
    return {"abide": train, "hcp": train, "development": people.take(range(8, 24))}


@pytest.mark.parametrize(
    ("study", "variants"),
    [("positions", ("gradients", "learned", "none")), ("sampler", ("default", "paper"))],
)
def test_each_variant_is_probed_beside_its_own_random_weights(cohorts, study, variants):
    found = studies.STUDIES[study](cohorts, BUDGET, lambda _: None)
    rows = {(r["variant"], r["weights"], r["reading"]): r for r in found["rows"]}
    assert {key[0] for key in rows} == set(variants)
    for (_, weights, _), row in rows.items():
        assert ("over_random" in row) == (weights == "jepa")
        assert np.isfinite(row["mae"]["point"])
    json.dumps(found)


def test_offsets_are_measured_where_runs_are_raw_and_refused_where_they_are_standardised():
    raw = simulate_cohort(6, n_regions=8, n_times=40, random_state=2)
    found = studies.offset_shares({"raw": raw})["raw"]
    assert found["share"] is None or 0 <= found["share"] <= 1
    assert (found["share"] is None) == ("why" in found)
