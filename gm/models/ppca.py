"""Control: probabilistic principal component analysis, the Gaussian with a low-rank covariance plus noise."""

import torch
from torch import Tensor

from gm.densities import ppca
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
        components: number of components q, below D; None chooses it on the validation split; negative counts from D,
            so that -1 is the Gaussian of the full covariance.
    """

    family = "control"

    def __init__(self, event: Event, *, components: int | None = None) -> None:
        super().__init__(event)
        self.components = ppca.checked(components, self.event.dim)
        self.register_buffer("mean", torch.empty(0, dtype=torch.float64))
        self.register_buffer("weight", torch.empty(0, dtype=torch.float64))
        self.register_buffer("noise", torch.empty(0, dtype=torch.float64))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """Maximum likelihood in closed form; q, unless given, is that of highest validation likelihood."""
        try:
            spectrum = ppca.Spectrum.of(train.x)
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        curve = spectrum.curve(valid.x)
        q = int(curve.argmax()) if self.components is None else self.components
        self.mean, self.weight, self.noise = spectrum.keep(q)
        rows = [{"step": k, "valid": float(value)} for k, value in enumerate(curve)]
        return History(rows, facts={"components": q, "noise_variance": float(self.noise)})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw y, then floor and clip it to the levels, `[n, C, H, W]`."""
        return ppca.to_levels(self._density().sample(n, generator=generator), *self.event)

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density `[B]` at y, in nats."""
        return Bounds.exact(self._density().log_prob(y), density=len(y))

    def _density(self) -> ppca.PPCA:
        return ppca.PPCA(self.mean, self.weight, self.noise)
