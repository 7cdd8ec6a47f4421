"""Control: probabilistic principal component analysis, the Gaussian with a low-rank covariance plus noise."""

import math

import torch
from torch import Tensor

from gm.model import Bounds, Diverged, Event, History, Log, Model, Split


class PPCA(Model):
    r"""A Gaussian on the dequantised image y = x + u, fitted in closed form.

    .. math:: p(y) = N(y; \mu, W W^T + \sigma^2 I), \qquad
        W = U_q (\Lambda_q - \sigma^2 I)^{1/2}, \qquad \sigma^2 = \frac{1}{D - q} \sum_{j > q} \lambda_j

    with :math:`(\lambda, U)` the eigenpairs of the covariance of y, averaged over u exactly: that of x plus 1/12
    on the diagonal. The density is the Gaussian's at y, so a part of its mass lies outside [0, levels); samples
    are floored and clipped to the levels, so they follow a slightly different law.

    References:
        Probabilistic Principal Component Analysis (Michael E. Tipping and Christopher M. Bishop, 1999)

    Arguments:
        event: the space of one example.
        components: number of components q, below D; None chooses it on the validation split.
    """

    family = "control"

    def __init__(self, event: Event, *, components: int | None = None) -> None:
        super().__init__(event)
        if components is not None and not 0 <= components < self.event.dim:
            raise ValueError(f"'components' is {components}; expected None or 0..{self.event.dim - 1}")
        self.components = components
        self.register_buffer("mean", torch.empty(0, dtype=torch.float64))
        self.register_buffer("weight", torch.empty(0, dtype=torch.float64))
        self.register_buffer("noise", torch.empty(0, dtype=torch.float64))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Maximum likelihood in closed form; q, unless given, is that of highest validation likelihood."""
        x, held = (split.x.double().flatten(1) + 0.5 for split in (train, valid))
        self.mean = x.mean(0)
        covariance = torch.cov(x.T, correction=0).reshape(len(x.T), -1)
        covariance.diagonal().add_(1 / 12)
        eigenvalues, basis = (part.flip(-1) for part in torch.linalg.eigh(covariance))
        second = ((held - self.mean) @ basis).square().mean(0) + 1 / 12

        D = self.event.dim
        q = torch.arange(D, device=x.device)
        zero = x.new_zeros(1)
        tail = eigenvalues.flip(0).cumsum(0).flip(0) / (D - q)
        kept = torch.cat([zero, (eigenvalues.log() + second / eigenvalues).cumsum(0)[:-1]])
        dropped = (D - q) * tail.log() + second.flip(0).cumsum(0).flip(0) / tail
        likelihood = -0.5 * (kept + dropped + D * math.log(2 * math.pi))
        if not likelihood.isfinite().all():
            raise Diverged(f"the covariance has a smallest eigenvalue of {eigenvalues.min():.3g}")

        best = int(likelihood.argmax()) if self.components is None else self.components
        self.noise = tail[best].clone()
        weight = basis[:, :best] * (eigenvalues[:best] - self.noise).clamp(min=0).sqrt()
        self.weight = weight.contiguous()
        rows = [{"step": k, "valid": float(value)} for k, value in enumerate(likelihood)]
        return History(rows, facts={"components": best, "noise_variance": float(self.noise)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw y, then floor and clip it to the levels, `[n, C, H, W]`."""
        z = self._normal(n, self.weight.shape[1], generator)
        y = self.mean + z @ self.weight.T + self.noise.sqrt() * self._normal(n, self.event.dim, generator)
        return y.floor().clamp(0, self.event.levels - 1).long().reshape(n, *self.event.shape)

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density `[B]` at y, in nats."""
        q = self.weight.shape[1]
        centred = y.double().flatten(1) - self.mean
        capacitance = self.weight.T @ self.weight + self.noise * torch.eye(q).to(self.weight)
        root = torch.linalg.cholesky(capacitance)
        # Row by row: a matrix product of another height may round another way.
        columns = (row[:, None] for row in centred)
        inner = [torch.linalg.solve_triangular(root, self.weight.T @ c, upper=False) for c in columns]
        quadratic = (centred.square().sum(1) - torch.stack(inner).square().sum((1, 2))) / self.noise
        log_det = 2 * root.diagonal().log().sum() + (self.event.dim - q) * self.noise.log()
        log_prob = -0.5 * (quadratic + log_det + self.event.dim * math.log(2 * math.pi))
        return Bounds.exact(log_prob, density=len(y))

    def _normal(self, n: int, d: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, d, dtype=torch.float64, generator=generator, device=generator.device)
        return noise.to(self.mean)
