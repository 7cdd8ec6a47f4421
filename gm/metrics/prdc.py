"""Fidelity and diversity by nearest neighbours: precision, recall, density, coverage."""

import numpy as np
from numpy import ndarray
from scipy.spatial.distance import cdist

from gm.metrics.frechet import checked


def prdc(real: ndarray, fake: ndarray, *, k_manifold: int = 3, k_ball: int = 5) -> dict[str, tuple[float, float]]:
    r"""Precision, recall, density and coverage of generated features.

    With $B_k(x)$ the closed ball about $x$ that reaches its k-th nearest neighbour in its own set, itself not
    counted:

    - precision: fraction of fake rows inside some real $B_3$;
    - recall: fraction of real rows inside some fake $B_3$;
    - density: mean over fake rows of (number of real $B_5$ that hold it) / 5;
    - coverage: fraction of real rows whose $B_5$ holds a fake row.

    For equal distributions and n rows of each, E[density] = 1 and E[coverage] is `expected_coverage(n, k)`;
    precision and recall have no such fixed value.

    The standard error adds the jackknife variances over the rows of *both* sets, radii held fixed: a row
    weighs by whether it is covered, a ball by the rows that it alone covers. On Gaussians of 8 and 64
    dimensions and 250 rows it was 0.8 to 1.8 times the spread over redrawn sets, mostly above 1.

    References:
        Improved Precision and Recall Metric for Assessing Generative Models (Kynkaanniemi et al., 2019).
        Reliable Fidelity and Diversity Metrics for Generative Models (Naeem et al., 2020).

    Arguments:
        real: features, `[n, d]`.
        fake: features, `[m, d]`.
        k_manifold: neighbours for precision and recall.
        k_ball: neighbours for density and coverage.

    Returns:
        `(value, standard error)` under each of the four names.

    Raises:
        ValueError: if the two are not finite matrices of one width and of more rows than k.

    Example:
        >>> import numpy as np
        >>> x = np.random.default_rng(0).normal(size=(50, 2))
        >>> {name: value for name, (value, se) in prdc(x, x + 100.0).items()}
        {'precision': 0.0, 'recall': 0.0, 'density': 0.0, 'coverage': 0.0}
    """
    real, fake = checked(real, fake)
    if min(len(real), len(fake)) <= max(k_manifold, k_ball):
        raise ValueError(f"found {len(real)} and {len(fake)} rows; expected more than k = {max(k_manifold, k_ball)}")
    between = cdist(real, fake)
    within_real, within_fake = cdist(real, real), cdist(fake, fake)
    in_real_manifold = between <= _radius(within_real, k_manifold)[:, None]
    in_fake_manifold = between <= _radius(within_fake, k_manifold)[None, :]
    in_ball = between <= _radius(within_real, k_ball)[:, None]
    return {
        "precision": _covered(in_real_manifold),
        "recall": _covered(in_fake_manifold.T),
        "density": _density(in_ball, k_ball),
        "coverage": _covered(in_ball.T),
    }


def expected_coverage(n: int, k: int = 5) -> float:
    """Expected coverage of n rows by n of the same distribution: 1 - prod_{i=1..k} (n - i) / (2n - i).

    Example:
        >>> round(expected_coverage(10_000), 4)
        0.9688
    """
    i = np.arange(1, k + 1)
    return float(1 - np.prod((n - i) / (2 * n - i)))


def _radius(within: ndarray, k: int) -> ndarray:
    return np.partition(within, k, axis=1)[:, k]


def _covered(inside: ndarray) -> tuple[float, float]:
    """Fraction of columns with a true entry; its error, over columns and over rows (what each alone covers)."""
    a, b = inside.shape
    covered = inside.any(0)
    alone = (inside & (inside.sum(0) == 1)).sum(1) / b
    return float(covered.mean()), float(np.sqrt(covered.var(ddof=1) / b + a * alone.var(ddof=1)))


def _density(in_ball: ndarray, k: int) -> tuple[float, float]:
    n, m = in_ball.shape
    of_fake, of_real = in_ball.sum(0) / k, in_ball.sum(1) * n / (k * m)
    return float(of_fake.mean()), float(np.sqrt(of_fake.var(ddof=1) / m + of_real.var(ddof=1) / n))
