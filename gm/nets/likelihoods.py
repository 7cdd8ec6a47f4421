"""What a decoder's outputs mean: a probability mass on the levels of each pixel, or a density of y = x + u.

A likelihood is stateless. It says how many outputs it wants per pixel (`outputs`), gives the log mass of integers x,
and draws integers, with x of shape `[*, D]` and the decoder's outputs of shape `[*, outputs * D]`. Where one scale is
`shared` by all pixels it follows their locations, and the shape is `[*, D + 1]`. What it sees of an image is its own
affair too: the integers x = floor(y), or y itself.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, softplus


class Mass:
    """A likelihood of integers: it sees x, whatever the noise u in y = x + u."""

    def observe(self, y: Tensor) -> Tensor:
        """What is seen of y `[*, D]`."""
        return y.floor()

    def dequantise(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """What is seen of integers `[*, D]` in a fit."""
        return x

    def draw(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Exact draws of what is seen, `[*, D]`."""
        return self.sample(outputs, generator=generator)


@dataclass(frozen=True)
class Bernoulli(Mass):
    """Pixels in {0, 1}; the output is the logit of a one.

    Example:
        >>> Bernoulli().log_prob(torch.ones(1, 1), torch.zeros(1, 1)).exp()
        tensor([0.5000])
    """

    outputs: int = 1
    shared: ClassVar[bool] = False

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log mass `[*]` of integers `[*, D]` in nats."""
        return -softplus(torch.where(x > 0, -outputs, outputs)).sum(-1)

    def sample(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Integers `[*, D]`."""
        u = torch.rand(outputs.shape, generator=generator, device=generator.device).to(outputs)
        return (u < outputs.sigmoid()).long()


@dataclass(frozen=True)
class DiscretisedLogistic(Mass):
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
        shared: whether the last output is the log scale of every pixel; for one component.
    """

    levels: int
    components: int = 1
    floor: float = -2.0
    shared: bool = False

    @property
    def outputs(self) -> int:
        """Outputs per pixel: a location, a log scale (unless shared) and, in a mixture, a logit for each component."""
        return self.components * (3 if self.components > 1 else 1 if self.shared else 2)

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log mass `[*]` of integers `[*, D]` in nats."""
        location, log_scale, log_weight = self._split(outputs)
        x = x.unsqueeze(-2).to(outputs)
        rate = (-log_scale).exp()
        width = 2 / self.levels
        below = (x * width - 1 - location) * rate
        lower, upper = (x > 0).to(outputs), (x < self.levels - 1).to(outputs)
        # log sigma(b) where there is an upper edge, log sigma(-a) where there is a lower one.
        log_upper = -softplus(-below - width * rate) * upper
        log_lower = -softplus(below) * lower
        log_inside = torch.log(-torch.expm1(-width * rate)) * (lower * upper)
        if self.components == 1:
            return (log_upper + log_lower + log_inside).flatten(-2).sum(-1)
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
        if self.shared:
            location, log_scale = outputs[..., None, :-1], outputs[..., None, -1:]
            return location, log_scale.clamp(self.floor + math.log(2 / self.levels), 5.0), torch.zeros_like(location)
        parts = outputs.unflatten(-1, (self.outputs // self.components, self.components, -1))
        location = parts[..., 0, :, :]
        log_scale = parts[..., 1, :, :].clamp(self.floor + math.log(2 / self.levels), 5.0)
        if self.components == 1:
            return location, log_scale, torch.zeros_like(location)
        return location, log_scale, log_softmax(parts[..., 2, :, :], -2)


@dataclass(frozen=True)
class Normal:
    r"""Pixels y in [0, L), each a normal on the scale t = 2 y / L - 1 that the decoder works on.

    .. math:: p(y) = \frac{2}{L} N\left(\tfrac{2 y}{L} - 1;\, \mu, s^2\right)

    A constant pixel would draw s to nothing and the density to infinity, if y = x + u did not carry the noise u. Its
    standard deviation of :math:`1 / \sqrt{12}` level is the best scale of a constant pixel, and so the least allowed.

    Arguments:
        levels: number of levels L.
        shared: whether the last output is the log scale of every pixel.
    """

    levels: int
    shared: bool = False

    @property
    def outputs(self) -> int:
        """Outputs per pixel: a location and, unless it is shared, a log scale."""
        return 1 if self.shared else 2

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """Log density `[*]` of reals `[*, D]` in nats, on the scale of y."""
        location, log_scale = self._split(outputs)
        width = 2 / self.levels
        xi = (x.to(outputs) * width - 1 - location) * (-log_scale).exp()
        return -(0.5 * xi.square() + log_scale).sum(-1) - x.shape[-1] * (0.5 * math.log(2 * math.pi) - math.log(width))

    def observe(self, y: Tensor) -> Tensor:
        """What is seen of y `[*, D]`."""
        return y

    def dequantise(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """What is seen of integers `[*, D]` in a fit: y = x + u with fresh uniform u."""
        return x + torch.rand(x.shape, generator=generator, device=generator.device).to(x.device)

    def draw(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Exact draws of y, `[*, D]`, some of them outside [0, L)."""
        location, log_scale = self._split(outputs)
        eps = torch.randn(location.shape, generator=generator, device=generator.device).to(location)
        return (location + log_scale.exp() * eps + 1) * self.levels / 2

    def sample(self, outputs: Tensor, *, generator: torch.Generator) -> Tensor:
        """Integers `[*, D]`: the floor of a draw, clipped to the levels."""
        return self.draw(outputs, generator=generator).floor().clamp(0, self.levels - 1).long()

    def _split(self, outputs: Tensor) -> tuple[Tensor, Tensor]:
        location, log_scale = (outputs[..., :-1], outputs[..., -1:]) if self.shared else outputs.chunk(2, -1)
        return location, log_scale.clamp(min=math.log(2 / self.levels) - 0.5 * math.log(12))


def likelihood(levels: int, *, components: int = 1, shared: bool = False) -> Bernoulli | DiscretisedLogistic:
    """Bernoulli for two levels, which has no scale to share, otherwise a discretised mixture of logistics.

    Raises:
        ValueError: components of a mixture are to share a scale.
    """
    if shared and components > 1:
        raise ValueError(f"'components' is {components} with one shared scale; expected 1")
    return Bernoulli() if levels == 2 else DiscretisedLogistic(levels, components, shared=shared)
