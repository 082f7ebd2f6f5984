"""Diagnostics against reference values, against hand-made cases, and on useless input."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from biojepa.engine.diagnostics import (
    alpha_req,
    embedding_std,
    lidar,
    mean_cosine,
    per_dimension_std,
    prediction_skill,
    rankme,
    sigreg_statistic,
)
from biojepa.engine.regularisers import epps_pulley
from biojepa.errors import DataError
from tests.conftest import PARITY

CASES = ["iso", "powerlaw", "lowrank4", "collapsed"]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    path = PARITY / "diagnostics" / "diagnostics_golden.npz"
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.mark.parametrize("case", CASES)
def test_collapse_measures_equal_the_reference(golden: dict[str, np.ndarray], case: str) -> None:
    z = torch.from_numpy(golden[f"Z/{case}"])
    assert rankme(z) == pytest.approx(float(golden[f"rankme_spt/{case}"]), rel=1e-6)
    assert alpha_req(z) == pytest.approx(float(golden[f"alphareq_own_fit_all/{case}"]), rel=1e-9)
    expected = float(golden[f"std_l2norm_lightly/{case}"])
    assert embedding_std(z) == pytest.approx(expected, rel=5e-6)


@pytest.mark.parametrize("case", CASES)
def test_the_sigreg_statistic_equals_the_reference(
    golden: dict[str, np.ndarray], case: str
) -> None:
    z, directions = torch.from_numpy(golden[f"Z/{case}"]), torch.from_numpy(golden["sigreg/A"])
    per_slice = epps_pulley(z.double() @ directions.double())
    expected = golden[f"sigreg_spt/per_slice_{case}"]
    np.testing.assert_allclose(per_slice.numpy(), expected, rtol=1e-5)
    mean = float(golden[f"sigreg_spt/mean_{case}"])
    assert sigreg_statistic(z, directions) == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("rank", ["rank32", "rank4"])
def test_lidar_equals_the_reference(golden: dict[str, np.ndarray], rank: str) -> None:
    flat = torch.from_numpy(golden[f"lidar/emb_{rank}"])
    assert lidar(flat.reshape(64, 8, 32)) == pytest.approx(
        float(golden[f"lidar_spt/{rank}"]), rel=2e-6
    )
    assert rankme(flat) == pytest.approx(float(golden[f"lidar/rankme_same_{rank}"]), rel=1e-6)


def test_rankme_of_orthogonal_directions_is_their_number() -> None:
    z = torch.eye(8)[torch.arange(64) % 4]
    assert rankme(z, eps=1e-12) == pytest.approx(4.0)


def test_tokens_are_flattened_to_rows() -> None:
    z = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0))
    assert rankme(z) == rankme(z.reshape(30, 4))


def test_no_gradient_is_kept() -> None:
    z = torch.randn(20, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert not per_dimension_std(z).requires_grad
    assert isinstance(rankme(z), float)


def test_per_dimension_std_is_the_sample_std() -> None:
    z = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    assert per_dimension_std(z).tolist() == pytest.approx([math.sqrt(2), 0.0])


def test_mean_cosine_leaves_a_row_with_itself_out() -> None:
    assert mean_cosine(torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0]])) == pytest.approx(-1 / 3)
    assert mean_cosine(torch.ones(5, 3)) == pytest.approx(1.0)


def test_prediction_skill_by_hand() -> None:
    target = torch.tensor([[[0.0], [5.0]], [[2.0], [9.0]]])
    position = torch.tensor([[3, 7], [3, 7]])
    position_mean = torch.tensor([[[1.0], [7.0]], [[1.0], [7.0]]])
    assert prediction_skill(position_mean, target, position) == pytest.approx(0.0)
    assert prediction_skill(target, target, position) == pytest.approx(1.0)
    pred = torch.tensor([[[0.0], [7.0]], [[2.0], [7.0]]])
    assert prediction_skill(pred, target, position) == pytest.approx(1 - 8 / 10)


def test_prediction_skill_ignores_padding() -> None:
    target = torch.tensor([[[0.0], [5.0]], [[2.0], [9.0]], [[math.nan], [math.nan]]])
    position = torch.tensor([[3, 7], [3, 7], [3, 3]])
    valid = torch.tensor([[True, True], [True, True], [False, False]])
    pred = torch.tensor([[[0.0], [7.0]], [[2.0], [7.0]], [[0.0], [0.0]]])
    assert prediction_skill(pred, target, position, valid) == pytest.approx(1 - 8 / 10)


def test_prediction_skill_is_undefined_when_targets_never_vary() -> None:
    target = torch.full((3, 2, 4), 0.1)
    assert math.isnan(prediction_skill(target + 1, target, torch.arange(2).expand(3, 2)))


def test_total_collapse_has_rank_one() -> None:
    assert rankme(torch.zeros(10, 4)) == 1.0
    assert lidar(torch.zeros(5, 3, 4)) == 1.0
    assert math.isnan(alpha_req(torch.zeros(10, 4)))


def test_values_that_are_not_finite_give_nan_and_no_exception() -> None:
    z = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))
    z[3, 2] = math.nan
    directions = torch.eye(4)
    for value in [
        rankme(z),
        alpha_req(z),
        embedding_std(z),
        mean_cosine(z),
        sigreg_statistic(z, directions),
        lidar(z.reshape(4, 4, 4)),
        prediction_skill(z, z, torch.zeros(16, dtype=torch.long)),
        embedding_std(z[:1]),
        mean_cosine(z[:1]),
        float(per_dimension_std(z[:1])[0]),
    ]:
        assert math.isnan(value)


def test_shapes_that_cannot_be_read_are_named() -> None:
    with pytest.raises(DataError, match="views"):
        lidar(torch.zeros(5, 1, 4))
    with pytest.raises(DataError, match="embeddings"):
        rankme(torch.zeros(4))
    with pytest.raises(DataError, match="directions"):
        sigreg_statistic(torch.zeros(5, 4), torch.zeros(3, 7))
    with pytest.raises(DataError, match="position_index"):
        prediction_skill(torch.zeros(2, 3, 4), torch.zeros(2, 3, 4), torch.zeros(2, 4))
