"""Restricted Boltzmann machine: small enough to enumerate, so that annealing is checked against the truth."""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gm.densities.boltzmann import ENUMERABLE, Tempered, ascend, enumerate_log_z, fresh
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.steps import resumable
from gm.rng import stream
from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.gibbs import BlockGibbs, uniforms
from gm.sampling.logz import LogZ
from gm.sampling.sandwich import sandwich


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
    x0 = path.draw_base(n, generator=generator)
    kernel = BlockGibbs(path)
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
        path, rates = fresh(x, len(self.hidden), generator=generator)
        chains = (uniforms((batch, len(rates)), rates, generator) < rates).to(rates)
        at = {"path": _tensors(path), "chains": chains, "rows": [], "best": None}
        for step in resumable(steps, log, at, generator):
            index = torch.randint(len(x), (batch,), generator=generator, device=generator.device)
            eta = rate * (1 - (step - 1) / steps)
            batched = train.rows(index.to(x.device), generator=generator).flatten(1).to(x)
            path = Tempered(*at["path"])
            path, at["chains"] = ascend(path, batched, at["chains"], rate=eta, decay=decay, generator=generator)
            at["path"] = _tensors(path)
            self.weight, self.visible, self.hidden, self.base = path.weight, path.visible, path.hidden, path.base
            if step % every == 0 or step == steps:
                value = float(self._pseudo(held).mean())
                if not math.isfinite(value):
                    raise Diverged(f"at step {step} the pseudo-likelihood is {value}")
                at["rows"].append({"step": step, "valid": value, "weight_norm": float(self.weight.norm())})
                if at["best"] is None or value > at["best"][0]:
                    at["best"] = value, step, self.weight, self.visible, self.hidden
        _, chosen, self.weight, self.visible, self.hidden = at["best"]
        self.base = at["path"][3]
        return History(at["rows"], {"gibbs": steps * batch}, {"best_step": chosen})

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
        start = path.init(path.draw_base(n, generator=generator))
        state, _ = run(BlockGibbs(path), start, sweeps, generator=generator)
        return state.x

    def _pseudo(self, v: Tensor) -> Tensor:
        """Pseudo-log-likelihood sum_j log p(v_j | the rest), `[B]`."""
        path = self._path()
        state, flipped = path.init(v), path.init((v[:, None] - torch.eye(v.shape[1]).to(v)).abs())
        return -softplus(path.log_prob(flipped, 1.0) - path.log_prob(state, 1.0)[:, None]).sum(1)


def _tensors(path: Tempered) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    return path.weight, path.visible, path.hidden, path.base
