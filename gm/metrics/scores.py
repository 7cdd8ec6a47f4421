"""Outlier scores made from a model's own: typicality, complexity and density of states (higher = more outlying).

What a score needs to know of usual images it learns from non-members, real images that the model did not train on.
Training images would not do: a model that overfits gives them a higher density than it gives any new image, so that new
images of the same law would look outlying. Outliers are seen by no score before they are scored.
"""

from collections.abc import Mapping

import numpy as np
from numpy import ndarray
from scipy.special import logsumexp

from gm.metrics.baselines import png_length

ENTRIES = 2**22
MOST = 2000  # centres of a kernel estimate


def typicality(nll: ndarray, usual: ndarray) -> ndarray:
    r"""Distance of a negative log-likelihood from its mean on usual images, in nats, `[N]`.

    $$ \lvert -\ln p(x) - \bar h \rvert, \qquad \bar h = \frac1m \sum_i -\ln p(x_i) $$

    In high dimension images of the model's own law lie on a shell of nearly one density; an image well inside it is
    likelier than any of them, and as outlying as one well outside.

    Reference:
        Detecting Out-of-Distribution Inputs to Deep Generative Models Using Typicality (Nalisnick, Matsukawa, Teh &
        Lakshminarayanan, 2019).

    Arguments:
        nll: of images, or means over batches of them (`batch_means`), `[N]`, in nats.
        usual: of non-members, `[m]`, in nats.

    Example:
        >>> import numpy as np
        >>> typicality(np.array([1.0, 5.0, 9.0]), np.array([4.0, 6.0])).tolist()
        [4.0, 0.0, 4.0]
    """
    return np.abs(nll - usual.mean())


def batch_means(nll: ndarray, size: int, *, order: ndarray) -> ndarray:
    """Means over disjoint batches, `[N // size]`; the images left over are in none.

    Arguments:
        nll: `[N]`.
        size: images a batch.
        order: permutation of the images, `[N]`, which batches are cut from.

    Example:
        >>> import numpy as np
        >>> batch_means(np.array([1.0, 2.0, 4.0]), 2, order=np.array([2, 0, 1])).tolist()
        [2.5]
    """
    batches = len(nll) // size
    return nll[order[: batches * size]].reshape(batches, size).mean(1)


def complexity(nll: ndarray, x: ndarray) -> ndarray:
    r"""Bits that the model needs for an image, less those that PNG needs, `[N]`.

    $$ S(x) = \frac{-\ln p(x)}{\ln 2} - 8\,L(x) $$

    L is `png_length` in bytes. Both terms are bits: a density of y = x + u on pixels of unit width is a code length
    like a mass. Which of the two p is, is the model's to say (its `measure`); a density lies below the mass of the
    same image by what the model loses to the noise u, so that the offset of S, not its AUROC, differs in kind.

    Reference:
        Input Complexity and Out-of-distribution Detection with Likelihood-based Generative Models (Serra et
        al., 2020).

    Arguments:
        nll: of images, `[N]`, in nats.
        x: the images, uint8, `[N, C, H, W]`.

    Example:
        >>> import numpy as np
        >>> blank = np.zeros((1, 1, 8, 8), np.uint8)
        >>> complexity(np.array([100 * np.log(2)]), blank).round(9).tolist()
        [12.0]
    """
    return nll / np.log(2) - 8 * png_length(x)


def density_of_states(scores: Mapping[str, ndarray], usual: Mapping[str, ndarray]) -> ndarray:
    r"""Rarity of a model's scores among those of usual images: minus their log density, `[N]`.

    $$ -\sum_k \ln \frac{1}{m h_k} \sum_i \varphi\Big(\frac{s_k - s_{ki}}{h_k}\Big), \qquad
       h_k = m^{-1/5}\,\hat\sigma_k $$

    An image is outlying where a statistic of it is unusual, be it too low or too high. The density is a product over
    scores of Gaussian kernel estimates with Scott's bandwidth; where a model gives one score alone it is that score's.
    Of more than 2000 usual images the sum runs over 2000 evenly spaced quantiles of theirs, with the bandwidth of all.

    References:
        Density of States Estimation for Out of Distribution Detection (Morningstar et al., 2021).
        Multivariate Density Estimation: Theory, Practice, and Visualization (Scott, 1992).

    Arguments:
        scores: of images, by name, each `[N]`.
        usual: the same scores of non-members, each `[m]`, finite and not all the same.

    Raises:
        ValueError: if there is no score, or one is missing among the usual, or has no spread there.

    Example:
        >>> import numpy as np
        >>> usual = {"nll": np.array([-1.0, 0.0, 1.0])}
        >>> low, middle, high = density_of_states({"nll": np.array([-3.0, 0.0, 3.0])}, usual)
        >>> bool(low == high > middle)
        True
    """
    if not scores or set(scores) - set(usual):
        raise ValueError(
            f"found scores {sorted(scores)}, usual ones of {sorted(usual)}; expected the same, one or more"
        )
    return -sum(_log_kernel_density(score, usual[name], name) for name, score in scores.items())


def _log_kernel_density(x: ndarray, centres: ndarray, name: str) -> ndarray:
    spread = centres.std(ddof=1)
    if not (np.isfinite(spread) and spread > 0):
        raise ValueError(f"usual scores {name!r} have a standard deviation of {spread}; expected finite, above 0")
    width = spread * len(centres) ** -0.2
    if len(centres) > MOST:
        centres = np.quantile(centres, (np.arange(MOST) + 0.5) / MOST)
    step, log_density = max(1, ENTRIES // len(centres)), np.empty(len(x))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        log_density[rows] = logsumexp(-0.5 * ((x[rows, None] - centres) / width) ** 2, axis=1)
    return log_density - np.log(len(centres) * width * np.sqrt(2 * np.pi))
