"""A class-conditional baseline: one low-rank Gaussian per class."""

import torch
from torch import Tensor

from gm.densities import ppca
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split


class ClassPPCA(Model):
    r"""A mixture of one probabilistic PPCA per class, each fitted in closed form to the images of its class alone.

    .. math:: p(y) = \sum_c \pi_c N(y; \mu_c, W_c W_c^T + \sigma_c^2 I)

    with :math:`\pi_c` the class frequencies of the training split and one number of components q for all classes.
    The labels make it a mixture whose components are known, so that nothing is iterated and draws carry their label.
    As in PPCA, a part of the mass lies outside [0, levels), and samples are clipped to the levels.

    References:
        Mixtures of Probabilistic Principal Component Analyzers (Michael E. Tipping and Christopher M. Bishop, 1999)

    Arguments:
        event: the space of one example.
        components: number of components q, below D; None chooses it by the likelihood of the validation images under
            their own classes; negative counts from D.
    """

    family = "control"
    labels = True
    conditional = True

    def __init__(self, event: Event, *, components: int | None = None) -> None:
        super().__init__(event)
        self.components = ppca.checked(components, self.event.dim)
        self.register_buffer("classes", torch.empty(0, dtype=torch.int64))
        for name in ("log_weight", "mean", "weight", "noise"):
            self.register_buffer(name, torch.empty(0, dtype=torch.float64))

    def fit(self, train: Split, valid: Split, *, generator: torch.Generator, log: Log) -> History:
        """A maximum-likelihood Gaussian for every label that occurs in `train`.

        Raises:
            Diverged: if a covariance is not finite and positive.
        """
        self.classes, count = train.label.unique(return_counts=True)
        self.log_weight = (count.double() / count.sum()).log()
        spectra, curve, held = [], 0.0, 0
        for step, label in enumerate(self.classes, 1):
            try:
                spectra.append(ppca.Spectrum.of(train.x[train.label == label]))
            except FloatingPointError as error:
                raise Diverged(f"class {int(label)}: {error}") from error
            own = valid.x[valid.label == label]
            if len(own):
                curve, held = curve + len(own) * spectra[-1].curve(own), held + len(own)
            log(step, len(self.classes))
        if self.components is None and not held:
            raise ValueError("no validation image has a label of the training images; expected some, or 'components'")
        q = int(curve.argmax()) if self.components is None else self.components
        kept = [spectrum.keep(q) for spectrum in spectra]
        self.mean, self.weight, self.noise = (torch.stack(part) for part in zip(*kept, strict=True))
        rows = [{"step": k, "valid": float(value)} for k, value in enumerate(curve / held)] if held else []
        return History(rows, facts={"components": q})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Draws `[n, C, H, W]` of `sample_labelled`, without their labels."""
        return self.sample_labelled(n, generator=generator)[0]

    def sample_labelled(self, n: int, *, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw classes, then an image of each, floored and clipped: `[n, C, H, W]` and labels `[n]`, int64."""
        c = torch.multinomial(self.log_weight.exp().to(generator.device), n, replacement=True, generator=generator)
        c = c.to(self.mean.device)
        y = self.mean.new_empty(n, self.event.dim)
        for component, density in enumerate(self._densities()):
            own = c == component
            y[own] = density.sample(int(own.sum()), generator=generator)
        return ppca.to_levels(y, *self.event), self.classes[c]

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density `[B]` at y, in nats."""
        parts = [
            log_weight + density.log_prob(y)
            for log_weight, density in zip(self.log_weight, self._densities(), strict=True)
        ]
        return Bounds.exact(torch.stack(parts).logsumexp(0), density=len(parts) * len(y))

    def _densities(self) -> list[ppca.PPCA]:
        return [ppca.PPCA(*part) for part in zip(self.mean, self.weight, self.noise, strict=True)]
