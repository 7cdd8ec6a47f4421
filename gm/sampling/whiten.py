"""Coordinates in which a target is about as wide as N(0, I), fitted to a pilot's draws."""

import torch
from torch import Tensor

from gm.sampling.path import Analytic, LogDensity, value_and_grad


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
