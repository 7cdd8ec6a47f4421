"""The Gaussian copula as a contestant: exact margins, a Gaussian dependence, and nothing else."""

import torch
from torch import Tensor

from gm.densities import copula
from gm.model import Bounds, Event, History, Log, Model, Split


class Copula(Model):
    """The reference q0 of the tilted densities and of the flow, on its own: its gain over independent pixels is what
    correlations are worth, and a contestant's gain over it is what anything beyond them is worth.

    Arguments:
        event: shape and levels.
        smoothing: pseudo-count added to each level of each pixel.
        shrinkage: weight of the identity in the correlation matrix.
    """

    family = "control"
    serves = ("binary", "levels")

    def __init__(self, event: Event, *, smoothing: float = 0.1, shrinkage: float = 0.02) -> None:
        super().__init__(event)
        self.density = copula.Copula(*self.event, smoothing=smoothing, shrinkage=shrinkage)

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Count levels and average normal scores: closed form, no noise."""
        self.density.estimate(train.x)
        log(1, 1)
        return History()

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws."""
        return self.density.sample(n, generator=generator).floor().long()

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density."""
        return Bounds.exact(self.density.log_prob(y), density=len(y))
