"""Run a kernel in compiled blocks of transitions."""

import warnings

import torch
from torch import Tensor

from gm.sampling.kernels import Info, Kernel, Noise
from gm.sampling.path import State

# What is used twice is stored, not computed again: a trajectory's momentum would be summed anew from all its gradients.
OPTIONS = {"cpp_wrapper": True, "realize_reads_threshold": 3, "realize_opcount_threshold": 10}


class Block:
    """`chain.run` for the hot loop: several transitions become one compiled function, their noise drawn before it.

    The generator is asked in the order of `chain.run`, so that both make the same draws, up to rounding; compiled
    blocks are deterministic as well. A block is compiled when it first runs, which takes seconds to a minute, and
    again for another shape, dtype or kernel, not for another temperature.

    Where a block cannot be compiled it runs as it is, and one warning says why: there is no C++ compiler, or the
    kernel does what the compiler cannot follow. That is so of a path that differentiates its target by autograd: give
    its gradient in closed form, as an `Analytic`.

    Arguments:
        kernel: a frozen kernel; its `noise` may depend on the shape of the state, not on where it is.
        moves: transitions per block. What does not fill a block runs as it is.

    Raises:
        ValueError: if `moves` is less than 1.

    Example:
        >>> from gm.sampling.langevin import MALA
        >>> from gm.sampling.path import Single, StandardNormal
        >>> path = Single(StandardNormal())
        >>> block = Block(MALA(path, 0.5), moves=10)
        >>> _, info = block.run(path.init(torch.zeros(8, 2)), 9, generator=torch.Generator().manual_seed(0))
        >>> info.evals
        72
    """

    def __init__(self, kernel: Kernel, *, moves: int = 10) -> None:
        if moves < 1:
            raise ValueError(f"a block was asked for moves={moves}; expected at least 1")
        self.kernel, self.moves = kernel, moves
        self._compiled = None
        self._eager = False

    @torch.no_grad()
    def run(self, state: State, n: int, *, lam: float | Tensor = 1.0, generator: torch.Generator) -> tuple[State, Info]:
        """Apply `n` transitions at temperature `lam`, to all rows at once.

        Arguments:
            state: where the chains are, from the `init` of the kernel's path.
            n: number of transitions, at least 1.
            lam: temperature, 1 for the target.
            generator: source of the noise.

        Returns:
            The state after `n` transitions, and `Info` with the mean acceptance probability per row `[...]`, and
            the evaluations and divergent proposals summed: what `chain.run` returns.

        Raises:
            ValueError: if `n` is less than 1.
        """
        if n < 1:
            raise ValueError(f"a chain was asked for n={n} transitions; expected at least 1")
        # a number would be a constant of the compiled code
        lam = torch.as_tensor(lam, dtype=torch.float64, device=state.x.device)
        accept, evals, divergent = 0.0, 0, 0
        # int(tensor), the count of divergent proposals, stays in the graph; the limit is one for all blocks together
        with torch._dynamo.config.patch(capture_scalar_outputs=True, recompile_limit=64):
            for start in range(0, n, self.moves):
                moves = min(self.moves, n - start)
                noise = [self.kernel.noise(state, generator=generator) for _ in range(moves)]
                step = self._transitions if moves < self.moves else self._block
                state, info = step(state, lam, noise)
                accept, evals, divergent = accept + info.accept, evals + info.evals, divergent + info.divergent
        return state, Info(accept / n, evals, divergent)

    def _transitions(self, state: State, lam: Tensor, noise: list[Noise]) -> tuple[State, Info]:
        accept, evals, divergent = 0.0, 0, 0
        for one in noise:
            state, info = self.kernel(state, lam, one)
            accept, evals, divergent = accept + info.accept, evals + info.evals, divergent + info.divergent
        return state, Info(accept, evals, divergent)

    def _block(self, state: State, lam: Tensor, noise: list[Noise]) -> tuple[State, Info]:
        if self._eager:
            return self._transitions(state, lam, noise)
        try:
            if self._compiled is None:
                self._compiled = torch.compile(self._transitions, fullgraph=True, dynamic=False, options=OPTIONS)
            return self._compiled(state, lam, noise)
        # what is raised depends on what is missing; an error of the kernel itself is raised again by the plain run
        except (RuntimeError, torch._dynamo.exc.FailOnRecompileLimitHit) as error:
            self._eager = True
            why = (str(error).strip() or repr(error)).splitlines()[0]
            warnings.warn(f"blocks of {type(self.kernel).__name__} run uncompiled: {why}", stacklevel=4)
            return self._transitions(state, lam, noise)
