r"""How far draws are from their target, beside how far exact draws would be.

Weights are used throughout and draws never resampled, which would add noise of its own. Uneven weights still cost what
they are worth: the diagonal that is taken off the discrepancy is 1/n, that of n equal weights, not theirs. Draws worth
$n_e$ independent exact ones have `mmd` and `sliced_w2` about $n / n_e$, so that 1 is as good as exact, and `b2` about
$1 / n_e$.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from numpy import ndarray
from scipy.special import stdtrit

from gm.sampling.diagnostics import mode_tv

ENTRIES = 2**21
NORMAL = 1.959963984540054
DISTANCES = ("mmd", "sliced_w2")
Row = dict[str, str | float | int]
Arrays = dict[str, ndarray]


def null(reference: ndarray, exact: Iterable[ndarray], *, rng: np.random.Generator, directions: int = 64) -> Arrays:
    """What `scores` needs of a target, computed once: bandwidth, directions, and the errors of exact draws.

    Arguments:
        reference: exact draws, `[m, d]`; `scores` takes the same ones.
        exact: independent sets of exact draws, each `[n, d]`, none of them in the reference. At least 20; for a 95 %
            quantile, 200. An iterator that draws them one by one keeps memory bounded.
        rng: source of the directions.
        directions: number of them, L.

    Returns:
        `n`, `bandwidth`, `within` (mean kernel of two draws of the reference), `directions` `[L, d]` of length 1, and
        `mmd`, `sliced_w2` and `b2`: of each set the squared distances to the reference, and its mean `moment_errors`.

    Raises:
        ValueError: if arrays are not finite matrices of one width, or there are fewer than 20 sets, or of unlike n.
    """
    reference = _matrix(reference)
    axes = rng.standard_normal((directions, reference.shape[1]))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    h = median_distance(reference)
    within = _unpaired(reference - reference.mean(0), h)
    found = []
    for x in exact:
        distances = mmd2(x, reference, h, within=within), sliced_w2(x, reference, axes)
        found.append((len(x), *distances, moment_errors(x, reference).mean()))
    if len(found) < 20 or len({n for n, *_ in found}) != 1:
        raise ValueError(f"found {len(found)} sets of exact draws; expected at least 20, of one size")
    n, *rest = (np.array(column) for column in zip(*found, strict=True))
    rulers = {"n": n[0], "bandwidth": np.array(h), "within": np.array(within), "directions": axes}
    return rulers | dict(zip((*DISTANCES, "b2"), rest, strict=True))


def laws(null: Mapping[str, ndarray]) -> dict[str, tuple[float, float, float]]:
    """Mean (1), standard deviation and 95 % quantile of the ratios `mmd` and `sliced_w2` over sets of exact draws."""
    found = {name: _ratio(name, null[name], null) for name in DISTANCES}
    return {name: (float(v.mean()), float(v.std(ddof=1)), float(np.quantile(v, 0.95))) for name, v in found.items()}


def scores(
    x: ndarray,
    reference: ndarray,
    null: Mapping[str, ndarray],
    *,
    log_w: ndarray | None = None,
    modes: tuple[ndarray, ndarray] | None = None,
) -> Arrays:
    r"""Errors of independent replicates of a sampler's draws.

    `b2_mean` and `b2_worst` are the mean and the largest entry of `moment_errors`. With $D$ the squared distance of the
    draws, $\bar D$ its mean over sets of n exact draws, and $\kappa$ the mean kernel of two exact draws,

    $$ \mathrm{mmd} = 1 + \frac{D - \bar D}{(1 - \kappa)/(n - 1)}, \qquad \mathrm{sliced\_w2} = D / \bar D $$

    (the mean of an unbiased discrepancy is about 0 and no unit; the unit is what the diagonal of n exact draws would
    add). `mode_tv` is that of gm.sampling.diagnostics, where `mode_tv_null` gives its mean for exact draws.

    Arguments:
        x: draws, `[G, n, d]`, of G independent replicates.
        reference: exact draws, `[m, d]`, m well above n.
        null: of `null` for the same reference and n.
        log_w: log weights in nats, `[G, n]`, up to a constant per replicate; equal ones if None.
        modes: the mode of each draw, `[G, n]` integers, and the true weights, `[K]`; no `mode_tv` without.

    Returns:
        Each score of each replicate, `[G]`.

    Raises:
        ValueError: if shapes disagree, n is not that of the null, draws are not finite, or no weight is positive.
    """
    if x.ndim != 3 or not len(x) or x.shape[1] != null["n"]:
        raise ValueError(f"draws have shape {x.shape}; expected [G, {int(null['n'])}, d], as many as the null's sets")
    each = []
    for g, rows in enumerate(x):
        w = None if log_w is None else log_w[g]
        b2 = moment_errors(rows, reference, w)
        mmd = mmd2(rows, reference, float(null["bandwidth"]), w, within=float(null["within"]))
        w2 = sliced_w2(rows, reference, null["directions"], w)
        each.append({"b2_mean": b2.mean(), "b2_worst": b2.max(), "mmd": mmd, "sliced_w2": w2})
        if modes is not None:
            each[g]["mode_tv"] = mode_tv(modes[0][g], modes[1], w)
    table = {name: np.array([row[name] for row in each]) for name in each[0]}
    return table | {name: _ratio(name, table[name], null) for name in DISTANCES}


def summary(scores: Mapping[str, ndarray], evals: float | None = None) -> list[Row]:
    r"""Rows: the mean of each score over G replicates, and `ess` and `ess_per_gradient` from `b2_mean`.

    $$ \mathrm{ess} = 1 / \overline{b^2}, \qquad \mathrm{ess\_per\_gradient} = \mathrm{ess} / \mathrm{evals} $$

    is the number of independent exact draws whose moments would be as wrong in mean square, bias included, as those of
    one replicate: from its error, not its autocorrelation, and not much above the size of the reference. The mean is
    taken before the reciprocal; its error is the delta method's. The standard error is the replicates' own, times the
    quotient of the 97.5 % quantiles of Student's t of G - 1 degrees and of the normal: the value plus or minus 1.96 of
    it is the t interval.

    Reference: Tuning-Free Generalized Hamiltonian Monte Carlo (Hoffman & Sountsov, 2022).

    Arguments:
        scores: each score of each replicate, `[G >= 2]`.
        evals: gradient evaluations of one replicate, every row counted.

    Returns:
        `metric`, `value`, `se`, `n` (replicates) and `kind` of each.

    Raises:
        ValueError: if there is one replicate only.

    Example:
        >>> [(row["metric"], row["value"]) for row in summary({"b2_mean": np.array([0.01, 0.03])}, evals=100)]
        [('b2_mean', 0.02), ('ess', 50.0), ('ess_per_gradient', 0.5)]
    """
    found = []
    for name, values in scores.items():
        if (G := len(values)) < 2:
            raise ValueError(f"'{name}' has {G} replicate; expected at least 2: the error is between them")
        student = float(stdtrit(G - 1, 0.975)) / NORMAL
        value, se = float(values.mean()), student * float(values.std(ddof=1)) / G**0.5
        found.append((name, value, se, G))
        if name == "b2_mean":
            units = {"ess": 1.0} | ({} if evals is None else {"ess_per_gradient": 1 / evals})
            found += [(ess, unit / value, unit * se / value**2, G) for ess, unit in units.items()]
    return [{"metric": name, "value": value, "se": se, "n": n, "kind": "estimate"} for name, value, se, n in found]


def moment_errors(x: ndarray, reference: ndarray, log_w: ndarray | None = None) -> ndarray:
    r"""Squared errors of the first two moments of each coordinate, in units of the target's variance of them.

    $$ b^2(f) = \frac{\big(\sum_i w_i f(x_i) - E f\big)^2}{\mathrm{Var} f}, \qquad f = x_k, \; (x_k - E x_k)^2 $$

    1/n on average for n independent exact draws, and 1/m more as the reference has only m. The second moment is the
    central one, so that moving the origin changes nothing; for centred targets it is that of Robnik et al.

    References:
        Tuning-Free Generalized Hamiltonian Monte Carlo (Hoffman & Sountsov, 2022).
        Microcanonical Hamiltonian Monte Carlo (Robnik, De Luca, Silverstein & Seljak, 2023).

    Arguments:
        x: draws, `[n, d]`.
        reference: exact draws, `[m, d]`.
        log_w: log weights, `[n]`; equal ones if None.

    Returns:
        Errors, first moments before second ones, of those that vary in the reference: at most `[2 d]`.

    Raises:
        ValueError: if no coordinate of the reference varies, or the arrays are not finite matrices of one width.
    """
    x, reference, w = _checked(x, reference, log_w)
    mean = reference.mean(0)
    f, exact = ([rows - mean, np.square(rows - mean)] for rows in (x, reference))
    variance = np.array([rows.var(0) for rows in exact])
    varies = variance > 0
    if not varies.any():
        raise ValueError("the moments of the reference have no variance; expected draws")
    return np.square([w @ a - b.mean(0) for a, b in zip(f, exact, strict=True)])[varies] / variance[varies]


def median_distance(reference: ndarray, rows: int = 1000) -> float:
    """Median Euclidean distance between two draws of the reference, `[m, d]`, among the first `rows` of it."""
    x = _matrix(reference)[:rows]
    square = _square_distance(x - x.mean(0), x - x.mean(0))
    return float(np.sqrt(np.median(square[np.triu_indices(len(x), 1)])))


def mmd2(
    x: ndarray, reference: ndarray, h: float, log_w: ndarray | None = None, *, within: float | None = None
) -> float:
    r"""Squared maximum mean discrepancy with $k(x, y) = \exp(-|x - y|^2 / 2h^2)$, unbiased for independent exact draws.

    $$ \frac{\sum_{ij} w_i w_j k(x_i, x_j) - 1/n}{1 - 1/n} + \frac{\sum_{i \ne j} k(r_i, r_j)}{m(m - 1)}
       - \frac2m \sum_{ij} w_i k(x_i, r_j) $$

    The first term is the mean over $i \ne j$ where the weights are equal; where they are not, or draws repeat, it grows
    by what they are short of n.

    Reference: A Kernel Two-Sample Test (Gretton, Borgwardt, Rasch, Schoelkopf & Smola, 2012).

    Arguments:
        x: draws, `[n >= 2, d]`.
        reference: exact draws, `[m >= 2, d]`.
        h: bandwidth; from the reference only (`median_distance`), or contestants are measured with different rulers.
        log_w: log weights, `[n]`; equal ones if None.
        within: the middle term, where it is known.

    Returns:
        The squared discrepancy; it may be negative.

    Raises:
        ValueError: if the arrays are not finite matrices of at least two rows and of one width.
    """
    x, reference, w = _checked(x, reference, log_w)
    x, reference = x - reference.mean(0), reference - reference.mean(0)
    within = _unpaired(reference, h) if within is None else within
    across = float(_kernel_means(reference, x, h, w).mean())
    return _unpaired(x, h, w) + within - 2 * across


def sliced_w2(x: ndarray, reference: ndarray, directions: ndarray, log_w: ndarray | None = None) -> float:
    r"""Squared 2-Wasserstein distance of the projections, the mean over directions.

    $$ \frac1L \sum_l \int_0^1 \big(F_l^{-1}(t) - G_l^{-1}(t)\big)^2 dt $$

    with $F_l^{-1}$ and $G_l^{-1}$ the quantiles of $\theta_l^T x$ (weighted) and $\theta_l^T r$: exact for any n and m.
    The integral of the product is $\sum_i x_{(i)} \int_{c_{i-1}}^{c_i} G^{-1}$ over the cumulative weights c, where
    that of $G^{-1}$ is linear between multiples of 1/m.

    Reference: Sliced and Radon Wasserstein Barycenters of Measures (Bonneel, Rabin, Peyre & Pfister, 2015).

    Arguments:
        x: draws, `[n, d]`.
        reference: exact draws, `[m, d]`.
        directions: unit vectors, `[L, d]`.
        log_w: log weights, `[n]`; equal ones if None.

    Returns:
        The squared distance. Raises as `mmd2` does.

    Example:
        >>> sliced_w2(np.array([[0.0], [4.0]]), np.array([[1.0], [3.0]]), np.array([[1.0]]))
        1.0
    """
    x, reference, w = _checked(x, reference, log_w)
    centre, t = reference.mean(0), np.linspace(0.0, 1.0, len(reference) + 1)
    total = 0.0
    for a, b in zip(directions @ (x - centre).T, directions @ (reference - centre).T, strict=True):
        order = np.argsort(a)
        quantiles = np.concatenate([[0.0], np.cumsum(np.sort(b))]) / len(b)
        product = np.diff(np.interp(np.cumsum(w[order]), t, quantiles), prepend=0.0)
        total += w @ np.square(a) + np.square(b).mean() - 2 * a[order] @ product
    return max(float(total) / len(directions), 0.0)


def _ratio(name: str, values: ndarray, null: Mapping[str, ndarray]) -> ndarray:
    if name == "sliced_w2":
        return values / null[name].mean()
    return 1 + (values - null[name].mean()) * (null["n"] - 1) / (1 - null["within"])


def _unpaired(x: ndarray, h: float, w: ndarray | None = None) -> float:
    """Mean kernel of two different draws; `mmd2` says what it is for unequal weights."""
    w = np.full(len(x), 1 / len(x)) if w is None else w
    return (float(w @ _kernel_means(x, x, h, w)) - 1 / len(x)) / (1 - 1 / len(x))


def _kernel_means(x: ndarray, y: ndarray, h: float, w: ndarray) -> ndarray:
    """Sum over j of w_j k(x_i, y_j), `[n]`, a block of rows at a time."""
    starts = range(0, len(x), step := max(1, ENTRIES // len(y)))
    return np.concatenate([np.exp(_square_distance(x[i : i + step], y) / (-2 * h**2)) @ w for i in starts])


def _square_distance(x: ndarray, y: ndarray) -> ndarray:
    square = np.square(x).sum(1)[:, None] + np.square(y).sum(1) - 2 * x @ y.T
    return np.maximum(square, 0.0, out=square)


def _checked(x: ndarray, reference: ndarray, log_w: ndarray | None) -> tuple[ndarray, ndarray, ndarray]:
    """Draws and reference as float64, and weights of sum 1."""
    x, reference = _matrix(x), _matrix(reference)
    if x.shape[1] != reference.shape[1]:
        raise ValueError(f"draws have width {x.shape[1]} and the reference {reference.shape[1]}; expected one width")
    if log_w is None:
        return x, reference, np.full(len(x), 1 / len(x))
    log_w = np.asarray(log_w, np.float64)
    if log_w.shape != x.shape[:1] or not np.isfinite(log_w.max()):
        raise ValueError(f"log weights have shape {log_w.shape} and maximum {log_w.max()}; expected [{len(x)}], finite")
    w = np.exp(log_w - log_w.max())
    return x, reference, w / w.sum()


def _matrix(x: ndarray) -> ndarray:
    x = np.asarray(x, np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"draws have shape {x.shape}; expected [n >= 2, d]")
    if not np.isfinite(x).all():
        raise ValueError(f"{int((~np.isfinite(x)).any(1).sum())} of {len(x)} draws are not finite; expected numbers")
    return x
