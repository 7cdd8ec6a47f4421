r"""Membership inference: attacks that score candidates, higher for those more likely trained on, and their success.

An attack sees the candidates, what the model gave (samples, log densities) and `reference` images that nobody trained
on; never which candidates are members. Densities are compared as logarithms: at the squared distances of images a
density itself is 0 in floating point, and every candidate would tie.
"""

from collections.abc import Iterator

import numpy as np
from numpy import ndarray
from scipy.spatial.distance import cdist
from scipy.special import bdtr, logsumexp

from gm.metrics.neighbours import nearest

BLOCK = 2**22
NORMAL = 1.959963984540054


def nearest_sample(x: ndarray, samples: ndarray) -> ndarray:
    r"""Minus the squared distance of each candidate to the nearest sample, $-\min_j \lVert x - s_j \rVert^2$.

    Reference:
        GAN-Leaks: A Taxonomy of Membership Inference Attacks against Generative Models (Chen et al., 2020).

    Arguments:
        x: candidates, `[N, *event]`.
        samples: the model's, `[n, *event]`.

    Returns:
        Scores, `[N]`, in squared levels.

    Example:
        >>> import numpy as np
        >>> nearest_sample(np.array([[0, 0], [3, 4]]), np.array([[0, 0], [9, 9]]))
        array([ -0., -25.])
    """
    return -np.square(nearest(x, samples)[0][:, 0])


def nearest_calibrated(x: ndarray, samples: ndarray, reference: ndarray) -> ndarray:
    r"""How much nearer a candidate is to the samples than to images nobody trained on.

    $$ \min_k \lVert x - r_k \rVert^2 - \min_j \lVert x - s_j \rVert^2 $$

    takes off how remote the candidate is to begin with. Chen et al. (2020) calibrate with samples of a reference
    model, for which real images stand here: they cost no fit.

    Arguments and scores are those of `nearest_sample`; `reference` is `[m, *event]`.
    """
    return nearest_sample(x, samples) - nearest_sample(x, reference)


def monte_carlo(x: ndarray, samples: ndarray, *, components: int = 40) -> ndarray:
    r"""How many samples are close to each candidate, and how close, in the leading principal components of the samples.

    $$ \sum_{j :\, d_{ij} \le \varepsilon} \ln \frac{\varepsilon}{d_{ij}}, \qquad
       \varepsilon = \operatorname{median}_i \min_j d_{ij} $$

    The distance-weighted attack of Hilprecht et al., with distances in units of $\varepsilon$. By its definition half
    of the candidates have no sample within $\varepsilon$ and would tie; for these the nearest counts, negatively.
    Distances below $10^{-12} \varepsilon$, of copies, count as that.

    Reference:
        Monte Carlo and Reconstruction Membership Inference Attacks against Generative Models (Hilprecht, Harterich &
        Bernau, 2019).

    Arguments:
        x: candidates, `[N, *event]`.
        samples: the model's, `[n, *event]`.
        components: how many.

    Returns:
        Scores, `[N]`.
    """
    basis = Principal(samples, components)
    x, samples = basis(x), basis(samples)
    distance = nearest(x, samples)[0][:, 0]
    # Where more than half of the candidates are among the samples the median is 0, and no unit.
    unit = float(np.median(distance) or distance.mean() or 1.0)
    near = [np.log(unit / np.maximum(cdist(rows, samples), 1e-12 * unit)) for rows in _blocks(x, samples)]
    return np.concatenate([np.maximum(rows, 0).sum(1) + np.minimum(rows.max(1), 0) for rows in near])


def domias(x: ndarray, samples: ndarray, reference: ndarray, *, components: int = 20) -> ndarray:
    r"""Log density ratio of samples and reference images: where the model has more mass than the population.

    $$ \ln \hat p_G(x) - \ln \hat p_R(x) $$

    by Gaussian kernels in the leading principal components of the reference images, each of unit variance among these.
    Both take one width, Scott's for the smaller set, $n^{-1/(d+4)}$: then equal laws give equal estimates.

    Reference:
        Membership Inference Attacks against Synthetic Data through Overfitting Detection (van Breugel et al., 2023).

    Arguments:
        x: candidates, `[N, *event]`.
        samples: the model's, `[n, *event]`.
        reference: images nobody trained on, `[m, *event]`.
        components: how many.

    Returns:
        Scores, `[N]`, in nats.
    """
    basis = Principal(reference, components)
    x, samples, reference = (basis(part) / basis.scale for part in (x, samples, reference))
    width = min(len(samples), len(reference)) ** (-1 / (x.shape[1] + 4))
    return log_kernel(x, samples, width) - log_kernel(x, reference, width)


def discriminator(
    x: ndarray, samples: ndarray, reference: ndarray, *, rng: np.random.Generator, components: int = 50
) -> ndarray:
    """Log odds of a classifier that learned to tell samples from reference images: gradient-boosted trees.

    The classifier stands for the discriminator of an adversarial model, and its inputs are the leading principal
    components of the reference images.

    Reference:
        LOGAN: Membership Inference Attacks Against Generative Models (Hayes et al., 2019).

    Arguments:
        x: candidates, `[N, *event]`.
        samples: the model's, `[n, *event]`.
        reference: images nobody trained on, `[m, *event]`.
        rng: source of the classifier's seed.
        components: how many.

    Returns:
        Scores, `[N]`.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    basis = Principal(reference, components)
    classifier = HistGradientBoostingClassifier(early_stopping=False, random_state=int(rng.integers(2**31)))
    label = np.repeat([1, 0], [len(samples), len(reference)])
    classifier.fit(basis(np.concatenate([samples, reference])), label)
    return classifier.decision_function(basis(x))


def log_ppca(y: ndarray, reference: ndarray, *, components: int = 40) -> ndarray:
    """Log density in nats of y under probabilistic principal components of reference images.

    What `calibrated` takes off the model's log density: how likely an image is to begin with. A reference model of the
    contestant's own class would be a stronger attack, at the cost of another fit.

    Reference:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999).

    Arguments:
        y: `[N, *event]`.
        reference: on the same scale, noise u included, `[m, *event]`.
        components: how many.

    Returns:
        `[N]`.
    """
    from sklearn.decomposition import PCA

    y, reference = (_flat(part) for part in (y, reference))
    components = min(components, len(reference) - 1, y.shape[1] - 1)
    return PCA(components, svd_solver="covariance_eigh").fit(reference).score_samples(y)


class Principal:
    """Projection on the leading principal components of images; those without variance do not count, if any has some.

    Attributes:
        scale: standard deviation along each, `[d]`.

    Arguments:
        x: images, `[n, *event]`.
        components: d at most.

    Example:
        >>> import numpy as np
        >>> basis = Principal(np.array([[0, 3], [2, 3], [4, 3]]), 2)
        >>> basis.scale, np.abs(basis(np.array([[5, 9]])))
        (array([2.]), array([[3.]]))
    """

    def __init__(self, x: ndarray, components: int) -> None:
        x = _flat(x)
        self.mean = x.mean(0)
        value, vector = np.linalg.eigh(np.cov(x.T).reshape(x.shape[1], x.shape[1]))
        kept = np.flatnonzero(value >= 1e-9 * value[-1])[::-1][:components]
        self.scale, self.vector = np.sqrt(value[kept]), vector[:, kept]

    def __call__(self, x: ndarray) -> ndarray:
        """Coordinates, `[N, d]`."""
        return (_flat(x) - self.mean) @ self.vector


def log_kernel(x: ndarray, centre: ndarray, width: float) -> ndarray:
    r"""Log kernel density, up to the kernel's constant: $\ln \frac1n \sum_j \exp(-\lVert x - c_j \rVert^2 / 2 h^2)$.

    Arguments:
        x: `[N, d]`.
        centre: `[n, d]`.
        width: h.

    Returns:
        `[N]`, finite however far x is.

    Example:
        >>> import numpy as np
        >>> log_kernel(np.array([[0.0], [100.0]]), np.array([[0.0]]), 1.0)
        array([    0., -5000.])
    """
    parts = [logsumexp(cdist(rows, centre, "sqeuclidean") / (-2 * width**2), axis=1) for rows in _blocks(x, centre)]
    return np.concatenate(parts) - np.log(len(centre))


def tpr_at(member: ndarray, nonmember: ndarray, rate: float) -> tuple[float, float]:
    r"""Share of members found where at most a share `rate` of the non-members is taken for members.

    With T_k the share of members strictly above the k-th largest score of n non-members (and T_0 = 0), the value is
    T_{k+1} at k = floor(rate n), where k non-members are taken for members; ties are no finds. The number of
    non-members above the true threshold is binomial(n, rate), between a and b with 95 %, and the threshold between
    the a-th and the (b+1)-th largest of them:

    $$ se^2 = \frac{p(1-p)}{m+4} + \Big(\frac{T_{b+1} - T_a}{2 \cdot 1.96}\Big)^2 $$

    with $p = (c+2)/(m+4)$ of Agresti and Coull, which does not vanish where none or all of m members are found. The
    error is to be read as a 95 % interval, 1.96 of it to either side; that covers in 93 to 98 % of draws from normal
    scores, where two false alarms or more are expected. At one, the larger of the two distances to $T_{k+1}$ stands in
    place of half the range, the interval of however large a share reaches down to 0, and it covers in 99 % and more.

    References:
        Membership Inference Attacks From First Principles (Carlini et al., 2022), for the measure.
        Order Statistics (David & Nagaraja, 2003), section 7.1, for the interval of a quantile.

    Arguments:
        member: scores of members, `[m]`.
        nonmember: scores of non-members, `[n]`.
        rate: nominal false positive rate.

    Returns:
        The share and its standard error.

    Raises:
        ValueError: if not even one false alarm is expected (rate n < 1).

    Example:
        >>> import numpy as np
        >>> tpr_at(np.array([5.0, 98.0, 98.5, 200.0]), np.arange(100.0), 0.01)[0]
        0.5
    """
    n, m = len(nonmember), len(member)
    k = int(rate * n + 1e-9)
    if k < 1:
        raise ValueError(f"found {n} non-members at a false positive rate of {rate}; expected at least {1 / rate:.0f}")
    descending = np.append(np.inf, np.sort(nonmember)[::-1])
    a, b = np.searchsorted(bdtr(np.arange(n + 1), n, rate), [0.025, 0.975])
    found, least, most = ((member > descending[min(rank, n)]).sum() for rank in (k + 1, a, b + 1))
    p = (found + 2) / (m + 4)
    spread = ((most - least) / 2 if k > 1 else max(found - least, most - found)) / (NORMAL * m)
    return float(found / m), float(np.sqrt(p * (1 - p) / (m + 4) + spread**2))


def _flat(x: ndarray) -> ndarray:
    return x.reshape(len(x), -1).astype(np.float64)


def _blocks(x: ndarray, centre: ndarray) -> Iterator[ndarray]:
    rows = max(1, BLOCK // len(centre))
    return (x[start : start + rows] for start in range(0, len(x), rows))
