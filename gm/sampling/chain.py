"""Run a kernel."""

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Kernel
from gm.sampling.path import State


def run(
    kernel: Kernel, state: State, n: int, *, lam: float | Tensor = 1.0, generator: torch.Generator
) -> tuple[State, Info]:
    """Apply `n` transitions at temperature `lam`, to all rows at once.

    Arguments:
        kernel: a frozen kernel.
        state: where the chains are, from the `init` of the kernel's path.
        n: number of transitions, at least 1.
        lam: temperature, 1 for the target.
        generator: source of the noise.

    Returns:
        The state after `n` transitions, and `Info` with the mean acceptance probability per row `[...]`, and
        the evaluations and divergent proposals summed.

    Raises:
        ValueError: if `n` is less than 1.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> from gm.sampling.path import Geometric
        >>> path = Geometric.tilted(lambda x: -x.sum(-1))
        >>> state = path.init(torch.zeros(8, 2))
        >>> _, info = run(MALA(path, 0.5), state, 10, generator=torch.Generator().manual_seed(0))
        >>> info.evals
        80
    """
    if n < 1:
        raise ValueError(f"a chain was asked for n={n} transitions; expected at least 1")
    accept, evals, divergent = 0.0, 0, 0
    for _ in range(n):
        state, info = kernel(state, lam, kernel.noise(state, generator=generator))
        accept, evals, divergent = accept + info.accept, evals + info.evals, divergent + info.divergent
    return state, Info(accept / n, evals, divergent)
