"""Trivial outlier scores, from pixels and no model, which any method must beat.

Higher is more outlying, in a direction that is part of the name and declared in advance: where both directions are
worth having (bright or dark, complex or simple) they are two scores, and nothing is flipped after the fact.
"""

import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy import ndarray

from gm.metrics.neighbours import nearest

COMPONENTS = 64
MIXED = 20
NEIGHBOURS = 5
BLOCK = 4096

Scores = dict[str, ndarray]


class Subspace(NamedTuple):
    """Probabilistic principal components: `mean` `[D]`, `axes` `[D, k]`, their `variance` `[k]`, and `noise`."""

    mean: ndarray
    axes: ndarray
    variance: ndarray
    noise: float


def pixel_scores(train: ndarray) -> Callable[[ndarray], Scores]:
    """Fit all trivial scores to training images, and return the map from images to their scores.

    `intensity`             mean pixel (bright)
    `dark`                  the same negated
    `png`                   length of the PNG data stream (complex)
    `png-short`             the same negated (simple)
    `pixel-nn`              Euclidean distance to the nearest training image
    `pixel-5nn`             to the fifth nearest (Ramaswamy, Rastogi & Shim, 2000)
    `ppca`                  negative log-likelihood of a PPCA
    `ppca-reconstruction`   distance to its subspace
    `mixture`               negative log-likelihood of a Gaussian mixture on its components

    References:
        Efficient Algorithms for Mining Outliers from Large Data Sets (Ramaswamy, Rastogi & Shim, 2000).
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999).

    Arguments:
        train: images, `[m, *event]`.

    Returns:
        Function of images `[N, *event]`, which gives scores `[N]` by name.
    """
    k = min(NEIGHBOURS, len(train))
    subspace = principal(train, min(COMPONENTS, np.prod(train.shape[1:]) // 2, len(train) - 1))
    mixed = mixture(subspace, train)

    def score(x: ndarray) -> Scores:
        bright, length, distance = intensity(x), png_length(x), nearest(x, train, k=k)[0]
        scores = {"intensity": bright, "dark": -bright, "png": length, "png-short": -length}
        scores |= {"pixel-nn": distance[:, 0], "pixel-5nn": distance[:, -1], "ppca": surprise(subspace, x)}
        return scores | {"ppca-reconstruction": project(subspace, x)[1], "mixture": mixed(x)}

    return score


def intensity(x: ndarray) -> ndarray:
    """Mean pixel, `[N]`: brighter is scored as more outlying."""
    return x.reshape(len(x), -1).mean(1)


def png_length(x: ndarray) -> ndarray:
    """Length in bytes of each image's PNG data stream, `[N]`: less compressible is scored as more outlying.

    The stream is the image's scanlines, a byte a pixel, each after a filter byte 0 (none), deflated with
    zlib's strategy for PNG (run lengths and Huffman codes). Unlike the default strategy it has no search
    whose result depends on the build of zlib, so that lengths agree across machines. Headers, the same for
    all, are left out. Encoders that choose a filter a line give other lengths; on images of 28 x 28 they are no
    shorter on average.

    Reference:
        Input Complexity and Out-of-distribution Detection with Likelihood-based Generative Models (Serra et
        al., 2020).

    Arguments:
        x: images, uint8, `[N, C, H, W]`.

    Example:
        >>> import numpy as np
        >>> noise = np.random.default_rng(0).integers(256, size=(1, 1, 8, 8), dtype=np.uint8)
        >>> bool(png_length(noise) > png_length(np.zeros_like(noise)))
        True
    """
    lines = np.pad(x.astype(np.uint8), [(0, 0), (0, 0), (0, 0), (1, 0)])
    return np.array([_deflated(image.tobytes()) for image in lines], np.float64)


def principal(train: ndarray, components: int) -> Subspace:
    r"""Maximum likelihood PPCA: the leading eigenvectors of the covariance, and the mean of the eigenvalues left out.

    $$ x \sim \mathcal N\big(\mu,\; U(\Lambda - \sigma^2 I)U^\top + \sigma^2 I\big), \qquad
       \sigma^2 = \frac{1}{D - k} \sum_{i > k} \lambda_i $$

    The noise is a millionth of the mean eigenvalue at least, which matters where images are fewer than pixels.

    Reference:
        Probabilistic Principal Component Analysis (Tipping & Bishop, 1999).

    Arguments:
        train: images, `[m, *event]`.
        components: k.

    Raises:
        ValueError: if all images are the same.
    """
    rows = train.reshape(len(train), -1)
    mean = rows.mean(0, dtype=np.float64)
    covariance = np.zeros((rows.shape[1], rows.shape[1]))
    for block in _blocks(rows):
        covariance += (block - mean).T @ (block - mean)
    value, vector = np.linalg.eigh(covariance / (len(rows) - 1))
    if value[-1] <= 0:
        raise ValueError(f"found {len(rows)} training images that are all the same; expected some variance")
    cut = len(value) - components
    noise = max(value[:cut].mean(), 1e-6 * value.mean())
    return Subspace(mean, vector[:, cut:], np.maximum(value[cut:], noise), float(noise))


def project(subspace: Subspace, x: ndarray) -> tuple[ndarray, ndarray]:
    """Components of images about the mean, `[N, k]`, and their Euclidean distance to the subspace, `[N]`, in levels."""
    code, distance = [], []
    for block in _blocks(x.reshape(len(x), -1)):
        centred = block - subspace.mean
        code.append(centred @ subspace.axes)
        distance.append(np.linalg.norm(centred - code[-1] @ subspace.axes.T, axis=1))
    return np.concatenate(code), np.concatenate(distance)


def surprise(subspace: Subspace, x: ndarray) -> ndarray:
    r"""Negative log-likelihood of images under PPCA, in nats, `[N]`; z are the components, r the distance left.

    $$ \tfrac12 \sum_i \Big(\frac{z_i^2}{\lambda_i} + \ln 2\pi\lambda_i\Big) + \frac{r^2}{2\sigma^2}
       + \frac{D - k}{2} \ln 2\pi\sigma^2 $$
    """
    code, distance = project(subspace, x)
    left = len(subspace.mean) - len(subspace.variance)
    inside = (code**2 / subspace.variance + np.log(2 * np.pi * subspace.variance)).sum(1)
    return 0.5 * (inside + distance**2 / subspace.noise + left * np.log(2 * np.pi * subspace.noise))


def mixture(subspace: Subspace, train: ndarray) -> Callable[[ndarray], ndarray]:
    """Fit a mixture of 20 Gaussians to principal components, and return its negative log-likelihood of images, `[N]`.

    The variance added to every direction is the noise of the PPCA, and the fit's own seed is 0: both are parts of
    what the score is.

    Arguments:
        subspace: from `principal`.
        train: images, `[m, *event]`.
    """
    from sklearn.mixture import GaussianMixture

    code = project(subspace, train)[0]
    # Twenty components on fewer than 400 images would be the images themselves.
    parts = max(1, min(MIXED, len(code) // 20))
    model = GaussianMixture(parts, reg_covar=subspace.noise, random_state=0).fit(code)
    return lambda x: -model.score_samples(project(subspace, x)[0])


def _blocks(rows: ndarray) -> list[ndarray]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def _deflated(content: bytes) -> int:
    stream = zlib.compressobj(9, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    return len(stream.compress(content)) + len(stream.flush())
