"""Bases fitted to a pilot's draws: coordinates in which a target is about N(0, I), and an autoregressive normal."""

import math
from functools import partial

import torch
from torch import Tensor

from gm.sampling.hamiltonian import HMC
from gm.sampling.path import Analytic, Geometric, LogDensity, value_and_grad
from gm.sampling.tune import Make, climb, settle, shrunk_scale

TRAJECTORIES = partial(HMC, length=8, jitter=0.5)


class Whitened(Analytic):
    r"""A density in the coordinates w of x = m + L w:  log p_w(w) = log p(m + L w) + log|det L|.

    Its normalising constant is that of p, whatever m and L are; they only choose the base, N(m, L L'), that N(0, I)
    becomes.

    Arguments:
        target: log p, row-wise, unnormalised.
        mean: m, `[d]`.
        factor: L, a lower triangle `[d, d]`, or its diagonal `[d]`; positive on the diagonal.

    Example:
        >>> whitened = Whitened(lambda x: -x.square().sum(-1) / 8, torch.ones(1), torch.full((1,), 2.0))
        >>> whitened.unwhiten(torch.zeros(1, 1)).item()
        1.0
    """

    def __init__(self, target: LogDensity, mean: Tensor, factor: Tensor) -> None:
        self.target, self.mean, self.factor = target, mean, factor
        diagonal = factor if factor.ndim == 1 else factor.diagonal()
        self.log_det = float(diagonal.double().log().sum())

    def unwhiten(self, w: Tensor) -> Tensor:
        """x = m + L w, `[..., d]`."""
        return self.mean + (self.factor * w if self.factor.ndim == 1 else w @ self.factor.T)

    def whiten(self, x: Tensor) -> Tensor:
        """w = L^-1 (x - m), `[..., d]`."""
        centred = x - self.mean
        if self.factor.ndim == 1:
            return centred / self.factor
        rows = torch.linalg.solve_triangular(self.factor, centred.reshape(-1, len(self.mean)).T, upper=False)
        return rows.T.reshape(x.shape)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `[..., d]`, at w."""
        value, grad = value_and_grad(self.target, self.unwhiten(x))
        return value + self.log_det, grad * self.factor if self.factor.ndim == 1 else grad @ self.factor

    def refit(self, w: Tensor) -> "Whitened":
        r"""The coordinates that whiten draws given in these: m + L mean(w), and L C for the Cholesky factor C of

            (1 - rho) S + rho (tr S / d) I,    rho = min(1, sum_k |w_k w_k' - S|^2 / n^2 / |S - (tr S / d) I|^2),

        where S is the covariance of w. Where n < 4 d, C is the diagonal `shrunk_scale`. Shrinking towards the
        identity *of these coordinates* is what lets repeated fits reach condition numbers that one cannot.

        Reference: Ledoit and Wolf, A well-conditioned estimator for large-dimensional covariance matrices, 2004.

        Arguments:
            w: draws, `[n, d]`.

        Returns:
            The same target in new coordinates.
        """
        mean = self.unwhiten(w.double().mean(0).to(w.dtype))
        n, d = w.shape
        if n < 4 * d:
            scale = shrunk_scale(w)
            return Whitened(self.target, mean, self.factor * scale)
        factor = self.factor.diag() if self.factor.ndim == 1 else self.factor
        root = torch.linalg.cholesky(_ledoit_wolf(w.double()))
        return Whitened(self.target, mean, (factor.double() @ root).to(w.dtype))


def _ledoit_wolf(w: Tensor) -> Tensor:
    n, d = w.shape
    w = w - w.mean(0)
    S = w.T @ w / n
    centre = S.trace() / d * torch.eye(d, dtype=w.dtype, device=w.device)
    noise = (w.square().sum(-1).square().mean() - S.square().sum()) / n
    rho = (noise / (S - centre).square().sum()).clamp(0, 1)
    return (1 - rho) * S + rho * centre


class Autoregressive(Analytic):
    r"""A normal base whose coordinates are drawn in turn, each from the k before it:

        x_i = m_i + sum_{j=1..k} a_ij (x_{i-j} - m_{i-j}) + s_i xi_i.

    Densities cost k shifted products, whatever d; k = 0 is a diagonal normal.

    Arguments:
        mean: m, `[d]`.
        coefficients: a, `[d, k]`; `a[i, j - 1]` is ignored where i < j.
        scale: s, `[d]`, positive.

    Example:
        >>> base = Autoregressive(torch.zeros(3), torch.full((3, 1), 0.5), torch.ones(3))
        >>> tuple(base.sample(4, generator=torch.Generator().manual_seed(0)).shape)
        (4, 3)
    """

    def __init__(self, mean: Tensor, coefficients: Tensor, scale: Tensor) -> None:
        self.mean, self.coefficients, self.scale = mean, coefficients, scale
        self.log_det = float(scale.double().log().sum())

    @classmethod
    def fit(cls, x: Tensor, order: int) -> "Autoregressive":
        """Regress each coordinate of draws `[n, d]` on the `order` before it, by least squares, unbiased scales.

        The coordinates need an order in which neighbours are neighbours; a fit costs d (order + 1) / (2 n) nats.
        """
        n = len(x)
        centred = (x - x.mean(0)).double()
        padded = torch.cat((centred.new_zeros(n, order), centred), 1)
        past = padded.unfold(1, order + 1, 1)[..., :-1].flip(-1).transpose(0, 1)
        gram = past.mT @ past
        # a coordinate before the first is zero: its coefficient is zero too
        gram = gram + torch.diag_embed((gram.diagonal(dim1=-2, dim2=-1) == 0).double())
        right = past.mT @ centred.T[..., None]
        coefficients = torch.linalg.solve(gram, right)
        residual = centred.T - (past @ coefficients)[..., 0]
        scale = (residual.square().sum(-1) / (n - 1 - order)).sqrt()
        return cls(x.mean(0), coefficients[..., 0].to(x.dtype), scale.to(x.dtype))

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `[..., d]`."""
        centred = x - self.mean
        residual = centred.clone()
        for j, a in enumerate(self.coefficients.T, 1):
            residual[..., j:].addcmul_(a[j:], centred[..., :-j], value=-1)
        residual /= self.scale
        square = torch.linalg.vector_norm(residual, dim=-1, dtype=torch.float64).square()
        kick = residual / -self.scale
        grad = kick.clone()
        for j, a in enumerate(self.coefficients.T, 1):
            grad[..., :-j].addcmul_(a[j:], kick[..., j:], value=-1)
        return -0.5 * (square + len(self.mean) * math.log(2 * math.pi)) - self.log_det, grad

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws, `[n, d]`."""
        d, k = self.coefficients.shape
        noise = torch.randn(d, n, generator=generator, dtype=self.mean.dtype, device=generator.device)
        noise = noise.to(self.mean.device) * self.scale[:, None]
        rows: list[Tensor] = []
        for i in range(d):
            row = noise[i]
            for j in range(1, min(i, k) + 1):
                row = row + self.coefficients[i, j - 1] * rows[i - j]
            rows.append(row)
        return self.mean + torch.stack(rows, -1)


def explore(
    target: LogDensity,
    d: int,
    spread: float,
    *,
    generator: torch.Generator,
    chains: int = 512,
    rounds: int = 4,
    moves: int = 16,
    make: Make = TRAJECTORIES,
    target_accept: float = 0.7,
) -> tuple[Whitened, Tensor, int]:
    """Bring a population from N(0, spread^2 I) to the target, whitening as it goes: a pilot, for fits alone.

    The first round anneals as `tune` does; each later one moves at the target, in the coordinates fitted to the
    round before, and with a step that follows its acceptance. It has no claim to have reached the target: what is
    fitted to it is a base, which the estimate then pays for or profits from.

    Arguments:
        target: log p, row-wise, unnormalised.
        d: its dimension.
        spread: standard deviation of the starts.
        generator: the pilot's own stream.
        chains: rows of the population.
        rounds: of moves at the target after the annealing.
        moves: transitions in each round and at each pilot temperature.
        make: builds a kernel from a path and a step.
        target_accept: mean acceptance to aim at.

    Returns:
        The target in the coordinates of the last fit, the population in the target's own, `[chains, d]`, and the
        gradient evaluations, each row counted.

    Raises:
        FloatingPointError: if the target is not finite at some pilot state.
    """
    start = torch.zeros(d, device=generator.device)
    whitened = Whitened(target, start, torch.full_like(start, spread))
    w = torch.randn(chains, d, generator=generator, device=generator.device)
    rungs, state, evals = climb(Geometric(None, whitened), make, w, target_accept, generator, moves=moves)
    log_h, w = rungs[-1].log_h, state.x
    for _ in range(rounds):
        x = whitened.unwhiten(w)
        whitened = whitened.refit(w)
        path = Geometric(None, whitened)
        state, log_h, _, spent = settle(
            path, make, path.init(whitened.whiten(x)), 1.0, log_h, moves, target_accept, generator
        )
        w, evals = state.x, evals + spent + chains
    return whitened.refit(w), whitened.unwhiten(w), evals
