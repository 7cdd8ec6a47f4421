"""Variational auto-encoder with a multi-layer perceptron on each side."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from gm.densities.decoded import Decoded
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets import private
from gm.nets.likelihoods import Bernoulli, DiscretisedLogistic, Normal, likelihood
from gm.nets.mlp import Append, mlp
from gm.nets.steps import resumable


class VAE(Model):
    r"""A latent Gaussian decoded into a mass on the levels of each pixel, with a diagonal Gaussian posterior.

    .. math:: p(x) = \int N(z; 0, I) \prod_j p(x_j | z) dz, \qquad
        \log p(x) \ge E_{q(z | x)} \log p(x | z) - KL(q(z | x) \| N(0, I))

    Pixels are discretised logistics (Bernoulli for two levels), so the density at y is the mass at floor(y).

    References:
        Auto-Encoding Variational Bayes (Diederik P. Kingma and Max Welling, 2014); Stochastic Backpropagation
        and Approximate Inference in Deep Generative Models (Danilo J. Rezende and others, 2014)

    Arguments:
        event: the space of one example.
        latent: dimension of z.
        encoder: widths of the encoder's hidden layers.
        decoder: widths of the decoder's hidden layers.
        components: logistics per pixel.
        scale: of a pixel: `decoded` from z with its location, or one learned number `shared` by all (two levels: none).
    """

    family = "vae"
    measure = "mass"
    devices = ("cpu", "gpu")

    def __init__(
        self,
        event: Event,
        *,
        latent: int = 16,
        encoder: Sequence[int] = (128, 128),
        decoder: Sequence[int] = (64, 128),
        components: int = 1,
        scale: Literal["decoded", "shared"] = "decoded",
    ) -> None:
        super().__init__(event)
        self.latent = latent
        self.likelihood = self._likelihood(components, shared=scale == "shared")
        self.encoder = mlp([self.event.dim, *encoder, 2 * latent])
        self.decoder = mlp([latent, *decoder, self.likelihood.outputs * self.event.dim])
        if self.likelihood.shared:
            self.decoder.append(Append(-1.0))

    def _likelihood(self, components: int, *, shared: bool) -> Bernoulli | DiscretisedLogistic | Normal:
        return likelihood(self.event.levels, components=components, shared=shared)

    @property
    def density(self) -> Decoded:
        """The law of an image."""
        return Decoded(self.latent, self.decoder, self.likelihood)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x), each `[B, latent]`, for what the likelihood sees, `[B, D]`."""
        mean, log_variance = self.encoder(2 * x.float() / (self.event.levels - 1) - 1).chunk(2, -1)
        return mean, (0.5 * log_variance.clamp(-10.0, 4.0)).exp()

    def elbo_terms(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """log p(x | z) at one draw, and the exact divergence from the prior, each `[B]`, in nats."""
        mean, std = self.posterior(x)
        divergence = 0.5 * (mean.square() + std.square() - 1).sum(-1) - std.log().sum(-1)
        return self.likelihood.log_prob(x, self.decoder(mean + std * noise)), divergence

    def forward(self, x: Tensor, noise: Tensor) -> Tensor:
        """The negative evidence lower bound at one draw, `[B]`, in nats."""
        fidelity, divergence = self.elbo_terms(x, noise)
        return divergence - fidelity

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
        draws: int = 8,
        keep: Literal["best", "last"] = "best",
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
            draws: of z for each image of a validation.
            keep: `best`, the weights of the highest bound on validation, or `last`, with nothing to stop overfitting.

        Raises:
            Diverged: the loss left the finite numbers.
        """
        held = self.likelihood.dequantise(valid.x.flatten(1).repeat(draws, 1), generator=generator)
        held_noise = self._noise(len(held), generator)
        optimiser = torch.optim.Adam(self.parameters(), lr=rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
        at = {"rows": [], "best": None}
        for step in resumable(steps, log, at, self, optimiser, schedule, generator):
            index = torch.randint(len(train.x), (batch,), generator=generator, device=generator.device)
            x = train.rows(index.to(train.x.device), generator=generator).flatten(1)
            x = self.likelihood.dequantise(x, generator=generator)
            weight = min(1.0, step / max(warm_up * steps, 1))
            fidelity, divergence = self.elbo_terms(x, self._noise(batch, generator))
            loss = (weight * divergence - fidelity).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            if step % every == 0 or step == steps:
                with torch.no_grad():
                    held_fidelity, held_divergence = self.elbo_terms(held, held_noise)
                value = float((held_fidelity - held_divergence).mean())
                terms = {"loss": loss, "reconstruction": -fidelity.mean(), "divergence": divergence.mean()}
                row = {name: float(term.detach()) for name, term in terms.items()}
                if not all(map(math.isfinite, (*row.values(), value))):
                    raise Diverged(f"at step {step} the loss is {row['loss']} and the validation bound {value}")
                at["rows"].append({"step": step, **row, "valid": value})
                if at["best"] is None or value > at["best"][0] or keep == "last":
                    at["best"] = value, step, {name: tensor.clone() for name, tensor in self.state_dict().items()}
        value, step, weights = at["best"]
        self.load_state_dict(weights)
        return History(at["rows"], {"gradient": steps * batch}, {"best_step": step, "valid_elbo": value})

    @torch.no_grad()
    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draw z from the prior, then every pixel on its own, `[n, C, H, W]`."""
        outputs = self.decoder(self._noise(n, generator))
        return self.likelihood.sample(outputs, generator=generator).reshape(n, *self.event.shape)

    @torch.no_grad()
    def bounds(
        self,
        y: Tensor,
        *,
        generator: torch.Generator,
        rounds: int = 2,
        excess: float = 3.0,
        sizes: Sequence[int] = (10, 50, 200),
        simulated: int = 100,
        alpha: float = 0.05,
    ) -> Bounds:
        """Importance-weighted ends for log p(y), `[B]`, in nats: the lower certified, the upper heuristic.

        Each row's proposal is a Gaussian fitted to its posterior, from the encoder's on, at points that no bound draws
        (`gm.sampling.importance`). The certified end's slack ln(1/alpha) is to be taken off its sum over rows. The note
        says how near both ends come on images simulated from the model, where both are certified.

        Arguments:
            y: rows `[B, C, H, W]`.
            generator: key of the noise; each row has a stream of its own.
            rounds: of fitting the proposal; 0 keeps the encoder's. A latent space of d dimensions takes
                `excess` (1 + d + d (d + 1) / 2) evaluations a round, at least 64.
            excess: points per coefficient of a fit, above 2.
            sizes: numbers of draws K to report; the largest gives the ends, the others divide it.
            simulated: images to simulate; 0 leaves the note without them.
            alpha: failure probability of each certified end.

        Raises:
            Diverged: a density at a fitting point is not finite.
        """
        try:
            found = self.density.sandwich(
                y, self.posterior, rounds=rounds, excess=excess, sizes=sizes, simulated=simulated, generator=generator
            )
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        K, slack = max(sizes), math.log(1 / alpha)
        return Bounds(
            found.terms[f"iw_{K}"],
            found.upper,
            ("certified", "heuristic"),
            slack=slack,
            alpha=alpha,
            terms=found.terms,
            evals={"density": found.evals},
            note=found.note(K, simulated=simulated, alpha=alpha),
        )

    @torch.no_grad()
    def outlier_scores(self, y: Tensor, bounds: Bounds, *, generator: torch.Generator) -> dict[str, Tensor]:
        """Scores `[B]`, nats: `nll`; `reconstruction`, -log p(x | E z); `regret`, if `bounds` fitted twice or more."""
        rows = self.likelihood.observe(y).flatten(1).split(1)
        fidelity = [self.likelihood.log_prob(x, self.decoder(self.posterior(x)[0])) for x in rows]
        scores = {"nll": -bounds.lower, "reconstruction": -torch.cat(fidelity).double()}
        return scores | ({"regret": bounds.terms["regret"]} if "regret" in bounds.terms else {})

    def _noise(self, n: int, generator: torch.Generator) -> Tensor:
        return self.density.noise(n, next(self.parameters()), generator=generator)


class GaussianVAE(VAE):
    r"""The same latent Gaussian decoded into a density of y = x + u: the field's VAE of real-valued images.

    .. math:: p(y) = \int N(z; 0, I) \prod_j N(y_j; \mu_j(z), \sigma^2) dz

    with one learned :math:`\sigma` by default. A part of the density lies outside [0, levels); samples are clipped.

    References:
        Simple and Effective VAE Training with Calibrated Decoders (Oleh Rybkin and others, 2021)

    Arguments:
        event, latent, encoder, decoder, scale: as for `VAE`.
    """

    serves = ("levels",)
    measure = "density"

    def __init__(
        self,
        event: Event,
        *,
        latent: int = 16,
        encoder: Sequence[int] = (128, 128),
        decoder: Sequence[int] = (64, 128),
        scale: Literal["decoded", "shared"] = "shared",
    ) -> None:
        super().__init__(event, latent=latent, encoder=encoder, decoder=decoder, scale=scale)

    def _likelihood(self, components: int, *, shared: bool) -> Normal:
        return Normal(self.event.levels, shared=shared)


class PrivateVAE(VAE):
    """A VAE fitted under differential privacy: by clipped, noisy gradients, for a number of steps fixed beforehand.

    The guarantee is about one training image more or less (`gm.nets.private`: towards whom, and on what terms).
    Validation images come from the same people: none is looked at, the last weights are kept, and no loss is recorded.
    The number of training images counts as public.

    Arguments:
        event, latent, encoder, decoder, components, scale: as for `VAE`.
    """

    devices = ("cpu",)

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        generator: torch.Generator,
        log: Log,
        steps: int = 500,
        batch: int = 150,
        rate: float = 0.003,
        epsilon: float = 8.0,
        delta: float = 1e-5,
        noise: float | None = None,
        clip: float = 1.0,
    ) -> History:
        """Maximise the evidence lower bound by Adam on private gradients.

        Arguments:
            train, valid, generator, log: as for `VAE.fit`; no image of `valid` is used.
            steps: gradient steps.
            batch: expected images a step; each image joins it with probability batch / n.
            rate: learning rate.
            epsilon: of the guarantee: the least noise that meets it is added.
            delta: of the guarantee.
            noise: standard deviation of the noise in units of `clip`, in place of `epsilon`.
            clip: greatest norm of an image's gradient.
        """
        n = len(train.x)
        terms = {"rate": min(1.0, batch / n), "steps": steps}
        sigma = noise or private.noise_multiplier(epsilon, delta=delta, **terms)

        def inputs(index: Tensor) -> tuple[Tensor, Tensor]:
            x = train.rows(index.to(train.x.device), generator=generator).flatten(1)
            return self.likelihood.dequantise(x, generator=generator), self._noise(len(index), generator)

        adam = torch.optim.Adam(self.parameters(), lr=rate)
        given = terms | {"n": n, "multiplier": sigma, "clip": clip, "optimiser": adam, "generator": generator}
        private.descend(self, inputs, log=log, **given)
        facts = {"epsilon": private.epsilon(sigma, delta=delta, **terms), "delta": delta, "noise_multiplier": sigma}
        return History(evals={"gradient": round(steps * terms["rate"] * n)}, facts=facts)
