"""Control: a mixture of images with independent categorical pixels, an exact probability mass."""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from gm.model import Bounds, Diverged, Event, History, Log, Model, Split


class Mixture(Model):
    r"""A finite mixture of products of categorical pixels, fitted by expectation-maximisation.

    .. math:: p(x) = \sum_k \pi_k \prod_j p_{kj}(x_j), \qquad
        p_{kj}(l) \propto \sum_i r_{ik} 1[x_{ij} = l] + a\, m_j(l)

    where :math:`r_{ik}` is the responsibility of component k for image i and :math:`m_j` the smoothed frequency
    of the levels at pixel j, so that a component with few images leans on all of them.

    References:
        Maximum Likelihood from Incomplete Data via the EM Algorithm (Arthur P. Dempster, Nan M. Laird and
        Donald B. Rubin, 1977)

    Arguments:
        event: the space of one example.
        components: numbers of components K to try; the validation split chooses.
        smoothing: pseudo-counts a to try, in images per component; the validation split chooses.
        floor: images spread evenly over the levels in :math:`m_j`, so that no level has mass zero.
    """

    family = "control"
    measure = "mass"

    def __init__(
        self,
        event: Event,
        *,
        components: Sequence[int] = (10, 20, 40, 80),
        smoothing: Sequence[float] = (1.0, 16.0),
        floor: float = 1.0,
    ) -> None:
        super().__init__(event)
        if not components or min(components) < 1:
            raise ValueError(f"'components' is {list(components)}; expected positive integers")
        if not smoothing or min(*smoothing, floor) <= 0:
            raise ValueError(f"'smoothing' and 'floor' are {list(smoothing)} and {floor}; expected positive")
        self.components = tuple(components)
        self.smoothing = tuple(smoothing)
        self.floor = floor
        self.register_buffer("log_weight", torch.empty(0, dtype=torch.float64))
        self.register_buffer("log_table", torch.empty(0, dtype=torch.float64))

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        generator: torch.Generator,
        log: Log,
        iterations: int = 50,
        restarts: int = 2,
    ) -> History:
        """Run EM from `restarts` random starts for every K and a, and keep the highest validation likelihood.

        Arguments:
            train: images to fit.
            valid: images that choose K, a and the start.
            generator: source of the starts.
            log: progress.
            iterations: EM steps a run.
            restarts: runs for every K and a.
        """
        x, held = self._one_hot(train.x), self._one_hot(valid.x)
        shape = (self.event.dim, self.event.levels)
        margin = (x.sum(0).reshape(shape) + self.floor / self.event.levels) / (len(x) + self.floor)
        rows, best = [], None
        runs = list(product(self.components, self.smoothing, range(restarts)))
        for run, (k, a, _) in enumerate(runs):
            prior = a * margin.flatten()
            seeds = torch.randint(len(x), (k,), generator=generator).to(x.device)
            log_weight = x.new_full((k,), -math.log(k))
            log_table = self._log_normalise(x[seeds] + prior)
            for _ in range(iterations):
                r = (x @ log_table.T + log_weight).softmax(1)
                log_weight = ((r.sum(0) + 1) / (len(x) + k)).log()
                log_table = self._log_normalise(r.T @ x + prior)
            value = float((held @ log_table.T + log_weight).logsumexp(1).mean())
            rows.append({"step": run, "components": k, "smoothing": a, "valid": value})
            if not best or value > best[0]:
                best = value, k, a, log_weight, log_table
            log(run + 1, len(runs))
        value, k, a, self.log_weight, self.log_table = best
        if not self.log_table.isfinite().all():
            raise Diverged(f"EM with {k} components left the finite numbers (validation mass {value})")
        evals = {"density": len(x) * iterations * sum(run[0] for run in runs)}
        return History(rows, evals, {"components": k, "smoothing": a, "valid": value})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw a component, then every pixel on its own, `[n, C, H, W]`."""
        k = torch.multinomial(self.log_weight.exp().cpu(), n, replacement=True, generator=generator)
        table = self.log_table.exp().cpu().reshape(-1, self.event.levels)
        rows = (k[:, None] * self.event.dim + torch.arange(self.event.dim)).flatten()
        pixels = torch.multinomial(table[rows], 1, generator=generator)
        return pixels.reshape(n, *self.event.shape).to(self.log_table.device)

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log mass `[B]` at floor(y), in nats."""
        pixel = torch.arange(self.event.dim, device=y.device) * self.event.levels
        index = y.floor().long().flatten(1) + pixel
        log_mass = self.log_table.T[index].sum(1) + self.log_weight
        return Bounds.exact(log_mass.logsumexp(1), density=len(y))

    def _log_normalise(self, counts: Tensor) -> Tensor:
        table = counts.unflatten(1, (self.event.dim, self.event.levels))
        return (table / table.sum(-1, keepdim=True)).log().flatten(1)

    def _one_hot(self, x: Tensor) -> Tensor:
        return one_hot(x.long().flatten(1), self.event.levels).flatten(1).double()
