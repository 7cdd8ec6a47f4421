"""How many groups a certified end takes, from the spread of log weights that a pilot predicts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from gm.sampling.anneal import ais
from gm.sampling.kernels import Kernel
from gm.sampling.path import Geometric


def split(n: int, variance: float, alpha: float) -> tuple[int, int]:
    r"""R groups of M chains, R M = n, whose certified end `certify` is highest in expectation:

        min over M | n of  log(1 + (exp(v) - 1) / M) / 2 + M ln(1 / alpha) / n.

    The first term is the Jensen gap of a mean of M log-normal weights of log variance v, itself taken for
    log-normal, the second the slack of `gm.sampling.logz.certify`. For small v the first is v / (2 M), and
    M = sqrt(n v / (2 ln(1 / alpha))). The optimum is flat: v wrong by a factor of 4 costs a quarter. At
    least 8 groups are kept for the standard error.

    Arguments:
        n: chains.
        variance: v, predicted from a pilot, since chains that set their own split would void the certificate.
        alpha: failure probability.

    Example:
        >>> split(256, 0.1, 0.05), split(256, 1.0, 0.05), split(256, 9.0, 0.05)
        ((128, 2), (32, 8), (8, 32))
    """

    def loss(M: int) -> float:
        gap = float(torch.tensor([math.log1p(-1 / M) if M > 1 else -math.inf, variance - math.log(M)]).logsumexp(0))
        return gap / 2 + M * math.log(1 / alpha) / n

    M = min((M for M in range(1, n + 1) if n % M == 0 and n // M >= min(8, n)), key=loss)
    return n // M, M


def predict_variance(
    path: Geometric,
    kernel_at: Callable[[int], Kernel],
    lams: Tensor,
    x0: Tensor,
    *,
    generator: torch.Generator,
) -> tuple[float, int]:
    """Predict Var(log w) at T temperatures from runs over every 8th of them, since it falls as 1 / T.

    Reference: Neal, Annealed importance sampling, 2001 (the variance is inversely proportional to T).

    Arguments:
        path: the path.
        kernel_at: the frozen kernel at index t of `lams`.
        lams: the frozen temperatures, shape `[T + 1]`.
        x0: draws of the base that the estimate does not use, shape `[P, d]`.
        generator: a stream that the estimate does not use.

    Returns:
        The variance in nats squared, and the gradient evaluations spent, each row counted.
    """
    T = len(lams) - 1
    rungs = torch.linspace(0, T, max(T // 8, min(T, 8)) + 1).round().long()
    runs = ais(path, lambda t: kernel_at(int(rungs[t])), lams[rungs], x0, generator=generator)
    return float(runs.log_w.var()) * (len(rungs) - 1) / T, runs.evals
