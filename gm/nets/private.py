"""Stochastic gradient descent under differential privacy: clipped gradients of single examples, Gaussian noise.

What is protected is one training example: two data sets are neighbours if one of them has one example more. A fit is
(epsilon, delta)-private if no event of its result is more probable on one of two neighbours than
:math:`e^\\epsilon` times its probability on the other, plus delta. The guarantee is about whoever sees the weights and
does not know the fit's random numbers: with a published seed the noise can be drawn again, so that a benchmark's run
measures what privacy costs, and whoever releases weights keeps their seed. It is also one of real arithmetic: the noise
is rounded to floating point, against which opacus' secure mode would help, at four times the draws.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gm.nets.steps import resumable


def epsilon(multiplier: float, *, rate: float, steps: int, delta: float) -> float:
    """The least epsilon that the accountant grants: an upper bound, numerically exact to 0.01.

    Privacy loss random variables are composed by the fast Fourier transform.

    Reference:
        Numerical Composition of Differential Privacy (Sivakanth Gopi, Yin Tat Lee and Lukas Wutschitz, 2021)

    Arguments:
        multiplier: standard deviation of the noise, in units of the clipping norm.
        rate: probability of an example to be in a step's batch.
        steps: number of steps.
        delta: of the guarantee.

    Example:
        >>> round(epsilon(1.0, rate=1.0, steps=1, delta=1e-5), 1)
        4.4
    """
    from opacus.accountants import PRVAccountant

    accountant = PRVAccountant()
    accountant.history = [(multiplier, rate, steps)]
    return float(accountant.get_epsilon(delta))


def noise_multiplier(target: float, *, rate: float, steps: int, delta: float) -> float:
    """The least noise, to three digits, whose `epsilon` is at most a target.

    Raises:
        ValueError: no noise below a thousand clipping norms reaches the target.
    """
    low, high = 0.0, 1.0
    while epsilon(high, rate=rate, steps=steps, delta=delta) > target:
        low, high = high, 2 * high
        if high > 1000:
            raise ValueError(f"epsilon {target} asks for noise above {low:g} clipping norms; expected a larger epsilon")
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if epsilon(middle, rate=rate, steps=steps, delta=delta) <= target else (middle, high)
    return high


def poisson_batch(n: int, rate: float, *, generator: torch.Generator) -> Tensor:
    """Indices of a batch that each of n examples joins with probability `rate`, on its own; it may be empty."""
    coin = torch.rand(n, generator=generator, dtype=torch.float64, device=generator.device)
    return (coin < rate).nonzero()[:, 0]


def gradients(module: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    """Gradients `[B, *shape]` of a module's outputs `[B]` by the name of the parameter: row b is of output b alone."""

    def loss(parameters: dict[str, Tensor], *example: Tensor) -> Tensor:
        return torch.func.functional_call(module, parameters, tuple(part[None] for part in example))[0]

    parameters = {name: p.detach() for name, p in module.named_parameters()}
    if not len(inputs[0]):
        return {name: p.new_empty(0, *p.shape) for name, p in parameters.items()}
    return torch.func.vmap(torch.func.grad(loss), in_dims=(None, *(0 for _ in inputs)))(parameters, *inputs)


def descend(
    module: nn.Module,
    inputs: Callable[[Tensor], tuple[Tensor, ...]],
    *,
    n: int,
    rate: float,
    steps: int,
    multiplier: float,
    clip: float,
    optimiser: torch.optim.Optimizer,
    generator: torch.Generator,
    log: Callable[[int, int], None] = lambda step, steps: None,
) -> None:
    r"""Follow noisy means of clipped gradients g_i of single examples, over Poisson batches B:

    .. math:: \frac{1}{n \, \mathrm{rate}} \Big( \sum_{i \in B} g_i \min(1, C / |g_i|) + \sigma C \, N(0, I) \Big)

    Reference:
        Deep Learning with Differential Privacy (Martín Abadi, Andy Chu, Ian Goodfellow, H. Brendan McMahan, Ilya
        Mironov, Kunal Talwar and Li Zhang, 2016)

    Arguments:
        module: maps the inputs of a batch to losses `[B]`, each of its own example alone.
        inputs: maps indices `[B]` to those inputs.
        n: number of examples.
        rate: probability of an example to be in a batch.
        steps: number of steps.
        multiplier: :math:`\sigma`.
        clip: C, the greatest norm of an example's gradient.
        optimiser: of the module's parameters; takes the noisy mean as its gradient.
        generator: source of batches, of noise, and of what `inputs` draws.
        log: told of every step; a fit that was cut off goes on (`gm.nets.steps.resumable`).
    """
    from opacus.optimizers import DPOptimizer

    private = DPOptimizer(
        optimiser,
        noise_multiplier=multiplier,
        max_grad_norm=clip,
        expected_batch_size=n * rate,
        loss_reduction="mean",
        generator=generator,
    )
    for _ in resumable(steps, log, {}, module, optimiser, generator):
        private.zero_grad()
        found = gradients(module, inputs(poisson_batch(n, rate, generator=generator)))
        for name, parameter in module.named_parameters():
            parameter.grad_sample = found[name]
        private.step()
    private.zero_grad()
