"""Mixtures of isotropic Gaussians: mode weights, and modes nobody looked for."""

import math

import torch
from torch import Tensor

from gm import rng
from gm.densities.targets.target import Target

LOG_2PI = math.log(2 * math.pi)


class Mixture(Target):
    r"""A mixture of isotropic Gaussians times exp(constant), in products of matrices:

        log p(x) = constant + log sum_k w_k N(x; m_k, s_k^2 I),    log Z = constant.

    |x - m_k|^2 is expanded, in float64: its error is about 1e-16 |x|^2 / s_k^2.

    Arguments:
        weights: w, `[K]`, positive, sum 1.
        means: m, `[K, d]`.
        scales: s, `[K]`.
        spread, constant, mode_weights: see `Target`; spread None is the root mean square of a coordinate.
    """

    def __init__(
        self,
        *,
        weights: Tensor,
        means: Tensor,
        scales: Tensor,
        spread: float | None,
        constant: float,
        mode_weights: Tensor | None = None,
    ) -> None:
        self.weights, self.means, self.scales = weights.double(), means.double(), scales.double()
        dim = means.shape[1]
        rms = (self.weights @ (self.means.square().sum(1) / dim + self.scales**2)).sqrt()
        super().__init__(
            dim=dim,
            spread=float(rms) if spread is None else spread,
            log_z=float(constant),
            constant=constant,
            mode_weights=mode_weights,
        )
        self.offset = self.weights.log() - dim * (self.scales.log() + LOG_2PI / 2)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values `[...]`, float64, and gradients sum_k r_k (m_k - x) / s_k^2 with responsibilities r."""
        y = x.double()
        square = y.square().sum(-1, keepdim=True) - 2 * y @ self.means.T + self.means.square().sum(1)
        terms = self.offset - square / (2 * self.scales**2)
        pull = terms.softmax(-1) / self.scales**2
        grad = pull @ self.means - pull.sum(-1, keepdim=True) * y
        return terms.logsumexp(-1) + self.constant, grad.to(x.dtype)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """A component, then a point of it: float32 `[n, d]`."""
        k = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        z = torch.randn(n, self.dim, generator=generator, dtype=torch.float64, device=generator.device)
        return (self.means[k] + self.scales[k, None] * z).float()


class TwoModes(Mixture):
    r"""Two Gaussians on the diagonal, Delta = separation (1 + width) / 2 apart:

        p(x) = exp(constant) [w N(x; -origin Delta e, I) + (1 - w) N(x; (1 - origin) Delta e, width^2 I)],

    e = (1, ..., 1) / sqrt(d). Separation is in units of the mean of the two standard deviations. The modes are
    divided by the hyperplane that is equally many standard deviations from both means, separation / 2; so
    `mode_weights`, the masses of the two sides, are exact whatever the overlap:
    w Phi(separation / 2) + (1 - w) Phi(-separation / 2), and the rest.

    The case of the missed mode is `dim: 10, separation: 12.0, weight: 0.1, origin: 0.0, spread: 1.0`: the base of a
    sampler is the small mode itself, and 12 standard deviations away lies nine tenths of the mass.

    Arguments:
        dim: d.
        separation: distance of the means, in standard deviations; positive.
        weight: w of the first mode, in (0, 1).
        width: standard deviation of the second mode; that of the first is 1.
        origin: where 0 lies between the means: 0 is on the first, 1 on the second.
        spread: of the base; None is the root mean square of a coordinate.
        constant: log Z, nats.

    Raises:
        ValueError: a parameter out of its range.

    Example:
        >>> target = TwoModes(dim=4, separation=10.0)
        >>> target.mode(target.means).tolist(), [round(w, 4) for w in target.mode_weights.tolist()]
        ([0, 1], [0.6667, 0.3333])
    """

    def __init__(
        self,
        *,
        dim: int,
        separation: float = 6.0,
        weight: float = 2 / 3,
        width: float = 1.0,
        origin: float = 0.5,
        spread: float | None = None,
        constant: float = 1.5,
    ) -> None:
        if not (separation > 0 and 0 < weight < 1 and width > 0):
            raise ValueError(
                f"found separation = {separation}, weight = {weight}, width = {width}; "
                "expected separation > 0, 0 < weight < 1, width > 0"
            )
        gap = separation * (1 + width) / 2
        self.cut = separation / 2 - origin * gap
        inside = (1 + math.erf(separation / 2 / math.sqrt(2))) / 2
        left = weight * inside + (1 - weight) * (1 - inside)
        e = torch.full((dim,), dim**-0.5, dtype=torch.float64)
        super().__init__(
            weights=torch.tensor([weight, 1 - weight], dtype=torch.float64),
            means=torch.stack((-origin * gap * e, (1 - origin) * gap * e)),
            scales=torch.tensor([1.0, width], dtype=torch.float64),
            spread=spread,
            constant=constant,
            mode_weights=torch.tensor([left, 1 - left], dtype=torch.float64),
        )

    def mode(self, x: Tensor) -> Tensor:
        """Which side of the dividing hyperplane, long `[...]`."""
        return (x.double().sum(-1) / math.sqrt(self.dim) > self.cut).long()


class GMM40(Mixture):
    r"""Forty equal Gaussians whose means are uniform on [-box, box]^d, times exp(constant).

    The name covers several laws in the literature: here the standard deviation is `scale` in every direction,
    the weights are 1/40, and a mean that would fall within `apart` standard deviations of an earlier one is drawn
    again. So a point is nearest to the mean of its own component but with probability at most
    39 Phi(-apart / 2), 1.3e-3 by default (6e-6 as it falls for d = 2), and 1/40 is the mass of each mode up to that.

    Reference: L. I. Midgley, V. Stimper, G. N. C. Simm, B. Scholkopf and J. M. Hernandez-Lobato, "Flow annealed
    importance sampling bootstrap" (2023), for the first such mixture, in two dimensions.

    Arguments:
        dim: d, at least 2.
        box: half the side of the cube.
        scale: standard deviation of each component.
        apart: least distance between means, in standard deviations.
        layout: seed of the means.
        constant: log Z, nats.

    Raises:
        ValueError: forty such means do not fit.

    Example:
        >>> target = GMM40(dim=2)
        >>> target.mode(target.means).equal(torch.arange(40)), len(target.mode_weights)
        (True, 40)
    """

    def __init__(
        self,
        *,
        dim: int,
        box: float = 40.0,
        scale: float = 1.0,
        apart: float = 8.0,
        layout: int = 0,
        constant: float = 1.5,
    ) -> None:
        g = rng.stream(layout, "forty modes", dim)
        means = torch.empty(0, dim, dtype=torch.float64)
        for _ in range(10_000):
            mean = box * (2 * torch.rand(1, dim, generator=g, dtype=torch.float64) - 1)
            if not (torch.cdist(mean, means) < apart * scale).any():
                means = torch.cat((means, mean))
            if len(means) == 40:
                break
        else:
            raise ValueError(
                f"{len(means)} of 40 means at least {apart * scale:g} apart fit into [-{box:g}, {box:g}]^{dim} "
                "in 10000 draws; expected a larger box or dim, or a smaller scale or apart"
            )
        uniform = torch.full((40,), 1 / 40, dtype=torch.float64)
        super().__init__(
            weights=uniform,
            means=means,
            scales=torch.full((40,), scale, dtype=torch.float64),
            spread=None,
            constant=constant,
            mode_weights=uniform,
        )

    def mode(self, x: Tensor) -> Tensor:
        """Index of the nearest mean, long `[...]`."""
        return (2 * x.double() @ self.means.T - self.means.square().sum(1)).argmax(-1)
