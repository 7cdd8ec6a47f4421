"""A latent Gaussian decoded into an image, whose density is an integral over the latent space."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gm.nets.likelihoods import Bernoulli, DiscretisedLogistic, Normal
from gm.rng import row_streams
from gm.sampling.importance import Design, Gaussian, adapt, design, importance_bounds


class Sandwich(NamedTuple):
    r"""Ends of log p(x) per row, float64, in nats.

    From two rounds of fitting on, the terms hold the likelihood regret: what the evidence lower bound L gains when q is
    optimised for one image, over full Gaussians and as far as the rounds go, both values at the same noise:

    .. math:: \max_q L(x; q) - L(x; q(\cdot | x)) \ge 0

    Reference:
        Likelihood Regret: An Out-of-Distribution Detection Score For Variational Auto-encoder (Zhisheng Xiao, Qing
        Yan and Yali Amit, 2020)

    Attributes:
        terms: `elbo` of the encoder's q, `iw_<K>` the lower ends by number of draws K, `ess`, `regret`, each `[B]`.
        upper: `[B]`, never below the last lower end.
        gap: mean distance of the two ends on simulated images, where both are certified; None without any.
        evals: evaluations of the joint density.
    """

    terms: dict[str, Tensor]
    upper: Tensor
    gap: float | None
    evals: int

    def note(self, draws: int, *, simulated: int, alpha: float) -> str:
        """Why the upper end is heuristic, and what the estimate can do if the data are like the model."""
        text = f"upper end heuristic: its posterior draw is resampled from {draws} proposals"
        if self.gap is None:
            return text
        slack = 2 * math.log(1 / alpha) / simulated
        return (
            f"{text}; on {simulated} simulated images, whose posterior draw is exact, both ends are certified, each "
            f"with failure probability {alpha:g}: {self.gap + slack:.3f} nats apart, {slack:.3f} of them slack"
        )


class Decoded(NamedTuple):
    r"""The law of an image decoded from a standard normal latent.

    .. math:: p(x) = \int N(z; 0, I) \, p(x | z) dz

    Attributes:
        latent: dimension of z.
        decode: maps z `[*, latent]` to the outputs of the likelihood.
        likelihood: what the outputs mean.
    """

    latent: int
    decode: Callable[[Tensor], Tensor]
    likelihood: Bernoulli | DiscretisedLogistic | Normal

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """log N(z; 0, I) + log p(x | z), `[*]`, for x `[*, D]` and z `[*, latent]`."""
        prior = -0.5 * (z.square().sum(-1) + self.latent * math.log(2 * math.pi))
        return prior + self.likelihood.log_prob(x, self.decode(z))

    def noise(self, n: int, like: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draws of z, `[n, latent]`, of the dtype and on the device of another tensor."""
        return torch.randn(n, self.latent, generator=generator, device=generator.device).to(like)

    def bound(
        self,
        x: Tensor,
        q: tuple[Tensor, Tensor],
        points: Design,
        *,
        rounds: int,
        sizes: Sequence[int],
        exact: Tensor | None = None,
        generator: torch.Generator,
    ) -> tuple[dict[str, Tensor], int]:
        """Ends and diagnostics of one image `[1, D]`, and the evaluations spent.

        Arguments:
            x: what the likelihood sees of the image.
            q: mean and standard deviation to start from, `[1, latent]` each.
            points: where the proposal is fitted.
            rounds: of fitting it (`gm.sampling.importance.adapt`).
            sizes: numbers of draws.
            exact: a posterior draw `[latent]`, float64.
            generator: source of the noise.
        """
        mean, std = (part[0] for part in q)

        def log_joint(z: Tensor) -> Tensor:
            return self.log_joint(x, z.to(mean))

        proposal, elbos, evals = adapt(log_joint, Gaussian(mean.double(), std.double().diag()), points, rounds=rounds)
        found = importance_bounds(log_joint, proposal, sizes=sizes, exact=exact, generator=generator)
        lower = {f"iw_{size}": value for size, value in found.lower.items() if size > 1 or max(sizes) == 1}
        ends = {"elbo": elbos[0] if elbos else found.lower[1], **lower, "upper": found.upper, "ess": found.ess}
        return ends | ({"regret": max(elbos) - elbos[0]} if rounds > 1 else {}), found.evals + evals

    def sandwich(
        self,
        y: Tensor,
        encode: Callable[[Tensor], tuple[Tensor, Tensor]],
        *,
        rounds: int,
        excess: float,
        sizes: Sequence[int],
        simulated: int,
        generator: torch.Generator,
    ) -> Sandwich:
        """Bound rows, each with a stream and a proposal of its own, and images simulated from the law.

        Reference:
            Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo (Roger Grosse, Siddharth Ancha
            and Daniel M. Roy, 2016)

        Arguments:
            y: rows `[B, C, H, W]`.
            encode: maps x `[1, D]` to the mean and the standard deviation that its proposal starts from.
            rounds: of fitting a proposal.
            excess: points per coefficient of a fit.
            sizes: numbers of draws; the largest gives the ends.
            simulated: images to simulate, of which z is an exact posterior draw.
            generator: key of the noise.

        Raises:
            FloatingPointError: a density at a fitting point is not finite.
        """
        y = y.flatten(1)
        eps, solve = design(self.latent, excess=excess, generator=generator)
        points = Design(eps.to(y.device), solve.to(y.device))
        z = self.noise(simulated, encode(self.likelihood.observe(y[:1]))[0], generator=generator)
        x = self.likelihood.draw(self.decode(z), generator=generator)
        given = {"rounds": rounds, "sizes": sizes}
        known = [
            self.bound(row, encode(row), points, **given, exact=latent, generator=generator)
            for row, latent in zip(x[:, None], z.double(), strict=True)
        ]
        # One row at a time: a matrix product of another height may round another way.
        rows = zip(self.likelihood.observe(y).split(1), row_streams(y, generator=generator), strict=True)
        found = [self.bound(row, encode(row), points, **given, generator=g) for row, g in rows]
        terms = {name: torch.stack([row[name] for row, _ in found]) for name in found[0][0]}
        best = f"iw_{max(sizes)}"
        gap = float(sum(row["upper"] - row[best] for row, _ in known)) / simulated if known else None
        return Sandwich(terms, terms.pop("upper"), gap, sum(evals for _, evals in known + found))
