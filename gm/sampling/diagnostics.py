"""What chains and weights say about themselves: R-hat, effective sample sizes, Pareto k, mode weights.

A diagnostic may condemn a run; none can certify it: chains that all miss a mode agree with each other.
"""

import math

import numpy as np
from numpy import ndarray


def rhat(x: ndarray) -> float:
    r"""Rank-normalised split R-hat, the larger of bulk and folded, of the worst coordinate: 1 where chains agree.

    $$ \hat R = \sqrt{\frac{\frac{n-1}{n} W + B}{W}} $$

    of the normal scores of the halves of all chains: W is the mean variance within halves of n draws, B the variance
    of their means.

    Reference:
        Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC (Vehtari,
        Gelman, Simpson, Carpenter & Buerkner, 2021).

    Arguments:
        x: chains of one sampler, `[chains >= 2, draws >= 4, *event]`.

    Returns:
        The largest R-hat of a coordinate; infinite where no chain moves in one.

    Raises:
        ValueError: if there are too few chains or draws, or one is not finite.

    Example:
        >>> z = np.random.default_rng(0).normal(size=(4, 250))
        >>> rhat(z) < 1.02 < rhat(z + [[0.0], [0.0], [0.0], [1.0]])
        True
    """
    from arviz_stats.base import array_stats

    x = _coordinates(x, chains=2)
    return math.inf if _stuck(x).any() else float(array_stats.rhat(x, method="rank").max())


def ess(x: ndarray) -> tuple[float, float]:
    r"""Effective sample size of the bulk and of the tails, of the worst coordinate.

    $$ n_{\mathrm{eff}} = \frac{MN}{1 + 2\sum_{t \ge 1} \rho_t} $$

    for M chains of N draws, the sum cut by Geyer's initial monotone sequence. Bulk: of the normal scores of split
    chains. Tails: the smaller one of the indicators of the lowest and of the highest twentieth.

    References:
        Rank-Normalization, Folding, and Localization: An Improved R-hat for Assessing Convergence of MCMC (Vehtari,
        Gelman, Simpson, Carpenter & Buerkner, 2021).
        Practical Markov Chain Monte Carlo (Geyer, 1992).

    Arguments:
        x: chains of one sampler, `[chains, draws >= 4, *event]`.

    Returns:
        The smallest bulk size and the smallest tail size of a coordinate, in draws; 0 where no chain moves in one.

    Raises:
        ValueError: if there are too few draws, or one is not finite.
    """
    from arviz_stats.base import array_stats

    x = _coordinates(x, chains=1)
    if _stuck(x).any():
        return 0.0, 0.0
    bulk, tail = array_stats.ess(x, method="bulk"), array_stats.ess(x, method="tail", prob=(0.05, 0.95))
    return float(bulk.min()), float(tail.min())


def nested_rhat(x: ndarray) -> float:
    r"""Nested R-hat of the worst coordinate: convergence of many chains that are too short to be compared one by one.

    Chains m = 1..M of superchain k start from one point, superchains k = 1..K from independent, dispersed ones:

    $$ \hat R_\nu = \sqrt{1 + \hat B / \hat W}, \qquad
       \hat B = \mathrm{var}_k\, \bar x_k, \qquad
       \hat W = \frac1K \sum_k \Big( \mathrm{var}_m\, \bar x_{km} + \frac1M \sum_m \mathrm{var}_n\, x_{kmn} \Big) $$

    Variances have n - 1 in the denominator, and that of a single item is 0. At stationarity $\hat R_\nu^2$ is about
    1 + 1/M for N = 1, and 1 + 1/(M n_eff) for chains worth n_eff draws each: a gate has to depend on both.

    Reference:
        Nested R-hat: Assessing the Convergence of Markov Chain Monte Carlo When Running Many Short Chains (Margossian,
        Hoffman, Sountsov, Riou-Durand, Vehtari & Gelman, 2024).

    Arguments:
        x: draws, `[K >= 2 superchains, M chains, N draws, *event]`, M N >= 2.

    Returns:
        The largest value of a coordinate; infinite where no chain moves in one.

    Raises:
        ValueError: if there are too few superchains or draws, or one is not finite.

    Example:
        >>> nested_rhat(np.array([[[0.0], [2.0]], [[3.0], [5.0]]])) == math.sqrt(1 + 4.5 / 2)
        True
    """
    x = np.asarray(x, np.float64)
    if x.ndim < 3 or x.shape[0] < 2 or x.shape[1] * x.shape[2] < 2:
        raise ValueError(f"draws have shape {x.shape}; expected [K >= 2, M, N, ...] with M N >= 2")
    _finite(x)
    between = x.mean((1, 2)).var(0, ddof=1)
    within = np.zeros_like(between)
    if x.shape[1] > 1:
        within += x.mean(2).var(1, ddof=1).mean(0)
    if x.shape[2] > 1:
        within += x.var(2, ddof=1).mean((0, 1))
    ratio = np.divide(between, within, out=np.full_like(between, np.inf), where=within > 0)
    return float(np.sqrt(1 + ratio.max()))


def mode_tv(label: ndarray, weight: ndarray, log_w: ndarray | None = None) -> float:
    r"""Total variation between the modes' weights among draws and the true ones, in [0, 1].

    $$ \frac12 \sum_k |\hat w_k - w_k| $$

    Arguments:
        label: the mode of each draw, `[n]` integers in 0..K-1.
        weight: true weights, `[K]`, of sum 1.
        log_w: log weights of the draws in nats, `[n]`, up to a constant; equal ones if None.

    Returns:
        The distance. Exact draws do not reach 0: see `mode_tv_null`.

    Raises:
        ValueError: if a label is no mode, or the true weights are not probabilities.

    Example:
        >>> mode_tv(np.array([0, 0, 1, 1]), np.array([0.75, 0.25]))
        0.25
    """
    weight, label = _probabilities(weight), np.asarray(label)
    if label.ndim != 1 or not len(label) or label.min() < 0 or label.max() >= len(weight):
        raise ValueError(f"labels of shape {label.shape} are not all modes; expected [n], each in 0..{len(weight) - 1}")
    w = None if log_w is None else np.exp(log_w - np.max(log_w))
    found = np.bincount(label, w, len(weight))
    return float(np.abs(found / found.sum() - weight).sum() / 2)


def mode_tv_null(weight: ndarray, n: int) -> float:
    r"""Mean of `mode_tv` over n independent exact draws: half the sum of binomial mean absolute deviations.

    $$ E\Big|\frac{N_k}{n} - w_k\Big| = 2 w_k (1 - w_k) \binom{n-1}{j} w_k^j (1 - w_k)^{n-1-j}, \qquad
       j = \lfloor n w_k \rfloor $$

    Reference:
        Closed Form Summation for Classical Distributions: Variations on a Theme of De Moivre (Diaconis & Zabell, 1991).

    Arguments:
        weight: true weights, `[K]`, of sum 1.
        n: number of draws; for dependent or weighted ones their effective number.

    Returns:
        The mean.

    Raises:
        ValueError: if the weights are not probabilities, or n is below 1.

    Example:
        >>> mode_tv_null(np.array([0.5, 0.5]), 1)
        0.5
    """
    weight = _probabilities(weight)
    if n < 1:
        raise ValueError(f"n is {n}; expected at least one draw")
    inner = weight[(weight > 0) & (weight < 1)]
    j = np.minimum(np.floor(n * inner), n - 1)
    choose = [math.lgamma(n) - math.lgamma(i + 1) - math.lgamma(n - i) for i in j]
    log_mass = np.array(choose) + (j + 1) * np.log(inner) + (n - j) * np.log1p(-inner)
    return float(np.exp(log_mass).sum())


def _probabilities(weight: ndarray) -> ndarray:
    weight = np.asarray(weight, np.float64)
    if weight.ndim != 1 or (weight < 0).any() or abs(weight.sum() - 1) > 1e-6:
        raise ValueError(
            f"weights of shape {weight.shape} sum to {weight.sum():.6g}; expected [K] probabilities of sum 1"
        )
    return weight / weight.sum()


def _coordinates(x: ndarray, chains: int) -> ndarray:
    """Chains as `[coordinate, chain, draw]`, float64."""
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or x.shape[0] < chains or x.shape[1] < 4:
        raise ValueError(f"chains have shape {x.shape}; expected [chains >= {chains}, draws >= 4, ...]")
    _finite(x)
    return np.ascontiguousarray(np.moveaxis(x.reshape(*x.shape[:2], -1), 2, 0))


def _finite(x: ndarray) -> None:
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).sum())} of {x.size} entries are not finite; expected numbers")


def _stuck(x: ndarray) -> ndarray:
    return (np.ptp(x, axis=-1) == 0).all(-1)


def pareto_k(log_w: ndarray) -> float:
    r"""Shape k of the generalised Pareto law fitted to the largest of S weights.

    The excesses of the M = ceil(min(S/5, 3 sqrt S)) largest weights over the next one are fitted with

    $$ p(e) = \frac1\sigma \Big(1 + \frac{k e}{\sigma}\Big)^{-1/k - 1} $$

    by the quasi-Bayesian estimate of Zhang and Stephens, drawn towards 1/2 as if by ten more excesses. Moments of the
    weights are finite up to the order 1/k: from k = 1/2 on their variance is infinite, and above 0.7 neither their mean
    nor its standard error is to be trusted at any affordable S.

    References:
        Pareto Smoothed Importance Sampling (Vehtari, Simpson, Gelman, Yao & Gabry, 2024).
        A New and Efficient Estimation Method for the Generalized Pareto Distribution (Zhang & Stephens, 2009).

    Arguments:
        log_w: log weights in nats, of any shape; -inf is a weight of zero.

    Returns:
        The estimate. 0 where the M largest weights equal the next one (bounded weights); infinite where fewer than five
        of them stand out above it otherwise, so that there is no tail to fit: a few dominate, or S is below 21.

    Raises:
        ValueError: if a log weight is NaN or +inf, or all are -inf.

    Example:
        >>> q = (np.arange(10_000) + 0.5) / 10_000
        >>> round(pareto_k(-0.4 * np.log(q)), 2)
        0.4
    """
    log_w = np.sort(np.asarray(log_w, np.float64), axis=None)
    if not log_w.size or not np.isfinite(log_w[-1]):
        largest = log_w[-1] if log_w.size else "none"
        raise ValueError(f"the largest of {log_w.size} log weights is {largest}; expected a finite number")
    tail = math.ceil(min(log_w.size / 5, 3 * math.sqrt(log_w.size)))
    cut, largest = log_w[-tail - 1 :][0], log_w[-tail:]
    if cut == largest[-1]:
        return 0.0
    largest = largest[largest > cut]
    excess = -np.exp(largest - largest[-1]) * np.expm1(cut - largest)
    excess = excess[excess > 0]
    return _shape(excess) if len(excess) >= 5 else math.inf


def _shape(excess: ndarray) -> float:
    """k of a generalised Pareto law from sorted positive excesses: b = -k/sigma is averaged over its posterior."""
    n = len(excess)
    grid = 30 + math.isqrt(n)
    b = (1 - np.sqrt(grid / (np.arange(grid) + 0.5))) / (3 * excess[int(n / 4 + 0.5) - 1]) + 1 / excess[-1]
    k = np.log1p(-b[:, None] * excess).mean(1)
    log_likelihood = n * (np.log(-b / k) - k - 1)
    weight = np.exp(log_likelihood - log_likelihood.max())
    k = np.log1p(-(weight @ b) / weight.sum() * excess).mean()
    return float((n * k + 10 * 0.5) / (n + 10))
