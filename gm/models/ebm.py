"""An energy-based model: the copula tilted by a trained network."""

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from gm.densities.copula import Copula, dequantise
from gm.densities.tilted import Tilted
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.average import move_average
from gm.nets.steps import resumable
from gm.sampling.anneal import ais
from gm.sampling.chain import run
from gm.sampling.langevin import MALA
from gm.sampling.logz import log_mean
from gm.sampling.path import Geometric


class Energy(nn.Module):
    """f(w): two hidden SiLU layers on z = L w, of linear growth, so that exp(-f) has a finite mean under N(0, I).

    Directions of large variance in z, which hold what images share, weigh more in the first layer than they do in w.
    Convolutions, if any, stand before the two layers: 4 x 4 filters at stride 2 with SiLU, on z as an image.
    """

    def __init__(self, shape: tuple[int, int, int], width: int, channels: Sequence[int] = ()) -> None:
        super().__init__()
        dim, self.shape = math.prod(shape), tuple(shape)
        self.register_buffer("factor", torch.eye(dim))
        height, breadth = (size >> len(channels) for size in shape[1:])
        if min(height, breadth) < 1:
            raise ValueError(f"{len(channels)} convolutions halve {shape[1]} x {shape[2]} pixels to nothing")
        ends = [shape[0], *channels]
        self.convolutions = nn.Sequential()
        for inward, outward in pairwise(ends):
            self.convolutions.extend([nn.Conv2d(inward, outward, 4, stride=2, padding=1), nn.SiLU()])
        inputs = ends[-1] * height * breadth if channels else dim
        self.layers = nn.Sequential(
            nn.Linear(inputs, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )
        for layer in [*self.convolutions[::2], *self.layers[::2]]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            # small, not zero: from zero the first hundreds of steps have no signal
            self.layers[-1].weight.mul_(0.1)

    def forward(self, w: Tensor) -> Tensor:
        """`[B, D]` to `[B]`."""
        z = w @ self.factor.T
        if len(self.convolutions):
            z = self.convolutions(z.reshape(-1, *self.shape)).flatten(1)
        return self.layers(z).squeeze(-1)


class EBM(Model):
    """Cross-entropy fit of p(y) = q0(y) exp(-f(w(y))) / Z by persistent chains:

        grad -E log p = E_data grad f - E_p grad f,

    the second mean from chains that start at exact draws of q0 and follow Metropolis-adjusted Langevin dynamics, run
    on whenever f_neg - f_data drifts beyond a threshold. The averaged weights with the best validation density are
    kept, where log Z comes from a short annealing with the same noise at every check.

    References: T. Tieleman, "Training restricted Boltzmann machines using approximations to the likelihood
    gradient" (2008); E. Nijkamp, M. Hill, T. Han, S.-C. Zhu and Y. N. Wu, "On the anatomy of MCMC-based maximum
    likelihood learning of energy-based models" (2020).

    Arguments:
        event: shape and levels.
        width: hidden width of the network.
        channels: channels of its convolutions; none by default.
        pool: number of persistent chains.
    """

    family = "kl"
    serves = ("binary", "levels")
    devices = ("cpu", "gpu")

    def __init__(self, event: Event, *, width: int = 256, channels: Sequence[int] = (), pool: int = 256) -> None:
        super().__init__(event)
        self.density = Tilted(Copula(*self.event), Energy(self.event.shape, width, channels))
        self.register_buffer("pool", torch.zeros(pool, self.event.dim))

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        steps: int = 700,
        batch: int = 256,
        rate: float = 3e-3,
        decay: float = 0.3,
        ema: float = 0.99,
        moves: int = 5,
        most_moves: int = 40,
        gap: float = 3.0,
        checks: int = 8,
        generator: torch.Generator,
        log: Log,
    ) -> History:
        """Adam on the two means; Langevin step adapted to 60 % acceptance, here and nowhere else.

        Arguments:
            steps: optimisation steps.
            batch: images per step.
            rate: initial learning rate, decayed to a tenth along a cosine.
            decay: weight decay (decoupled).
            ema: decay of the weight average.
            moves: Langevin moves between two steps.
            most_moves: moves at most, while |f_neg - f_data| exceeds `gap`.
            gap: threshold, nats.
            checks: number of validations.

        Raises:
            Diverged: if an energy or a weight is not finite, or the gap exceeds 100 nats after `most_moves` moves.
        """
        reference, energy = self.density.reference.estimate(train.x), self.density.tilt
        energy.factor = reference.factor.float()
        path, h = self.density.path(), 1.65 * self.event.dim ** (-1 / 6)
        w_valid = reference.whiten(dequantise(valid.x, generator=generator)).float()
        check_seed = int(torch.randint(2**62, (), generator=generator))
        average, best = copy.deepcopy(energy), copy.deepcopy(energy)
        adam = torch.optim.AdamW(energy.parameters(), lr=rate, betas=(0.0, 0.99), weight_decay=decay)
        at = {"chains": self.density.draw_base(len(self.pool), generator=generator), "langevin_step": h}
        at |= {"rows": [], "gradient": 0, "valid_gain": -math.inf}
        for step in resumable(steps, log, at, energy, average, best, adam, generator):
            for group in adam.param_groups:
                group["lr"] = rate * (0.55 + 0.45 * math.cos(math.pi * (step - 1) / steps))
            index = torch.randint(len(train.x), (batch,), generator=generator)
            x = train.rows(index, generator=generator)
            f_data = energy(reference.whiten(dequantise(x, generator=generator)).float()).mean()
            data_mean = f_data.item()
            chains, h, accept, n = _persist(
                path, at["chains"], at["langevin_step"], data_mean, (moves, most_moves), gap, generator=generator
            )
            at["chains"], at["langevin_step"] = chains, h
            f_neg = energy(chains).mean()
            difference = f_neg.item() - data_mean
            if not abs(difference) < 100:
                raise Diverged(f"f_neg - f_data is {difference:.4g} nats at step {step} of {steps}, after {n} moves")
            adam.zero_grad()
            (f_data - f_neg).backward()
            norm = nn.utils.clip_grad_norm_(energy.parameters(), 1.0)
            adam.step()
            move_average(average, energy, min(ema, step / (step + 9)))
            at["gradient"] += (n + 2) * len(chains) + batch
            if step % max(steps // checks, 1) == 0:
                log_z, cost = self._short_log_z(average, h, check_seed)
                at["gradient"] += cost
                with torch.no_grad():
                    gain = -float(average(w_valid).mean()) - log_z
                if gain > at["valid_gain"]:
                    at["valid_gain"] = gain
                    best.load_state_dict(average.state_dict())
                at["rows"].append(
                    {
                        "step": step,
                        "gap": difference,
                        "f_data": data_mean,
                        "f_neg": f_neg.item(),
                        "valid_gain": gain,
                        "accept": accept,
                        "langevin_step": h,
                        "moves": n,
                        "gradient_norm": norm.item(),
                    }
                )
        energy.load_state_dict(best.state_dict())
        kernel = MALA(path, at["langevin_step"])
        state, info = run(kernel, path.init(at["chains"]), 300, generator=generator)
        self.pool = state.x
        facts = {"valid_gain": at["valid_gain"], "accept": float(info.accept.mean())}
        return History(at["rows"], {"gradient": at["gradient"] + info.evals}, facts)

    def sample(
        self,
        n: int,
        *,
        temperatures: int = 200,
        excess: int = 4,
        moves: int = 200,
        resample: Literal["end", "path"] = "end",
        generator: torch.Generator,
    ) -> Tensor:
        """Anneal draws of q0, resample them by weight, move them at p, map them back, floor (`Tilted.anneal`)."""
        try:
            w, _ = self.density.anneal(
                n, temperatures=temperatures, excess=excess, moves=moves, resample=resample, generator=generator
            )
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        return self.density.reference.unwhiten(w).floor().long()

    def bounds(
        self,
        y: Tensor,
        *,
        chains: int = 256,
        temperatures: int = 280,
        alpha: float = 0.05,
        generator: torch.Generator,
    ) -> Bounds:
        """log q0(y) - f(w(y)) minus an interval for log Z: upper end certified, lower end heuristic (`Tilted`).

        Arguments:
            chains: annealed in each direction, split into groups by a pilot.
            temperatures: T.
            alpha: failure probability of the certified end.
        """
        try:
            log_z = self.density.log_z(
                self.pool, chains=chains, temperatures=temperatures, alpha=alpha, generator=generator
            )
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        return Bounds.normalised(self.density.log_unnormalised(y), log_z, density=len(y))

    def outlier_scores(self, y: Tensor, bounds: Bounds, *, generator: torch.Generator) -> dict[str, Tensor]:
        """`nll`; `tilt` = f(w(y)), minus the log ratio to q0, and `score_norm` = |grad_w log p|: no log Z needed."""
        return {"nll": -bounds.lower, "tilt": self.density.energy(y), "score_norm": self.density.score_norm(y)}

    def _short_log_z(self, energy: nn.Module, h: float, seed: int) -> tuple[float, int]:
        """A rough log Z: 96 chains, 150 temperatures, the same noise at every check; and its gradient evaluations."""
        generator = torch.Generator().manual_seed(seed)
        path, lams = Geometric.tilted(energy), torch.linspace(0, 1, 151)
        start = 1.65 * self.event.dim ** (-1 / 6)
        x = torch.randn(96, self.event.dim, generator=generator).to(self.pool.device)
        try:
            runs = ais(path, lambda t: MALA(path, start * (h / start) ** float(lams[t])), lams, x, generator=generator)
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        return float(log_mean(runs.log_w)), runs.evals


def _persist(
    path: Geometric,
    x: Tensor,
    h: float,
    f_data: float,
    moves: tuple[int, int],
    gap: float,
    *,
    generator: torch.Generator,
) -> tuple[Tensor, float, float, int]:
    """Move the persistent chains at least `moves[0]` times, and on to `moves[1]` while |f_neg - f_data| > gap.

    Returns:
        The chains, the adapted step, the last mean acceptance, and the number of moves.
    """
    state, n, f_neg = path.init(x), 0, math.inf
    while n < moves[0] or (n < moves[1] and abs(f_neg - f_data) > gap):
        kernel = MALA(path, h)
        state, info = kernel(state, 1.0, kernel.noise(state, generator=generator))
        accept, n = float(info.accept.mean()), n + 1
        h *= math.exp(0.05 * (accept - 0.6))
        f_neg = float((state.u[:, 0] - state.u[:, 1]).mean())
    return state.x, h, accept, n
