"""A restricted Boltzmann machine trained on real digits, small enough to enumerate."""

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gm.densities.boltzmann import ENUMERABLE, Tempered, ascend, enumerate_log_z, exact_draws, fresh
from gm.densities.targets.target import Target
from gm.rng import stream
from gm.sampling.gibbs import BlockGibbs, uniforms


class RBM(Target):
    r"""The visible units x in {0, 1}^D of a restricted Boltzmann machine with H <= 20 hidden units:

    .. math:: \log p(x) = \text{constant} + b \cdot x + \sum_k \ln(1 + e^{(c + x W)_k})

    Its log Z is that of a sum over the 2^D states, by enumeration of the 2^H hidden ones, and exact draws choose a
    hidden state first. The gradient is that of the formula in real x.

    Reference: Smolensky, Information processing in dynamical systems: foundations of harmony theory, 1986.

    Arguments:
        weight: W, `[D, H]`.
        visible: b, `[D]`.
        hidden: c, `[H]`.
        base: biases of the independent units where annealing starts, `[D]`; None is zeros, fair coins.
        constant: declared shift of log p, in nats.

    Raises:
        ValueError: if there are more than 20 hidden units.

    Example:
        >>> machine = RBM(weight=torch.zeros(3, 2), visible=torch.zeros(3), hidden=torch.zeros(2), constant=0.0)
        >>> round(machine.log_z / torch.tensor(2.0).log().item(), 6)
        5.0
    """

    kind = "spins"

    def __init__(
        self, *, weight: Tensor, visible: Tensor, hidden: Tensor, base: Tensor | None = None, constant: float = 1.5
    ) -> None:
        if len(hidden) > ENUMERABLE:
            raise ValueError(
                f"a machine of {len(hidden)} hidden units is not enumerated; expected at most {ENUMERABLE}"
            )
        self.weight, self.visible, self.hidden = weight.double(), visible.double(), hidden.double()
        self.base = torch.zeros_like(self.visible) if base is None else base.double()
        log_z = enumerate_log_z(self.weight, self.visible, self.hidden) + constant
        super().__init__(dim=len(visible), spread=1.0, log_z=log_z, constant=constant)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p, float64 `[...]`, and the gradient of its formula, `[..., D]`."""
        y = x.double()
        inputs = self.hidden + y @ self.weight
        grad = self.visible + inputs.sigmoid() @ self.weight.T
        return self.constant + y @ self.visible + softplus(inputs).sum(-1), grad.to(x)

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws, float32 `[n, D]` of zeros and ones."""
        return exact_draws(self.weight, self.visible, self.hidden, n, generator=generator).float()

    def path(self) -> Tempered:
        """The path from independent units with biases `base`."""
        return Tempered(self.weight, self.visible, self.hidden, self.base, self.constant)

    def kernel(self, path: Tempered) -> BlockGibbs:
        """The sweep over hidden and visible units."""
        return BlockGibbs(path)

    def draw_base(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Independent units with biases `base`, float32 `[n, D]`."""
        return self.path().draw_base(n, generator=generator).float()


class DigitsRBM(RBM):
    """An `RBM` fitted to scikit-learn's 1797 handwritten digits of 8x8 pixels, those of level 8 or more set to 1.

    Trained when it is built, from its seed alone, with a rate that falls linearly from 0.2 to zero; annealing starts
    from the pixels' base rates.

    Arguments:
        hidden: H, at most 20.
        seed: of the training.
        steps: gradient steps, of 100 images each.
        constant: declared shift of log p, in nats.
    """

    def __init__(self, *, hidden: int = 16, seed: int = 0, steps: int = 2000, constant: float = 1.5) -> None:
        from sklearn.datasets import load_digits

        pixels, _ = load_digits(return_X_y=True)
        path = train(torch.from_numpy(pixels >= 8).double(), hidden, steps=steps, generator=stream(seed, "digits-rbm"))
        super().__init__(
            weight=path.weight, visible=path.visible, hidden=path.hidden, base=path.base, constant=constant
        )


def train(
    x: Tensor,
    hidden: int,
    *,
    steps: int,
    generator: torch.Generator,
    batch: int = 100,
    rate: float = 0.2,
    decay: float = 0.0001,
) -> Tempered:
    """Fit a machine by stochastic maximum likelihood with persistent chains.

    Arguments:
        x: rows of zeros and ones, float64 `[N, D]`.
        hidden: H.
        steps: gradient steps.
        generator: source of the start, the batches and the chains.
        batch: rows in a step, and chains.
        rate: learning rate at the start; it falls linearly to zero.
        decay: pull of the weights to zero.

    Returns:
        The machine, its base at the base rates of `x`.
    """
    path, rates = fresh(x, hidden, generator=generator)
    chains = (uniforms((batch, len(rates)), rates, generator) < rates).to(rates)
    for step in range(steps):
        index = torch.randint(len(x), (batch,), generator=generator)
        path, chains = ascend(path, x[index], chains, rate=rate * (1 - step / steps), decay=decay, generator=generator)
    return path
