"""Control: a mixture of images with independent categorical pixels, an exact probability mass."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import embedding_bag

from gm.model import Bounds, Diverged, Event, History, Log, Model, Split

CELLS = 2**24  # numbers in the largest temporary array of a draw
FIXED = 1e-12  # a change of every responsibility below this is rounding


class Mixture(Model):
    r"""A finite mixture of products of categorical pixels, fitted by expectation-maximisation.

    .. math:: p(x) = \sum_k \pi_k \prod_j p_{kj}(x_j), \qquad
        p_{kj}(l) \propto \sum_i r_{ik} 1[x_{ij} = l] + a\, m_j(l)

    where :math:`r_{ik}` is the responsibility of component k for image i and :math:`m_j` the smoothed frequency
    of the levels at pixel j, so that a component with few images leans on all of them. Images enter as sparse
    indicators, so that a step costs their number of pixels times K, whatever the number of levels.

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
            iterations: EM steps a run, at most; it ends where the responsibilities no longer move.
            restarts: runs for every K and a.
        """
        x, held = self._indicators(train.x), self._indicators(valid.x)
        transposed = x.T.tocsr()
        n = x.shape[0]
        margin = (_dense(x.sum(0)).unflatten(0, (-1, self.event.levels)) + self.floor / self.event.levels) / (
            n + self.floor
        )
        rows, best, density = [], None, 0
        runs = list(product(self.components, self.smoothing, range(restarts)))
        for run, (k, a, _) in enumerate(runs):
            prior = a * margin.flatten()[:, None]
            seeds = torch.randint(n, (k,), generator=generator)
            log_weight = prior.new_full((k,), -math.log(k))
            log_table = self._log_normalise(_dense(x[seeds.numpy()].T.toarray()) + prior)
            r = prior.new_zeros(n, k)
            for _ in range(iterations):
                before, r = r, (_dense(x @ log_table.numpy()) + log_weight).softmax(1)
                density += n * k
                log_weight = ((r.sum(0) + 1) / (n + k)).log()
                log_table = self._log_normalise(_dense(transposed @ r.numpy()) + prior)
                if (r - before).abs().max() < FIXED:
                    break
            value = float((_dense(held @ log_table.numpy()) + log_weight).logsumexp(1).mean())
            rows.append({"step": run, "components": k, "smoothing": a, "valid": value})
            if not best or value > best[0]:
                best = value, k, a, log_weight, log_table
            log(run + 1, len(runs))
        value, k, a, log_weight, log_table = best
        if not log_table.isfinite().all():
            raise Diverged(f"EM with {k} components left the finite numbers (validation mass {value})")
        self.log_weight = log_weight.to(self.log_weight.device)
        self.log_table = log_table.T.contiguous().to(self.log_table.device)
        return History(rows, {"density": density}, {"components": k, "smoothing": a, "valid": value})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw a component, then every pixel on its own, `[n, C, H, W]`."""
        k = torch.multinomial(self.log_weight.exp().cpu(), n, replacement=True, generator=generator)
        table = self.log_table.exp().cpu().reshape(-1, self.event.levels)
        rows = (k[:, None] * self.event.dim + torch.arange(self.event.dim)).flatten()
        blocks = rows.split(max(CELLS // self.event.levels, 1))
        pixels = torch.cat([torch.multinomial(table[block], 1, generator=generator) for block in blocks])
        return pixels.reshape(n, *self.event.shape).to(self.log_table.device)

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log mass `[B]` at floor(y), in nats."""
        pixel = torch.arange(self.event.dim, device=y.device) * self.event.levels
        index = y.floor().long().flatten(1) + pixel
        log_mass = embedding_bag(index, self.log_table.T.contiguous(), mode="sum") + self.log_weight
        return Bounds.exact(log_mass.logsumexp(1), density=len(y))

    def _log_normalise(self, counts: Tensor) -> Tensor:
        table = counts.unflatten(0, (-1, self.event.levels))
        return (table / table.sum(1, keepdim=True)).log().flatten(0, 1)

    def _indicators(self, x: Tensor) -> csr_array:
        """1[x_ij = l], `[N, D * levels]`, with D ones a row."""
        n, D = len(x), self.event.dim
        column = x.long().cpu().flatten(1) + self.event.levels * torch.arange(D)
        start = np.arange(0, n * D + 1, D)
        return csr_array((np.ones(n * D), column.flatten().numpy(), start), shape=(n, D * self.event.levels))


def _dense(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array))
