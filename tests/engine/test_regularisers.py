"""VICReg and SIGReg by hand, as collapse guards, with padding and under autocast."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from biojepa.engine.regularisers import SIGReg, VICReg, epps_pulley
from biojepa.errors import ConfigError, DataError

BOTH = [VICReg(), SIGReg(n_directions=32)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def vicreg_by_hand(rows: Tensor) -> float:
    covariance = torch.cov(rows.T)
    hinge = torch.relu(1 - (covariance.diagonal() + 1e-4).sqrt()).mean()
    off = covariance - torch.diag(covariance.diagonal())
    return float(hinge + 0.04 / rows.shape[1] * off.square().sum())


def test_vicreg_of_the_record_means_equals_the_formula() -> None:
    tokens = torch.randn(12, 5, 6, generator=generator())
    term = VICReg(weight=0.5, tokens_per_record=0)(tokens, generator())
    assert float(term) == pytest.approx(0.5 * vicreg_by_hand(tokens.mean(1)), rel=1e-5)


def test_vicreg_sums_its_two_views() -> None:
    tokens = torch.randn(12, 5, 6, generator=generator())
    # all five tokens of a record are drawn: the second view is then every token
    term = VICReg(weight=1.0, tokens_per_record=5)(tokens, generator())
    expected = vicreg_by_hand(tokens.mean(1)) + vicreg_by_hand(tokens.flatten(0, 1))
    assert float(term) == pytest.approx(expected, rel=1e-5)


def test_sigreg_equals_the_statistic_on_its_directions() -> None:
    tokens = torch.randn(12, 5, 6, generator=generator())
    directions = torch.randn(6, 8, generator=generator(3))
    directions = directions / directions.norm(dim=0)
    expected = epps_pulley(tokens.mean(1) @ directions).mean()
    term = SIGReg(weight=2.0, n_directions=8, tokens_per_record=0)(tokens, generator(3))
    assert float(term) == pytest.approx(2 * float(expected), rel=1e-5)


def test_the_statistic_of_normal_samples_does_not_grow_with_their_number() -> None:
    small = epps_pulley(torch.randn(200, 400, generator=generator())).mean()
    large = epps_pulley(torch.randn(3200, 400, generator=generator())).mean()
    # the integral of (1 - exp(-t^2)) exp(-t^2 / 2) over [-3, 3]
    assert float(small) == pytest.approx(1.053, abs=0.1)
    assert float(large) == pytest.approx(1.053, abs=0.1)


def test_the_statistic_of_a_point_grows_with_the_number_of_samples() -> None:
    statistic = epps_pulley(torch.zeros(7, 1)), epps_pulley(torch.zeros(70, 1))
    assert float(statistic[1]) == pytest.approx(10 * float(statistic[0]))


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_descending_the_term_undoes_a_collapse(regulariser: VICReg | SIGReg) -> None:
    tokens = (1 + 0.05 * torch.randn(32, 4, 8, generator=generator())).requires_grad_()
    optimizer = torch.optim.Adam([tokens], lr=0.05)
    draws = generator(1)
    first = last = math.nan
    for step in range(120):
        optimizer.zero_grad()
        term = regulariser(tokens, draws)
        term.backward()
        optimizer.step()
        last = float(term.detach())
        first = last if step == 0 else first
    assert last < 0.3 * first
    assert tokens.detach().mean(1).std(0).min() > 0.5


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_padding_changes_nothing(regulariser: VICReg | SIGReg) -> None:
    tokens = torch.randn(6, 4, 5, generator=generator())
    valid = torch.ones(6, 7, dtype=torch.bool)
    valid[:, 4:] = False
    padded = torch.full((6, 7, 5), math.nan)
    padded[:, :4] = tokens
    padded.requires_grad_()
    # four tokens a record: all valid ones are drawn, whatever the order
    assert regulariser.tokens_per_record == 4
    with_padding = regulariser(padded, generator(), valid)
    with_padding.backward()
    without = float(regulariser(tokens, generator()))
    assert float(with_padding.detach()) == pytest.approx(without, rel=1e-5)
    assert padded.grad is not None
    assert padded.grad[~valid].abs().max() == 0
    assert padded.grad[valid].isfinite().all()


def test_a_record_without_valid_tokens_does_not_count() -> None:
    tokens = torch.randn(6, 4, 5, generator=generator())
    valid = torch.ones(6, 4, dtype=torch.bool)
    valid[5] = False
    term = VICReg(tokens_per_record=4)
    assert float(term(tokens, generator(), valid)) == pytest.approx(
        float(term(tokens[:5], generator())), rel=1e-5
    )


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_autocast_does_not_lower_the_precision(regulariser: VICReg | SIGReg) -> None:
    tokens = torch.randn(8, 4, 6, generator=generator()).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = regulariser(tokens, generator())
    outside = regulariser(tokens.float(), generator())
    assert inside.dtype == torch.float32
    assert torch.equal(inside, outside)


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_gradients_pass_a_numerical_check(regulariser: VICReg | SIGReg) -> None:
    tokens = 0.3 * torch.randn(4, 3, 3, generator=generator(), dtype=torch.float64)
    assert torch.autograd.gradcheck(
        lambda x: regulariser(x, generator()), tokens.requires_grad_(), fast_mode=True
    )


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_draws_come_from_the_given_generator_only(regulariser: VICReg | SIGReg) -> None:
    tokens = torch.randn(8, 9, 6, generator=generator())
    before = torch.get_rng_state()
    first, second = regulariser(tokens, generator(1)), regulariser(tokens, generator(1))
    other = regulariser(tokens, generator(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("regulariser", BOTH, ids=["vicreg", "sigreg"])
def test_one_record_gives_a_finite_term(regulariser: VICReg | SIGReg) -> None:
    tokens = torch.randn(1, 1, 6, generator=generator()).requires_grad_()
    term = regulariser(tokens, generator())
    term.backward()
    assert term.isfinite()
    assert tokens.grad is not None
    assert tokens.grad.isfinite().all()


def test_wrong_settings_and_shapes_are_named() -> None:
    with pytest.raises(ConfigError, match="weight"):
        VICReg(weight=-1.0)
    with pytest.raises(ConfigError, match="n_knots"):
        SIGReg(n_knots=1)
    with pytest.raises(DataError, match="tokens of shape"):
        VICReg()(torch.zeros(3, 4), generator())
    with pytest.raises(DataError, match="valid of shape"):
        VICReg()(torch.zeros(3, 4, 5), generator(), torch.ones(3, 5, dtype=torch.bool))
