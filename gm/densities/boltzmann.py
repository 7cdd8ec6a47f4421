"""Restricted Boltzmann machines: the annealed path, its Gibbs sweep, exact enumeration, and the likelihood's ascent."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gm.sampling.gibbs import BlockGibbs, Units, uniforms

ENUMERABLE = 20


class Visible(NamedTuple):
    """Visible units `x` `[..., D]`, the linear terms `u` of both ends `[..., 2]`, `hidden` inputs `[..., H]`."""

    x: Tensor
    u: Tensor
    hidden: Tensor


@dataclass(frozen=True, eq=False)
class Tempered:
    r"""The path from independent units with biases a, normalised, to the machine :math:`(W, b, c)`.

    .. math:: \log \pi_\lambda(v) = (1 - \lambda) \log q(v) + \lambda\, b \cdot v
        + \sum_h \left[ \text{softplus}(\lambda (c + v W)_h) - (1 - \lambda) \ln 2 \right]

    References:
        On the Quantitative Analysis of Deep Belief Networks (Ruslan Salakhutdinov and Iain Murray, 2008)

    Arguments:
        weight: W, float64 `[D, H]`.
        visible: b, `[D]`.
        hidden: c, `[H]`.
        base: a, `[D]`.
        constant: added to the machine's log mass, in nats.
    """

    weight: Tensor
    visible: Tensor
    hidden: Tensor
    base: Tensor
    constant: float = 0.0

    @property
    def sizes(self) -> tuple[int, int]:
        """Hidden units are drawn first, then the visible ones."""
        return len(self.hidden), len(self.visible)

    def init(self, x: Tensor) -> Visible:
        """Evaluate everything that any temperature needs at `x`, shape `[..., D]`."""
        x = x.to(self.weight)
        u = torch.stack([x @ self.base - softplus(self.base).sum(), x @ self.visible + self.constant], -1)
        return Visible(x, u, self.hidden + x @ self.weight)

    def log_prob(self, state: Visible, lam: float | Tensor) -> Tensor:
        """Unnormalised log mass per row, `[...]`, in nats; `lam` is a number or broadcasts over the rows."""
        lam = torch.as_tensor(lam, dtype=state.u.dtype, device=state.u.device)
        linear = (1 - lam) * state.u[..., 0] + lam * state.u[..., 1]
        inputs = lam[..., None] * state.hidden
        return linear + softplus(inputs).sum(-1) - (1 - lam) * len(self.hidden) * math.log(2)

    def sweep(self, state: Visible, lam: Tensor, noise: Units) -> Visible:
        """Hidden units given visible ones and back: reversible at every temperature of the path."""
        hidden, visible = noise.u
        h = (hidden < (lam * state.hidden).sigmoid()).to(state.x)
        logit = (1 - lam) * self.base + lam * (self.visible + h @ self.weight.T)
        return self.init((visible < logit.sigmoid()).to(state.x))

    def draw_base(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Independent units with biases a, float64 `[n, D]` of zeros and ones."""
        u = uniforms((n, len(self.base)), self.base, generator)
        return (u < self.base.sigmoid()).to(self.base)


def hidden_states(weight: Tensor, visible: Tensor, hidden: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states `[n, H]` that numbers `[n]` below 2^H spell in binary, and their log masses `[n]` up to log Z."""
    h = (index[:, None] >> torch.arange(len(hidden), device=hidden.device) & 1).to(hidden)
    return h, h @ hidden + softplus(visible + h @ weight.T).sum(1)


def enumerate_log_z(weight: Tensor, visible: Tensor, hidden: Tensor, *, block: int = 4096) -> float:
    r"""log Z in nats, by summing the visible units out and all :math:`2^H` hidden states up.

    .. math:: Z = \sum_h e^{c \cdot h} \prod_j (1 + e^{(b + W h)_j})

    Example:
        >>> zeros = torch.zeros(3, dtype=torch.float64)
        >>> round(enumerate_log_z(torch.zeros(3, 2, dtype=torch.float64), zeros, zeros[:2]) / math.log(2), 6)
        5.0
    """
    blocks = torch.arange(2 ** len(hidden), device=hidden.device).split(block)
    parts = [hidden_states(weight, visible, hidden, index)[1].logsumexp(0) for index in blocks]
    return float(torch.stack(parts).logsumexp(0))


def exact_draws(
    weight: Tensor, visible: Tensor, hidden: Tensor, n: int, *, generator: torch.Generator, block: int = 4096
) -> Tensor:
    """Exact draws `[n, D]` of zeros and ones: a hidden state by its mass, then the visible units given it."""
    blocks = torch.arange(2 ** len(hidden), device=hidden.device).split(block)
    log_mass = torch.cat([hidden_states(weight, visible, hidden, index)[1] for index in blocks])
    total = log_mass.softmax(0).cumsum(0)
    u = uniforms((n,), hidden, generator) * total[-1]
    index = torch.searchsorted(total, u, right=True).clamp(max=len(total) - 1)
    h, _ = hidden_states(weight, visible, hidden, index)
    p = (visible + h @ weight.T).sigmoid()
    return (uniforms(tuple(p.shape), p, generator) < p).to(p)


def fresh(x: Tensor, hidden: int, *, generator: torch.Generator) -> tuple[Tempered, Tensor]:
    """A machine to start the ascent from: the units' base rates and weights of scale 0.01.

    Arguments:
        x: rows of zeros and ones, float64 `[N, D]`.
        hidden: H.
        generator: source of the weights.

    Returns:
        The machine, and the rates `[D]`, with one pseudo-row: finite biases for units that never change.
    """
    rates = (x.sum(0) + 0.5) / (len(x) + 1)
    start = torch.randn((x.shape[1], hidden), generator=generator, device=generator.device)
    return Tempered(0.01 * start.to(x), rates.logit(), x.new_zeros(hidden), rates.logit()), rates


def ascend(
    path: Tempered, data: Tensor, chains: Tensor, *, rate: float, decay: float, generator: torch.Generator
) -> tuple[Tempered, Tensor]:
    r"""One step up the likelihood's gradient, its second term estimated by persistent chains.

    .. math:: W \leftarrow W + \eta \left( E_{data}[v\, p(h | v)^T] - E_{chains}[v\, p(h | v)^T] - \delta W \right)

    References:
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient (Tijmen Tieleman,
        2008)

    Arguments:
        path: the machine.
        data: a batch `[B, D]`.
        chains: as many chains `[B, D]`, moved by one sweep first.
        rate: eta.
        decay: delta, the pull of the weights to zero.
        generator: source of the sweep's noise.

    Returns:
        The machine after the step, and the chains.
    """
    kernel, state = BlockGibbs(path), path.init(chains)
    state, _ = kernel(state, 1.0, kernel.noise(state, generator=generator))
    chains, batch = state.x, len(data)
    up, down = (path.hidden + data @ path.weight).sigmoid(), state.hidden.sigmoid()
    weight = path.weight + rate * ((data.T @ up - chains.T @ down) / batch - decay * path.weight)
    visible = path.visible + rate * (data - chains).mean(0)
    return Tempered(weight, visible, path.hidden + rate * (up - down).mean(0), path.base), chains
