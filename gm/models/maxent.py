"""Maximum-entropy models: the copula tilted until it has the data's moments of a deep representation."""

from typing import Literal

import torch
from torch import Tensor, nn

from gm.densities.copula import Copula, blockwise, dequantise
from gm.densities.exponential import Exponential, certificate, draw_moments, soul
from gm.densities.score_matching import score_matching
from gm.densities.tilted import ROWS, Tilted
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.representation import Representation, learn_labels


class Statistics(nn.Module):
    """Statistics of a representation of the image z = L w, from w `[B, D]` to `[B, P]`."""

    def __init__(self, shape: tuple[int, int, int], net: Representation) -> None:
        super().__init__()
        self.shape, self.net = shape, net
        self.register_buffer("factor", torch.zeros(0, 0))

    def image(self, w: Tensor) -> Tensor:
        """z = L w, `[B, C, H, W]`: normal scores of the pixels."""
        return (w @ self.factor.T).reshape(len(w), *self.shape)

    def forward(self, w: Tensor) -> Tensor:
        """`[B, D]` to `[B, P]`."""
        return self.net.statistics(self.image(w))


class MaxEnt(Model):
    """The law nearest to the copula q0, in relative entropy, among those with the data's moments E T,

        p(y) = q0(y) exp(-lambda . T(w(y))) / Z(lambda),    E_p T = mean of T on the training images,

    which is also the maximum-likelihood tilt. T are p whitened statistics of a frozen convolutional representation
    (`gm.nets.representation`), clipped smoothly, so that Z is finite (`gm.densities.exponential`). lambda starts from
    denoising score matching and is brought to its optimum by persistent, Metropolis-adjusted chains (SOUL). Fresh
    chains then certify it: facts `moment_residual_z` (1 is Monte-Carlo noise) and `optimisation_gap` (nats, heuristic).

    The number of moments is the only regulariser, to be set on validation: with p moments from N images the train-test
    gap is about p / N nats, and the stationarity condition that the certificate measures is the constraint itself,
    which a penalty on lambda would shift.

    References: E. T. Jaynes, "Information theory and statistical mechanics" (1957); V. De Bortoli, A. Desolneux,
    A. Durmus, B. Galerne and A. Leclaire, "Maximum entropy methods for texture synthesis: theory and practice" (2021);
    V. De Bortoli, A. Durmus, M. Pereyra and A. Vidal, "Efficient stochastic optimisation by unadjusted Langevin Monte
    Carlo" (2021).

    Arguments:
        event: shape and levels.
        channels: channels of the representation's layers.
        units: its linear units; at least the number of classes, if it is learned.
        moments: p, at most.
        pool: number of chains.
        gain: standard deviation of the representation's initial weights, times the root of their fan-in.
    """

    family = "maxent"
    serves = ("binary", "levels")

    def __init__(
        self,
        event: Event,
        *,
        channels: tuple[int, ...] = (8, 16, 32),
        units: int = 11,
        moments: int = 200,
        pool: int = 128,
        gain: float = 1.5,
    ) -> None:
        super().__init__(event)
        self.moments, self.gain = moments, gain
        net = Representation(self.event.shape, channels=channels, units=units)
        self.density = Tilted(Copula(*self.event), Exponential(Statistics(self.event.shape, net)))
        self.register_buffer("pool", torch.zeros(pool, self.event.dim))
        self.register_buffer("precision", torch.zeros(0, 0, dtype=torch.float64))

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        steps: int = 500,
        moves: int = 1,
        rate: float = 0.25,
        noise: float = 0.3,
        probes: int | None = None,
        repeats: int = 4,
        burn: int = 300,
        draws: int = 40,
        generator: torch.Generator,
        log: Log,
    ) -> History:
        """Make the representation and freeze it, fit lambda, certify it, and keep the certificate's chains.

        Arguments:
            steps: updates of lambda.
            moves: Langevin moves between two updates.
            rate: first step of lambda.
            noise: s of denoising score matching, in (0, 1).
            probes: random directions that score matching looks along, for large images; None: all pixels' axes.
            repeats: dequantisations of the training images that the data's moments average.
            burn: moves of the certificate's fresh chains before they are looked at.
            draws: times at which they are looked at, 5 moves apart.

        Raises:
            Diverged: if lambda or a moment is not finite.
        """
        tilt, chains = self.density.tilt, len(self.pool)
        tilt.raw.factor = self.density.reference.estimate(train.x).factor.float()
        tilt.raw.net.initialise(gain=self.gain, generator=generator)
        history = History(facts=self._represent(tilt.raw, train, valid, generator))
        w = self._whitened(train.x.repeat(repeats, 1, 1, 1), generator)
        tilt.estimate(w, moments=self.moments)
        tilt.multiplier = score_matching(tilt.moments, w[:500], noise=noise, probes=probes, generator=generator)

        start = self.density.draw_base(2 * chains, generator=generator)
        # at lambda_0 already, or the first updates would chase the chains' way from the reference
        step = self.event.dim ** (-1 / 6)
        _, warm, warmed = draw_moments(
            tilt, start[:chains], step, burn=burn // 3 + 1, draws=1, thin=1, generator=generator
        )
        try:
            fitted = soul(
                tilt,
                warm,
                steps=steps,
                moves=moves,
                rate=rate,
                generator=generator,
                log=log,
            )
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        t, self.pool, evals = draw_moments(
            tilt, start[chains:], fitted.step, burn=burn, draws=draws, thin=5, generator=generator
        )
        try:
            found = certificate(t)
        except FloatingPointError as error:
            raise Diverged(str(error)) from error
        self.precision = torch.linalg.inv(found.covariance)
        history.rows, history.evals["gradient"] = fitted.rows, warmed + fitted.evals + evals
        history.facts |= {
            "moments": len(tilt.multiplier),
            "moment_residual_z": found.residual_z,
            "optimisation_gap": (found.gap, found.gap_se, chains, "heuristic"),
        }
        return history

    def sample(
        self,
        n: int,
        *,
        temperatures: int = 100,
        excess: int = 2,
        moves: int = 100,
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
        chains: int = 128,
        temperatures: int = 140,
        alpha: float = 0.05,
        generator: torch.Generator,
    ) -> Bounds:
        """log q0(y) - lambda . T(w(y)) minus an interval for log Z: upper end certified, lower heuristic (`Tilted`).

        Arguments:
            chains: annealed in each direction, split into groups by a pilot.
            temperatures: T of the annealing.
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
        """`nll`, and three that need no log Z: `tilt` = lambda . T, minus the log ratio to q0; `score_norm` =
        |grad_w log p|; and the score statistic.

        `score_statistic` = T' C^-1 T, with C the model's covariance of T, whose mean under the model is 0: the squared
        score of lambda, large where the moments are untypical, be the density high or low.
        """
        with torch.no_grad():
            t = blockwise(self.density.tilt.moments, self.density.reference.whiten(y).float(), ROWS).double()
        return {
            "nll": -bounds.lower,
            "tilt": self.density.energy(y),
            "score_norm": self.density.score_norm(y),
            "score_statistic": ((t @ self.precision) * t).sum(1),
        }

    def _represent(
        self, statistics: Statistics, train: Split, valid: Split, generator: torch.Generator
    ) -> dict[str, float | tuple[float, float, int]]:
        """Train the representation, whose weights are drawn already, and return facts about it; here: leave it."""
        return {}

    def _whitened(self, x: Tensor, generator: torch.Generator) -> Tensor:
        """w of images with fresh noise, float32 `[N, D]`."""
        return self.density.reference.whiten(dequantise(x, generator=generator)).float()


class MaxEntRandom(MaxEnt):
    """`MaxEnt` whose representation keeps its random weights."""

    labels = False


class MaxEntLearned(MaxEnt):
    """`MaxEnt` whose representation is a classifier (arguments as there, and below).

    It learns the labels of the training images at even positions, train[0::2]; a metric's network learns from the odd
    positions, so that no ruler is the representation that a contestant was fitted to. The moments are those of all
    training images. By default it differs from `MaxEntRandom` by that alone. Otherwise the last unit stands
    for one class more, draws of the reference q0: what tells images from q0 is what a tilt of q0 needs, and it is
    no label. The architecture is the same in all cases.

    Reference: M. Gutmann and A. Hyvarinen, "Noise-contrastive estimation: a new estimation principle for unnormalized
    statistical models" (2010), for learning against draws of a known reference.

    Arguments:
        learning_steps: optimisation steps of the classifier.
        background: draws of q0 in a batch beside 128 images; 0 learns the labels alone.
    """

    labels = True

    def __init__(
        self,
        event: Event,
        *,
        channels: tuple[int, ...] = (8, 16, 32),
        units: int = 11,
        moments: int = 200,
        pool: int = 128,
        gain: float = 1.5,
        learning_steps: int = 500,
        background: int = 0,
    ) -> None:
        super().__init__(event, channels=channels, units=units, moments=moments, pool=pool, gain=gain)
        self.learning_steps, self.background = learning_steps, background

    def _represent(
        self, statistics: Statistics, train: Split, valid: Split, generator: torch.Generator
    ) -> dict[str, float | tuple[float, float, int]]:
        """Train the classifier; accuracy among the labels, on validation."""
        x, label = train.x[0::2], train.label[0::2]
        net, none = statistics.net, len(statistics.net.offset) - 1
        if int(label.max()) >= none:
            raise ValueError(
                f"found label {int(label.max())}; expected labels below units - 1 = {none}; the last unit is q0"
            )

        def draw() -> tuple[Tensor, Tensor]:
            index = torch.randint(len(x), (128,), generator=generator)
            w = self._whitened(x[index], generator)
            base = self.density.draw_base(self.background, generator=generator)
            target = torch.cat([label[index], label.new_full((self.background,), none)])
            return statistics.image(torch.cat([w, base])), target

        learn_labels(net, draw, steps=self.learning_steps)
        with torch.no_grad():
            logits = net(statistics.image(self._whitened(valid.x, generator)))
        correct = (logits[:, :none].argmax(1) == valid.label).double()
        error = float(correct.std(correction=0)) / len(correct) ** 0.5
        return {"representation_accuracy": (float(correct.mean()), error, len(correct))}
