"""Many wells: a product of two-dimensional double wells, with 2^(d/2) modes of unequal weight."""

import math

import torch
from torch import Tensor

from gm.densities.targets.tabulated import Tabulated
from gm.densities.targets.target import Target


class ManyWell(Target):
    r"""The product over d/2 pairs (a, b), neighbours in x, of double wells:

        log p(x) = constant + sum_pairs [-a^4 + 6 a^2 + a / 2 - b^2 / 2],
        log Z = constant + (d / 2) [log int exp(-a^4 + 6 a^2 + a / 2) da + log(2 pi) / 2].

    Each well lies to the left or to the right of a = 0: 2^(d/2) modes. `mode` is the side of the first pair alone, so
    that there are two for every d, of weights 0.1557 and 0.8443; the pairs are independent and alike. The quartic
    drift makes unadjusted Langevin steps diverge.

    The integral over a is by quadrature, to 1e-12; draws of a are by its inverse distribution function on a grid, the
    total variation from the law being below 1e-7 a pair.

    Reference: F. Noe, S. Olsson, J. Kohler and H. Wu, "Boltzmann generators" (2019), for the double well; L. I.
    Midgley et al., "Flow annealed importance sampling bootstrap" (2023), for the product with d = 32.

    Arguments:
        dim: d, even.
        constant: nats; part of log Z.

    Raises:
        ValueError: dim is odd.

    Example:
        >>> target = ManyWell(dim=32, constant=0.0)
        >>> round(target.log_z, 4), round(target.mode_weights[1].item(), 4)
        (164.6957, 0.8443)
    """

    def __init__(self, *, dim: int = 32, constant: float = 1.5) -> None:
        if dim < 2 or dim % 2:
            raise ValueError(f"found dim = {dim}; expected an even number, two coordinates a well")
        self.well = Tabulated(_log_well, -4.0, 4.0)
        left = self.well.below(0.0)
        super().__init__(
            dim=dim,
            spread=1.5,
            log_z=constant + dim / 2 * (self.well.log_z + math.log(2 * math.pi) / 2),
            constant=constant,
            mode_weights=torch.tensor([left, 1 - left], dtype=torch.float64),
        )

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients `[..., d]` in the type of `x`."""
        a, b = x.double().unflatten(-1, (-1, 2)).unbind(-1)
        value = self.constant + (_log_well(a) - b * b / 2).sum(-1)
        grad = torch.stack((-4 * a**3 + 12 * a + 0.5, -b), -1).flatten(-2)
        return value, grad.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Wells by inverse distribution function, the rest normal: float32 `[n, d]`."""
        a = self.well.sample((n, self.dim // 2), generator=generator)
        b = torch.randn(a.shape, generator=generator, dtype=torch.float64, device=generator.device)
        return torch.stack((a, b), -1).flatten(-2).float()

    def mode(self, x: Tensor) -> Tensor:
        """0 where the first pair is in its left well, 1 where in its right: long `[...]`."""
        return (x[..., 0] > 0).long()


def _log_well(a: Tensor) -> Tensor:
    return a * (a * (6 - a * a) + 0.5)
