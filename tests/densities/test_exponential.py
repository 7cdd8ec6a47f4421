import math

import pytest
import torch
from torch import nn

from gm.densities.exponential import CLIP, Exponential, certificate, draw_moments, soul
from gm.densities.score_matching import score_matching
from gm.rng import stream


class Linear(nn.Module):
    """T(w) = w - m: the tilt of N(0, I) by lambda is N(-lambda, I), so E T = 0 at lambda = -m."""

    def __init__(self, m: torch.Tensor) -> None:
        super().__init__()
        self.m, self.multiplier = m, torch.zeros_like(m)

    def moments(self, w):
        return w - self.m

    def forward(self, w):
        return self.moments(w) @ self.multiplier


class Products(nn.Module):
    """w_1, w_2 and w_1 w_2."""

    def forward(self, w):
        return torch.cat([w, w[:, :1] * w[:, 1:]], 1)


def known_tilt(seed: str) -> tuple[Exponential, torch.Tensor]:
    """A tilt in two dimensions with a known multiplier, and the grid on which its integrals are sums."""
    tilt = Exponential(Products()).estimate(torch.randn(2000, 2, generator=stream(seed)), moments=3)
    tilt.multiplier = torch.tensor([0.5, -0.3, 0.6])
    axis = torch.linspace(-7, 7, 281)
    return tilt, torch.cartesian_prod(axis, axis)


def rejected(tilt: Exponential, n: int, generator: torch.Generator) -> torch.Tensor:
    """Exact draws: f is bounded, so draws of the reference are accepted with probability exp(-f - max(-f))."""
    w = torch.randn(60 * n, tilt.basis.shape[0] - 1, generator=generator)
    log_ratio = -tilt(w)
    bound = CLIP * (tilt.basis @ tilt.multiplier).abs().sum() + (tilt.target @ tilt.basis @ tilt.multiplier)
    assert (log_ratio <= bound + 1e-5).all()
    accept = torch.rand(len(w), generator=generator).log() < log_ratio - log_ratio.max()
    assert accept.sum() >= n
    return w[accept][:n]


def test_moments_are_white_on_the_data_and_bounded():
    w = torch.randn(3000, 2, generator=stream("white")) * 2 + 1
    tilt = Exponential(Products()).estimate(w, moments=3)
    t = tilt.moments(w)
    assert torch.allclose(t.mean(0), torch.zeros(3), atol=1e-4)
    assert torch.allclose(t.T @ t / len(w), torch.eye(3), atol=1e-3)
    tilt.multiplier = torch.ones(3)
    assert tilt(1e6 * w).abs().max() <= 2 * CLIP * (tilt.basis @ tilt.multiplier).abs().sum()


def test_degenerate_directions_are_dropped():
    w = torch.randn(500, 2, generator=stream("degenerate"))
    tilt = Exponential(nn.Linear(2, 5, bias=False).requires_grad_(False)).estimate(w, moments=10, floor=1e-2)
    assert 2 <= len(tilt.multiplier) < 5


def test_score_matching_recovers_a_known_tilt():
    """20,000 exact draws, tolerance 0.1, over four standard errors (about 0.02 each): false-alarm rate below 1e-3."""
    tilt, _ = known_tilt("score")
    generator = stream("score draws")
    w = rejected(tilt, 20_000, generator)
    found = score_matching(tilt.moments, w, noise=0.1, batch=5000, generator=generator)
    assert torch.allclose(found, tilt.multiplier, atol=0.1)


def test_score_matching_of_a_linear_statistic_is_the_shrunk_mean():
    """With T = w - m the pairs cancel all noise: lambda = -a mean(w), a^2 = 1 - s^2, exactly."""
    w = torch.randn(200, 3, generator=stream("linear")) + 0.7
    found = score_matching(Linear(w.mean(0)).moments, w, noise=0.6, generator=stream("pairs"))
    assert torch.allclose(found, -0.8 * w.mean(0), atol=1e-4)


def test_score_matching_along_random_directions():
    """J J' from 64 directions a row is that of all axes up to noise; 6,000 draws, tolerance 0.15, rate 1e-3."""
    tilt, _ = known_tilt("sliced")
    generator = stream("sliced draws")
    w = rejected(tilt, 6000, generator)
    found = score_matching(tilt.moments, w, noise=0.1, batch=3000, probes=64, generator=generator)
    assert torch.allclose(found, tilt.multiplier, atol=0.15)


def test_random_directions_leave_the_mean_exact():
    """With T = w - m, J = I: only (J v)(J v)' is random; 400 x 50 x 2 directions, 5 errors of 0.7 %, rate 1e-5."""
    w = torch.randn(400, 3, generator=stream("linear")) + 0.7
    found = score_matching(Linear(w.mean(0)).moments, w, noise=0.6, probes=50, generator=stream("pairs"))
    assert torch.allclose(found, -0.8 * w.mean(0), rtol=0.04, atol=0.01)


def test_soul_reaches_the_closed_form_and_its_log_z():
    """lambda* = -m and log Z = |lambda|^2 / 2 + lambda.m = -|m|^2 / 2; errors about 0.01 a coordinate, rate 1e-3."""
    m = torch.tensor([0.8, -0.4, 0.0, 0.3])
    tilt, generator = Linear(m), stream("soul")
    chains = soul(tilt, torch.randn(100, 4, generator=generator), steps=400, generator=generator)
    assert torch.allclose(tilt.multiplier, -m, atol=0.04)
    with torch.no_grad():
        log_z = (-tilt(torch.randn(400_000, 4, generator=generator)).double()).exp().mean().log()
    exact = 0.5 * tilt.multiplier.square().sum() + tilt.multiplier @ m
    assert abs(log_z - exact) < 4 * math.sqrt(math.e / 400_000) and abs(exact + 0.5 * m @ m) < 0.01
    assert chains.evals == 400 * 200


def test_soul_matches_bounded_moments_by_quadrature():
    """E_lambda T at the fitted lambda, by a sum over a grid, is 0 within 0.05: 4 errors, rate 1e-3."""
    truth, grid = known_tilt("quadrature")
    generator = stream("quadrature draws")
    tilt = Exponential(Products()).estimate(rejected(truth, 4000, generator), moments=3)
    soul(tilt, torch.randn(128, 2, generator=generator), steps=500, moves=2, generator=generator)
    log_weight = -0.5 * grid.double().square().sum(1) - tilt(grid).double()
    mean = log_weight.softmax(0) @ tilt.moments(grid).double()
    assert mean.abs().max() < 0.05


def test_satisfied_moments_need_no_tilt():
    """Data from the reference: lambda is noise, of variance 1 / N plus Monte Carlo; 4.5 errors, rate 1e-4."""
    generator = stream("satisfied")
    tilt = Exponential(Products()).estimate(torch.randn(4000, 2, generator=generator), moments=3)
    soul(tilt, torch.randn(128, 2, generator=generator), steps=300, generator=generator)
    assert tilt.multiplier.abs().max() < 4.5 * math.hypot(4000**-0.5, 0.02)


def test_soul_stays_in_its_ball():
    tilt = Linear(torch.full((4,), 50.0))
    soul(tilt, torch.zeros(8, 4), steps=30, radius=2.0, generator=stream("ball"))
    assert tilt.multiplier.norm() <= 2 + 1e-5


def autoregressive(draws: int, n: int, p: int, rho: float, generator: torch.Generator) -> torch.Tensor:
    """Stationary chains of N(0, I), `[draws, n, p]`."""
    x = torch.randn(n, p, generator=generator, dtype=torch.float64)
    chain = [x]
    for _ in range(draws - 1):
        x = rho * x + math.sqrt(1 - rho**2) * torch.randn(n, p, generator=generator, dtype=torch.float64)
        chain.append(x)
    return torch.stack(chain)


@pytest.mark.parametrize("p, n, draws, rho", [(6, 400, 20, 0.8), (120, 64, 30, 0.8), (120, 64, 30, 0.5)])
@pytest.mark.parametrize("gap", [0.0, 0.3])
def test_gap_is_the_divergence_of_gaussians_and_knows_its_error(p, n, draws, rho, gap):
    """Means off by delta under covariance C: KL = delta' C^-1 delta / 2, at p > n too, from correlated draws.

    30 repetitions, their deviation known within 13 %: 4 errors of the mean, 3.5 of the deviation and the bias of a few
    per cent in its estimate, in six cases: false-alarm rate below 5e-3.
    """
    generator = stream("decrement", p, rho, gap)
    root = torch.randn(p, p, generator=generator, dtype=torch.float64) / p**0.5 + torch.eye(p, dtype=torch.float64)
    delta = torch.randn(p, generator=generator, dtype=torch.float64)
    delta *= math.sqrt(2 * gap) / delta.norm()
    found = [certificate((autoregressive(draws, n, p, rho, generator) + delta) @ root.T) for _ in range(30)]
    gaps, errors = (torch.tensor([getattr(c, name) for c in found]) for name in ("gap", "gap_se"))
    assert abs(gaps.mean() - gap) < 4 * gaps.std() / math.sqrt(len(gaps))
    assert 0.6 < errors.mean() / gaps.std() < 1.6
    assert torch.allclose(sum(c.covariance for c in found) / len(found), root @ root.T, rtol=0.1, atol=0.3)
    if gap == 0:
        assert all(0.2 < c.residual_z < 2.2 for c in found)


def test_certificate_needs_draws_that_determine_the_covariance():
    t = torch.randn(4, 10, 30, generator=stream("few"))
    with pytest.raises(ValueError, match="found 4 draws of 10 chains for 30 moments; expected .* 32 draws in half"):
        certificate(t)
    with pytest.raises(FloatingPointError, match="positive definite"):
        certificate(torch.full((10, 10, 2), math.nan))
    with pytest.raises(FloatingPointError, match="positive definite"):
        certificate(t[..., :1].expand(4, 10, 3))


def test_fresh_chains_reach_the_model():
    """Draws of N(m, I) by chains have moment residuals of Monte-Carlo size: z of 4 coordinates below 2.4, rate 1e-4."""
    m = torch.tensor([0.8, -0.4, 0.0, 0.3])
    tilt, generator = Linear(m), stream("fresh")
    tilt.multiplier = -m
    t, end, evals = draw_moments(
        tilt, torch.randn(100, 4, generator=generator), 1.0, burn=50, draws=20, thin=2, generator=generator
    )
    assert t.shape == (20, 100, 4) and end.shape == (100, 4) and evals == 100 * (1 + 50 + 40)
    found = certificate(t)
    assert found.residual_z < 2.4 and abs(found.gap) < 6 * found.gap_se
