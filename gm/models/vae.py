"""Variational auto-encoder with a multi-layer perceptron on each side."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.likelihoods import likelihood
from gm.nets.mlp import mlp
from gm.rng import row_streams
from gm.sampling.importance import Design, Gaussian, design, fit, importance_bounds
from gm.sampling.logz import log_mean


class VAE(Model):
    r"""A latent Gaussian decoded into a mass on the levels of each pixel, with a diagonal Gaussian posterior.

    .. math:: p(x) = \int N(z; 0, I) \prod_j p(x_j | z) dz, \qquad
        \log p(x) \ge E_{q(z | x)} \log p(x | z) - KL(q(z | x) \| N(0, I))

    Pixels are discretised logistics (Bernoulli for two levels), so the density at y is the mass at floor(y).

    References:
        Auto-Encoding Variational Bayes (Diederik P. Kingma and Max Welling, 2014); Stochastic Backpropagation
        and Approximate Inference in Deep Generative Models (Danilo J. Rezende, Shakir Mohamed and Daan
        Wierstra, 2014)

    Arguments:
        event: the space of one example.
        latent: dimension of z.
        encoder: widths of the encoder's hidden layers.
        decoder: widths of the decoder's hidden layers.
        components: logistics per pixel.
    """

    family = "vae"
    measure = "mass"

    def __init__(
        self,
        event: Event,
        *,
        latent: int = 16,
        encoder: Sequence[int] = (128, 128),
        decoder: Sequence[int] = (64, 128),
        components: int = 1,
    ) -> None:
        super().__init__(event)
        self.latent = latent
        self.likelihood = likelihood(self.event.levels, components=components)
        self.encoder = mlp([self.event.dim, *encoder, 2 * latent])
        self.decoder = mlp([latent, *decoder, self.likelihood.outputs * self.event.dim])

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x), each `[B, latent]`, for integers `[B, D]`."""
        mean, log_variance = self.encoder(2 * x.float() / (self.event.levels - 1) - 1).chunk(2, -1)
        return mean, (0.5 * log_variance.clamp(-10.0, 4.0)).exp()

    def elbo_terms(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) at one draw, and the exact divergence from the prior, each `[B]`, in nats."""
        mean, std = self.posterior(x)
        divergence = 0.5 * (mean.square() + std.square() - 1).sum(-1) - std.log().sum(-1)
        return self.likelihood.log_prob(x, self.decoder(mean + std * noise)), divergence

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        generator: torch.Generator,
        log: Log,
        steps: int = 2000,
        batch: int = 100,
        rate: float = 0.003,
        warm_up: float = 0.2,
        every: int = 100,
    ) -> History:
        """Maximise the evidence lower bound by Adam; keep the weights of the highest bound on validation.

        Arguments:
            train: images to fit.
            valid: images that choose the step.
            generator: source of batches and noise.
            log: progress.
            steps: gradient steps.
            batch: images a step.
            rate: learning rate, halfway down a cosine at half the steps.
            warm_up: share of the steps over which the weight of the divergence rises from 0 to 1.
            every: steps between validations.

        Raises:
            Diverged: the loss left the finite numbers.
        """
        x, held = train.x.flatten(1), valid.x.flatten(1).repeat(8, 1)
        held_noise = self._normal(len(held), generator)
        optimiser = torch.optim.Adam(self.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        rows, best = [], None
        for step in range(1, steps + 1):
            index = torch.randint(len(x), (batch,), generator=generator, device=generator.device).to(x.device)
            weight = min(1.0, step / max(warm_up * steps, 1))
            fidelity, divergence = self.elbo_terms(x[index], self._normal(batch, generator))
            loss = (weight * divergence - fidelity).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % every == 0 or step == steps:
                with torch.no_grad():
                    held_fidelity, held_divergence = self.elbo_terms(held, held_noise)
                value = float((held_fidelity - held_divergence).mean())
                row = {"loss": loss, "reconstruction": -fidelity.mean(), "divergence": divergence.mean()}
                row = {name: float(part.detach()) for name, part in row.items()}
                if not all(map(math.isfinite, (*row.values(), value))):
                    raise Diverged(f"at step {step} the loss is {row['loss']} and the validation bound {value}")
                rows.append({"step": step, **row, "valid": value})
                if best is None or value > best[0]:
                    best = value, step, {name: tensor.clone() for name, tensor in self.state_dict().items()}
            log(step, steps)
        self.load_state_dict(best[2])
        return History(rows, {"gradient": steps * batch}, {"best_step": best[1], "valid_elbo": best[0]})

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw z from the prior, then every pixel on its own, `[n, C, H, W]`."""
        outputs = self.decoder(self._normal(n, generator))
        return self.likelihood.sample(outputs, generator=generator).reshape(n, *self.event.shape)

    @torch.no_grad()
    def bounds(
        self,
        y: Tensor,
        *,
        generator: torch.Generator,
        rounds: int = 2,
        sizes: Sequence[int] = (10, 50, 200),
        simulated: int = 100,
        alpha: float = 0.05,
    ) -> Bounds:
        """Importance-weighted ends for log p(floor(y)), `[B]`, in nats: the lower certified, the upper heuristic.

        The proposal of each row is a full Gaussian, fitted to its posterior from the encoder's on (`fit`), at points
        that all rows share and no bound draws. The certified end's slack ln(1/alpha) is to be taken off its sum over
        rows (`gm.sampling.importance`). The note says how far apart *both certified* ends of the mean lie on images
        simulated from the model, of which z is an exact posterior draw: what the estimate can do, if the data are
        like the model; it upgrades no end.

        Reference:
            Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo (Roger Grosse, Siddharth Ancha
            and Daniel M. Roy, 2016)

        Arguments:
            y: rows `[B, C, H, W]`.
            generator: key of the noise; each row has a stream of its own.
            rounds: of fitting the proposal, until one's mean weight at the points is a nat below the one before, which
                is then kept; 0 keeps the encoder's. A latent space of d dimensions takes 3 (1 + d + d (d + 1) / 2)
                evaluations a round, at least 64.
            sizes: numbers of draws K to report; the largest gives the ends, the others divide it.
            simulated: images to simulate; 0 leaves the note without them.
            alpha: failure probability of each certified end.

        Raises:
            Diverged: a density at a fitting point is not finite.
        """
        points = design(self.latent, generator=generator)
        z = self._normal(simulated, generator)
        x = self.likelihood.sample(self.decoder(z), generator=generator)
        try:
            known = [
                self._bound(row, points, rounds, sizes, generator, exact=latent)
                for row, latent in zip(x[:, None], z.double(), strict=True)
            ]
            # One row at a time: a matrix product of another height may round another way.
            found = [
                self._bound(row, points, rounds, sizes, g)
                for row, g in zip(y.floor().flatten(1).split(1), row_streams(y, generator=generator), strict=True)
            ]
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        terms = {name: torch.stack([row[name] for row, _ in found]) for name in found[0][0]}
        upper, K, slack = terms.pop("upper"), max(sizes), math.log(1 / alpha)
        note = f"upper end heuristic: its posterior draw is resampled from {K} proposals"
        if known:
            gap = float(sum(row["upper"] - row[f"iw_{K}"] for row, _ in known)) / simulated + 2 * slack / simulated
            note += (
                f"; on {simulated} simulated images, whose posterior draw is exact, both ends are certified, each with "
                f"failure probability {alpha:g}: {gap:.3f} nats apart, {2 * slack / simulated:.3f} of them slack"
            )
        return Bounds(
            terms[f"iw_{K}"],
            upper,
            ("certified", "heuristic"),
            slack=slack,
            alpha=alpha,
            terms=terms,
            evals={"density": sum(evals for _, evals in known + found)},
            note=note,
        )

    @torch.no_grad()
    def outlier_scores(self, y: Tensor, bounds: Bounds, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scores `[B]`: `nll`, and `reconstruction`, -log p(x | z) at the posterior mean, in nats."""
        rows = y.floor().flatten(1).split(1)
        fidelity = [self.likelihood.log_prob(x, self.decoder(self.posterior(x)[0])) for x in rows]
        return {"nll": -bounds.lower, "reconstruction": -torch.cat(fidelity).double()}

    def _bound(
        self,
        x: Tensor,
        points: Design,
        rounds: int,
        sizes: Sequence[int],
        generator: torch.Generator,
        *,
        exact: Tensor | None = None,
    ) -> tuple[dict[str, Tensor], int]:
        """Ends and diagnostics of one image `[1, D]`, and the evaluations spent."""

        def log_joint(z: Tensor) -> Tensor:
            z = z.to(mean)
            prior = -0.5 * (z.square().sum(-1) + self.latent * math.log(2 * math.pi))
            return prior + self.likelihood.log_prob(x, self.decoder(z))

        mean, std = (part[0] for part in self.posterior(x))
        q, elbo, best = Gaussian(mean.double(), std.double().diag()), None, None
        evals = 0
        for _ in range(rounds):
            following, log_w = fit(log_joint, q, points)
            evals += len(log_w)
            elbo, value = log_w.mean(0) if elbo is None else elbo, log_mean(log_w, 0)
            if best is not None and value < best[1] - 1:
                # far from the data a quadratic can mislead, by many nats; less is noise
                q = best[0]
                break
            q, best = following, (q, value)
        found = importance_bounds(log_joint, q, sizes=sizes, exact=exact, generator=generator)
        lower = {f"iw_{size}": value for size, value in found.lower.items() if size > 1 or max(sizes) == 1}
        ends = {"elbo": found.lower[1] if elbo is None else elbo, **lower, "upper": found.upper, "ess": found.ess}
        return ends, found.evals + evals

    def _normal(self, n: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, self.latent, generator=generator, device=generator.device)
        return noise.to(next(self.parameters()).device)
