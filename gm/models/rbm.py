"""Restricted Boltzmann machine: small enough to enumerate, so that annealing is checked against the truth."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.rng import stream
from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.kernels import Info
from gm.sampling.logz import LogZ, sandwich

ENUMERABLE = 20


class Visible(NamedTuple):
    """Visible units `x` `[..., D]`, the linear terms `u` of both ends `[..., 2]`, `hidden` inputs `[..., H]`."""

    x: Tensor
    u: Tensor
    hidden: Tensor


class Uniforms(NamedTuple):
    """Uniform noise of one sweep, for the hidden and the visible units."""

    hidden: Tensor
    visible: Tensor


@dataclass(frozen=True, eq=False)
class Tempered:
    r"""The path from independent pixels with biases a, normalised, to the machine :math:`(W, b, c)`.

    .. math:: \log \pi_\lambda(v) = (1 - \lambda) \log q(v) + \lambda\, b \cdot v
        + \sum_h \left[ \text{softplus}(\lambda (c + v W)_h) - (1 - \lambda) \ln 2 \right]

    References:
        On the Quantitative Analysis of Deep Belief Networks (Ruslan Salakhutdinov and Iain Murray, 2008)
    """

    weight: Tensor
    visible: Tensor
    hidden: Tensor
    base: Tensor

    def init(self, x: Tensor) -> Visible:
        """Evaluate everything that any temperature needs at `x`, shape `[..., D]`."""
        u = torch.stack([x @ self.base - softplus(self.base).sum(), x @ self.visible], -1)
        return Visible(x, u, self.hidden + x @ self.weight)

    def log_prob(self, state: Visible, lam: float | Tensor) -> Tensor:
        """Unnormalised log mass per row, `[...]`, in nats."""
        linear = (1 - lam) * state.u[..., 0] + lam * state.u[..., 1]
        return linear + softplus(lam * state.hidden).sum(-1) - (1 - lam) * len(self.hidden) * math.log(2)


@dataclass(frozen=True, eq=False)
class Gibbs:
    """One sweep, hidden units given visible ones and back: reversible at every temperature of the path."""

    path: Tempered
    invariant: ClassVar[bool] = True
    weighted: ClassVar[bool] = False

    def noise(self, state: Visible, *, generator: torch.Generator) -> Uniforms:
        """Draw the uniform numbers of one sweep."""
        shapes = (state.hidden.shape, state.x.shape)
        return Uniforms(*(_rand(shape, generator).to(state.x) for shape in shapes))

    def __call__(self, state: Visible, lam: float | Tensor, noise: Uniforms) -> tuple[Visible, Info]:
        """One transition; no proposal is ever rejected."""
        path = self.path
        h = (noise.hidden < (lam * state.hidden).sigmoid()).to(state.x)
        logit = (1 - lam) * path.base + lam * (path.visible + h @ path.weight.T)
        state = path.init((noise.visible < logit.sigmoid()).to(state.x))
        return state, Info(torch.ones_like(state.u[..., 0]), state.u[..., 0].numel(), 0)


def enumerate_log_z(weight: Tensor, visible: Tensor, hidden: Tensor, *, block: int = 4096) -> float:
    r"""log Z in nats, by summing the visible units out and all :math:`2^H` hidden states up.

    .. math:: Z = \sum_h e^{c \cdot h} \prod_j (1 + e^{(b + W h)_j})

    Example:
        >>> zeros = torch.zeros(3, dtype=torch.float64)
        >>> round(enumerate_log_z(torch.zeros(3, 2, dtype=torch.float64), zeros, zeros[:2]) / math.log(2), 6)
        5.0
    """
    parts = []
    for index in torch.arange(2 ** len(hidden), device=hidden.device).split(block):
        h = (index[:, None] >> torch.arange(len(hidden), device=hidden.device) & 1).to(hidden)
        parts.append((h @ hidden + softplus(visible + h @ weight.T).sum(1)).logsumexp(0))
    return float(torch.stack(parts).logsumexp(0))


def annealed_log_z(
    path: Tempered,
    x1: Tensor,
    *,
    groups: int,
    chains: int,
    temperatures: int,
    alpha: float,
    generator: torch.Generator,
) -> LogZ:
    """Enclose log Z by `groups * chains` annealed runs, and as many back from `x1` `[groups * chains, D]`.

    The schedule is even and Gibbs has nothing to tune, so there is no pilot and the lower end is certified.
    """
    n = groups * chains
    lams = torch.linspace(0, 1, temperatures + 1, dtype=torch.float64)
    x0 = (_rand((n, len(path.base)), generator).to(path.base) < path.base.sigmoid()).to(path.base)
    kernel = Gibbs(path)
    forward = ais(path, lambda _: kernel, lams, x0, generator=generator)
    back = ais(path, lambda _: kernel, lams, x1, generator=generator, reverse=True)
    log_w = (part.log_w.reshape(groups, chains) for part in (forward, back))
    return sandwich(*log_w, alpha, evals={"gibbs": forward.evals + back.evals})


class RBM(Model):
    r"""A restricted Boltzmann machine on binary pixels.

    .. math:: p(v) = \frac{1}{Z} \sum_h e^{b \cdot v + c \cdot h + v^T W h}
        = \frac{1}{Z} e^{b \cdot v} \prod_k (1 + e^{(c + v W)_k})

    Fitted by stochastic maximum likelihood with persistent chains. Up to 20 hidden units Z is enumerated and
    the density is exact; annealed importance sampling then stands beside it, as a check of the method.

    References:
        Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient (Tijmen Tieleman,
        2008)

    Arguments:
        event: the space of one example.
        hidden: number of hidden units.
    """

    family = "kl"
    measure = "mass"
    serves = ("binary",)

    def __init__(self, event: Event, *, hidden: int = 16) -> None:
        super().__init__(event)
        D = self.event.dim
        shapes = {"weight": (D, hidden), "visible": (D,), "hidden": (hidden,), "base": (D,)}
        for name, shape in shapes.items():
            self.register_buffer(name, torch.zeros(shape, dtype=torch.float64))

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        generator: torch.Generator,
        log: Log,
        steps: int = 10000,
        batch: int = 100,
        rate: float = 0.2,
        decay: float = 0.0001,
        every: int = 500,
    ) -> History:
        """Follow the likelihood's gradient, estimated by persistent chains, with a rate that falls to zero.

        Arguments:
            train: images to fit.
            valid: images whose pseudo-likelihood is recorded, and chooses the step.
            generator: source of the start, batches and chains.
            log: progress.
            steps: gradient steps, each with one sweep of the chains.
            batch: images a step, and chains.
            rate: learning rate at the start.
            decay: pull of the weights to zero.
            every: steps between records.

        Raises:
            Diverged: the parameters left the finite numbers.
        """
        x, held = train.x.flatten(1).to(self.weight), valid.x.flatten(1).to(self.weight)
        # Base rates with one pseudo-image: finite biases for pixels that never change.
        rates = (x.sum(0) + 0.5) / (len(x) + 1)
        self.base = rates.logit()
        self.visible, self.hidden = self.base.clone(), torch.zeros_like(self.hidden)
        start = torch.randn(self.weight.shape, generator=generator, device=generator.device)
        self.weight = 0.01 * start.to(self.weight)
        rows, best = [], None
        chains = (_rand((batch, len(rates)), generator).to(rates) < rates).to(rates)
        for step in range(1, steps + 1):
            index = torch.randint(len(x), (batch,), generator=generator, device=generator.device)
            data = x[index.to(x.device)]
            path = self._path()
            kernel, state = Gibbs(path), path.init(chains)
            state, _ = kernel(state, 1.0, kernel.noise(state, generator=generator))
            chains = state.x
            up, down = (self.hidden + data @ self.weight).sigmoid(), state.hidden.sigmoid()
            eta = rate * (1 - (step - 1) / steps)
            self.weight = self.weight + eta * ((data.T @ up - chains.T @ down) / batch - decay * self.weight)
            self.visible = self.visible + eta * (data - chains).mean(0)
            self.hidden = self.hidden + eta * (up - down).mean(0)
            if step % every == 0 or step == steps:
                value = float(self._pseudo(held).mean())
                if not math.isfinite(value):
                    raise Diverged(f"at step {step} the pseudo-likelihood is {value}")
                rows.append({"step": step, "valid": value, "weight_norm": float(self.weight.norm())})
                if best is None or value > best[0]:
                    best = value, step, self.weight, self.visible, self.hidden
            log(step, steps)
        _, chosen, self.weight, self.visible, self.hidden = best
        return History(rows, {"gibbs": steps * batch}, {"best_step": chosen})

    def sample(self, n: int, *, generator: torch.Generator, sweeps: int = 2000) -> Tensor:
        """Independent Gibbs chains of `sweeps` from the base rates, `[n, C, H, W]`."""
        return self._chains(n, sweeps, generator).long().reshape(n, *self.event.shape)

    def bounds(
        self,
        y: Tensor,
        *,
        generator: torch.Generator,
        groups: int = 32,
        chains: int = 8,
        temperatures: int = 1000,
        sweeps: int = 2000,
        alpha: float = 0.05,
    ) -> Bounds:
        """The log mass `[B]` at floor(y), in nats: exact up to 20 hidden units, else between annealed ends.

        Where it is exact, the terms `ais_lower` and `ais_upper` hold the ends that annealing alone would give.

        Arguments:
            y: rows `[B, C, H, W]`.
            generator: source of the annealed runs; all rows share one log Z.
            groups: R, independent groups of annealed runs.
            chains: M, runs averaged in each group.
            temperatures: T.
            sweeps: Gibbs sweeps before the reverse runs start.
            alpha: failure probability of the certified end.
        """
        key = int(torch.randint(2**62, (), generator=generator))
        streams = [stream(key, name, device=str(generator.device)) for name in ("start", "anneal")]
        x1 = self._chains(groups * chains, sweeps, streams[0])
        sizes = {"groups": groups, "chains": chains, "temperatures": temperatures, "alpha": alpha}
        path = self._path()
        log_z = annealed_log_z(path, x1, **sizes, generator=streams[1])
        rows = y.floor().flatten(1).to(self.weight)
        # Row by row: a matrix product of another height may round another way.
        log_prob = torch.stack([path.log_prob(path.init(row), 1.0) for row in rows])
        evals = {"gibbs": log_z.evals["gibbs"] + len(x1) * sweeps, "density": len(y)}
        annealed = Bounds.normalised(log_prob, log_z, **evals)
        if len(self.hidden) > ENUMERABLE:
            return annealed
        truth = enumerate_log_z(self.weight, self.visible, self.hidden)
        ends = f"[{log_z.lower - truth:+.4f}, {log_z.upper - truth:+.4f}]"
        exact = log_prob - truth
        return Bounds(
            exact,
            exact,
            ("exact", "exact"),
            shared=(-truth, -truth),
            terms={"ais_lower": annealed.lower, "ais_upper": annealed.upper},
            evals={**annealed.evals, "enumerated": 2 ** len(self.hidden)},
            note=f"log Z {truth:.4f} by enumeration; annealing gave {ends} about it ({log_z.note})",
        )

    def _path(self) -> Tempered:
        return Tempered(self.weight, self.visible, self.hidden, self.base)

    def _chains(self, n: int, sweeps: int, generator: torch.Generator) -> Tensor:
        path = self._path()
        start = (_rand((n, len(self.base)), generator).to(self.base) < self.base.sigmoid()).to(self.base)
        state, _ = run(Gibbs(path), path.init(start), sweeps, generator=generator)
        return state.x

    def _pseudo(self, v: Tensor) -> Tensor:
        """Pseudo-log-likelihood sum_j log p(v_j | the rest), `[B]`."""
        path = self._path()
        state, flipped = path.init(v), path.init((v[:, None] - torch.eye(v.shape[1]).to(v)).abs())
        return -softplus(path.log_prob(flipped, 1.0) - path.log_prob(state, 1.0)[:, None]).sum(1)


def _rand(shape: Iterable[int], generator: torch.Generator) -> Tensor:
    return torch.rand(tuple(shape), generator=generator, dtype=torch.float64, device=generator.device)
