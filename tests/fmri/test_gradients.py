"""Connectivity gradients against a dense eigen-solve, the toolbox's numbers, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
from sklearn.base import clone

from biojepa.errors import ConfigError, DataError
from biojepa.fmri import BrainGradients
from biojepa.fmri.connectivity import average_connectivity, run_connectivity
from biojepa.fmri.gradient_file import read_gradients, write_gradients
from tests.conftest import PARITY, real_data


@pytest.fixture(scope="module")
def published() -> dict[str, np.ndarray]:
    path = PARITY / "fmri" / "gradients_schaefer100_brainspace.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def series(n_runs: int = 4, n_times: int = 120, n_regions: int = 24) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    where = np.linspace(0, 1, n_regions)
    mix = np.stack([np.cos(np.pi * k * where) for k in range(1, 5)])
    return [
        rng.standard_normal((n_times, 4)) @ mix + 0.5 * rng.standard_normal((n_times, n_regions))
        for _ in range(n_runs)
    ]


def gap(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max())


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_the_exact_solution_is_that_of_a_dense_solve_of_the_walk(published, alpha) -> None:
    fitted = BrainGradients(alpha=alpha).fit(published["connectivity"])
    W = fitted.affinity_
    d = W.sum(1)
    W = W / np.outer(d, d) ** alpha
    walk = W / W.sum(1, keepdims=True)  # not symmetric, unlike what the estimator solves
    values, vectors = scipy.linalg.eig(walk)
    order = values.real.argsort()[::-1][:31]
    values, vectors = values.real[order], vectors.real[:, order]
    density = W.sum(1) / W.sum()  # the walk's stationary distribution, the scale of a vector
    vectors /= np.sqrt(density @ vectors**2)
    expected = vectors[:, 1:] * (values[1:] / (1 - values[1:]))
    expected *= np.sign((expected * fitted.gradients_).sum(0))
    assert gap(fitted.gradients_, expected) <= 1e-10
    assert gap(fitted.lambdas_, values[1:] / (1 - values[1:])) <= 1e-10


def test_it_is_the_exact_reference_up_to_rounding_of_its_diagonal(published) -> None:
    fitted = BrainGradients().fit(published["connectivity"])
    # the reference's arccos turned rounding of a cosine of 1 into 5e-9 on the diagonal
    assert gap(fitted.gradients_, published["exact_gradients"]) <= 1e-7
    assert gap(fitted.lambdas_, published["exact_lambdas"]) <= 1e-9


def test_compat_gives_the_toolbox_its_numbers_from_the_same_start(published) -> None:
    fitted = BrainGradients(compat="brainspace", random_state=0).fit(published["connectivity"])
    assert gap(fitted.gradients_, published["gradients"]) <= 1e-4
    assert gap(fitted.lambdas_, published["lambdas"]) <= 1e-4
    exact = BrainGradients().fit(published["connectivity"]).gradients_
    assert gap(fitted.gradients_, exact) > 1e-3  # they are two things


def test_a_precomputed_affinity_is_taken_as_it_is(published) -> None:
    fitted = BrainGradients().fit(published["connectivity"])
    again = BrainGradients(affinity="precomputed").fit(fitted.affinity_)
    assert np.array_equal(again.gradients_, fitted.gradients_)
    assert again.connectivity_ is None


def test_a_gradients_spread_is_its_lambda_and_its_largest_entry_positive(published) -> None:
    fitted = BrainGradients().fit(published["connectivity"])
    g = fitted.gradients_
    weights = fitted.affinity_ / np.outer(*[fitted.affinity_.sum(1)] * 2) ** 0.5
    density = weights.sum(1) / weights.sum()
    np.testing.assert_allclose(density @ g, 0, atol=1e-12)
    np.testing.assert_allclose(np.sqrt(density @ g**2), fitted.lambdas_, rtol=1e-9)
    assert (g[np.abs(g).argmax(0), np.arange(30)] > 0).all()
    assert (np.diff(fitted.lambdas_) <= 0).all()


def test_series_and_their_average_correlation_give_the_same_gradients() -> None:
    runs = series()
    one = BrainGradients(n_components=4, sparsity=0.5).fit(runs)
    average = np.tanh(np.mean([np.arctanh(np.corrcoef(r.T) - np.eye(24)) for r in runs], axis=0))
    np.fill_diagonal(average, 1.0)
    np.testing.assert_allclose(one.connectivity_, average, atol=1e-12)
    other = BrainGradients(n_components=4, sparsity=0.5).fit(one.connectivity_)
    assert np.array_equal(one.gradients_, other.gradients_)
    stacked = BrainGradients(n_components=4, sparsity=0.5).fit(np.stack(runs))
    assert np.array_equal(one.gradients_, stacked.gradients_)


def test_the_first_gradient_finds_a_line_of_regions() -> None:
    fitted = BrainGradients(n_components=3, sparsity=0.7).fit(series(n_times=400))
    order = fitted.gradients_[:, 0]
    rank = np.argsort(np.argsort(order))
    assert abs(np.corrcoef(rank, np.arange(24))[0, 1]) > 0.95


def test_units_and_offsets_of_a_region_change_nothing() -> None:
    runs = series()
    scale = np.linspace(1, 1000, 24)
    other = [r * scale + 1e4 * scale for r in runs]
    a, b = (BrainGradients(n_components=4, sparsity=0.5).fit(x) for x in (runs, other))
    assert gap(a.gradients_, b.gradients_) < 1e-6


def test_runs_of_unequal_length_and_a_region_flat_in_one_of_them() -> None:
    runs = series()
    runs[0] = runs[0][:60].copy()
    runs[1][:, 5] = 7.0
    runs[2][:, 5] = np.nan
    r = average_connectivity(runs)
    expected = np.tanh(np.mean([np.arctanh(np.corrcoef(runs[i].T)[5, 6]) for i in (0, 3)]))
    assert r[5, 6] == pytest.approx(expected, abs=1e-12)
    assert np.isnan(run_connectivity(runs[1])[5]).all()
    assert np.isfinite(BrainGradients(n_components=4, sparsity=0.5).fit(runs).gradients_).all()


@pytest.mark.parametrize("affinity", ["normalized_angle", "cosine", "pearson", "none"])
def test_every_kernel_gives_finite_gradients(published, affinity) -> None:
    fitted = BrainGradients(affinity=affinity, sparsity=0.5, n_components=5)
    assert np.isfinite(fitted.fit(published["connectivity"]).gradients_).all()


def test_the_number_kept_may_be_said_and_a_time_of_diffusion() -> None:
    runs = series()
    kept = BrainGradients(n_components=3, n_keep=12).fit(runs)
    share = BrainGradients(n_components=3, sparsity=0.5).fit(runs)
    assert np.array_equal(kept.gradients_, share.gradients_)
    later = BrainGradients(n_components=3, n_keep=12, diffusion_time=2.0).fit(runs)
    base = kept.lambdas_ / (1 + kept.lambdas_)
    np.testing.assert_allclose(later.lambdas_, base**2)


def test_a_rotated_set_is_turned_back_to_its_reference() -> None:
    runs = series()
    fitted = BrainGradients(n_components=4, sparsity=0.5).fit(runs)
    rotation, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((4, 4)))
    target = fitted.gradients_ @ rotation
    aligned = BrainGradients(n_components=4, sparsity=0.5, reference=target).fit(runs)
    assert gap(aligned.gradients_, target) < 1e-12
    assert np.array_equal(aligned.unaligned_, fitted.gradients_)
    assert gap(fitted.align(target), target) < 1e-12
    with pytest.raises(DataError, match="reference gradients of shape"):
        fitted.align(target[:, :3])


def test_regions_without_connectivity_are_named() -> None:
    runs = series()
    for run in runs:
        run[:, 3] = 0.0
    names = [f"roi{i}" for i in range(24)]
    with pytest.raises(DataError, match="flat or missing everywhere .roi3."):
        BrainGradients(n_components=4).fit(runs, region_names=names)
    r = average_connectivity(series())
    r[7], r[:, 7] = np.nan, np.nan
    with pytest.raises(DataError, match="rows of the regions roi7: leave"):
        BrainGradients(n_components=4).fit(r, region_names=names)
    r[7], r[:, 7] = 0.0, 0.0
    with pytest.raises(DataError, match="roi7"):
        BrainGradients(n_components=4).fit(r, region_names=names)


def test_a_graph_in_two_pieces_is_refused() -> None:
    block = np.ones((6, 6))
    affinity = scipy.linalg.block_diag(block, block[:4, :4])
    with pytest.raises(DataError, match=r"2 pieces, the smallest of regions 6, 7, 8, 9"):
        BrainGradients(n_components=2, affinity="precomputed").fit(affinity)


@pytest.mark.parametrize(
    ("setting", "error", "message"),
    [
        ({"n_components": 24}, ConfigError, "n_components of 1 to 23"),
        ({"affinity": "angle"}, ConfigError, "affinity in"),
        ({"compat": "nilearn"}, ConfigError, "compat"),
        ({"sparsity": 1.0}, ConfigError, "sparsity"),
        ({"n_keep": 0}, ConfigError, "n_keep"),
        ({"affinity": "precomputed"}, DataError, "symmetric affinity matrix"),
    ],
)
def test_impossible_settings_are_refused(setting, error, message) -> None:
    with pytest.raises(error, match=message):
        BrainGradients(**({"n_components": 4} | setting)).fit(series())


def test_runs_of_other_regions_are_refused() -> None:
    with pytest.raises(DataError, match="24 regions in every run, got 23 in run 1"):
        BrainGradients(n_components=4).fit([series()[0], series()[1][:, :23]])
    with pytest.raises(DataError, match="at least 1 run"):
        BrainGradients(n_components=4).fit([])


def test_it_is_a_scikit_learn_estimator() -> None:
    estimator = BrainGradients(n_components=4, sparsity=0.5)
    assert clone(estimator).get_params() == estimator.get_params()


def test_a_table_of_gradients_survives_the_disk(tmp_path) -> None:
    table = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    write_gradients(table, tmp_path / "g.csv")
    assert np.array_equal(read_gradients(tmp_path / "g.csv"), table)


def test_gradients_of_real_runs_are_alike_in_two_halves_of_the_people() -> None:
    root = real_data("fmri/development_fmri_rois/aal116")
    runs = [np.load(p) for p in sorted(root.glob("*.npy"))]
    halves = [BrainGradients(n_components=10).fit(runs[i::2]) for i in range(2)]
    other = halves[1].align(halves[0].gradients_)
    r = [np.corrcoef(halves[0].gradients_[:, k], other[:, k])[0, 1] for k in range(3)]
    assert min(r) > 0.95
