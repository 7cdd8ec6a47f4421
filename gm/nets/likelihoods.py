"""What a decoder's outputs mean: a probability mass on the levels of each pixel.

A likelihood is stateless. It says how many outputs it wants per pixel (`outputs`), gives the log mass of integers x,
and draws integers, with x of shape `[*, D]` and the decoder's outputs of shape `[*, outputs * D]`.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus


@dataclass(frozen=True)
class Bernoulli:
    """Pixels in {0, 1}; the output is the logit of a one.

    Example:
        >>> Bernoulli().log_prob(torch.ones(1, 1), torch.zeros(1, 1)).exp()
        tensor([0.5000])
    """

    outputs: int = 1

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log mass `[*]` of integers `[*, D]` in nats."""
        return -softplus(torch.where(x > 0, -outputs, outputs)).sum(-1)

    def sample(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Integers `[*, D]`."""
        u = torch.rand(outputs.shape, generator=generator, device=generator.device).to(outputs)
        return (u < outputs.sigmoid()).long()


@dataclass(frozen=True)
class DiscretisedLogistic:
    r"""Pixels in {0, ..., L-1}, each a mixture of logistics cut at the edges between levels.

    .. math:: p(x) = \sum_c \pi_c \left[ \sigma\left(\frac{e_{x+1} - \mu_c}{s_c}\right)
        - \sigma\left(\frac{e_x - \mu_c}{s_c}\right) \right], \qquad e_l = \frac{2 l}{L} - 1

    with the outer edges :math:`e_0, e_L` moved to minus and plus infinity, so that the mass sums to one exactly. The
    difference is evaluated as :math:`\sigma(b) - \sigma(a) = \sigma(b) \sigma(-a) (1 - e^{a - b})`.

    References:
        PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other Modifications (Tim
        Salimans, Andrej Karpathy, Xi Chen and Diederik P. Kingma, 2017)

    Arguments:
        levels: number of levels L.
        components: logistics per pixel.
        floor: least log scale, relative to a level's width 2/L: below it a near miss would cost without bound.
    """

    levels: int
    components: int = 1
    floor: float = -2.0

    @property
    def outputs(self) -> int:
        """Outputs per pixel: a location, a log scale and, in a mixture, a logit for each component."""
        return self.components * (3 if self.components > 1 else 2)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log mass `[*]` of integers `[*, D]` in nats."""
        location, log_scale, log_weight = self._split(outputs)
        x = x.unsqueeze(-2).to(outputs)
        rate = (-log_scale).exp()
        width = 2 / self.levels
        below = (x * width - 1 - location) * rate
        first, last = x == 0, x == self.levels - 1
        # log sigma(b) where there is an upper edge, log sigma(-a) where there is a lower one.
        log_upper = torch.where(last, 0.0, -softplus(-below - width * rate))
        log_lower = torch.where(first, 0.0, -softplus(below))
        log_inside = torch.where(first | last, 0.0, torch.log(-torch.expm1(-width * rate)))
        return (log_weight + log_upper + log_lower + log_inside).logsumexp(-2).sum(-1)

    def sample(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Integers `[*, D]`."""
        location, log_scale, log_weight = self._split(outputs)
        u, v = torch.rand(2, *location.shape, generator=generator, device=generator.device).to(location)
        component = (log_weight - (-u.clamp(min=1e-30).log()).log()).argmax(-2, keepdim=True)
        t = location + log_scale.exp() * v.logit(eps=1e-6)
        level = ((t.gather(-2, component).squeeze(-2) + 1) * self.levels / 2).floor()
        return level.clamp(0, self.levels - 1).long()

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        parts = outputs.unflatten(-1, (self.outputs // self.components, self.components, -1))
        location = parts[..., 0, :, :]
        log_scale = parts[..., 1, :, :].clamp(self.floor + math.log(2 / self.levels), 5.0)
        if self.components == 1:
            return location, log_scale, torch.zeros_like(location)
        return location, log_scale, log_softmax(parts[..., 2, :, :], -2)


def likelihood(levels: int, *, components: int = 1) -> Bernoulli | DiscretisedLogistic:
    """Bernoulli for two levels, otherwise a discretised mixture of logistics."""
    return Bernoulli() if levels == 2 else DiscretisedLogistic(levels, components)
