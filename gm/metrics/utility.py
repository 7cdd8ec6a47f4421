"""Are synthetic images of use where real ones are scarce? Classifiers trained on mixtures, judged on real images."""

import math

import numpy as np
from numpy import ndarray

COMPONENTS = 50
CLASSIFIERS = ("logistic", "svm")


def classify(name: str, x: ndarray, label: ndarray, targets: ndarray, *, seed: int) -> ndarray:
    """Labels that a classifier gives to images, trained on others.

    `logistic` is multinomial logistic regression, `svm` a support vector machine with a Gaussian kernel (C = 10, the
    width from the variance of its inputs); both see up to 50 principal components of the images they are trained on.
    One is linear and one is local; neither is tuned. A training set of a single class gives that class.

    References:
        Pearson, On lines and planes of closest fit to systems of points in space, 1901 (principal components).
        Cortes, Vapnik, Support-vector networks, 1995.

    Arguments:
        name: one of `CLASSIFIERS`.
        x: training images `[N, ...]`, of unit scale.
        label: `[N]`.
        targets: images to be labelled, `[M, ...]`.
        seed: of the randomised decomposition.

    Returns:
        Labels `[M]`.

    Raises:
        ValueError: for an unknown name.

    Example:
        >>> import numpy as np
        >>> x, label = np.repeat([[0.0, 0.0], [1.0, 1.0]], 5, axis=0), np.repeat([3, 7], 5)
        >>> classify("logistic", x, label, x[4:6], seed=0).tolist()
        [3, 7]
    """
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    if name not in CLASSIFIERS:
        raise ValueError(f"unknown classifier '{name}'; expected one of {CLASSIFIERS}")
    if len(np.unique(label)) < 2:
        return np.full(len(targets), label[0])
    x, targets = x.reshape(len(x), -1), targets.reshape(len(targets), -1)
    parts = PCA(min(COMPONENTS, *x.shape), svd_solver="randomized", random_state=seed)
    final = LogisticRegression(max_iter=1000) if name == "logistic" else SVC(C=10)
    return make_pipeline(parts, final).fit(x, label).predict(targets)


def accuracy(predicted: ndarray, label: ndarray) -> tuple[float, float]:
    r"""Share of images with the right label.

    $$ se^2 = \frac{\tilde p (1 - \tilde p)}{n + 4}, \qquad \tilde p = \frac{n p + 2}{n + 4} $$

    Reference: Agresti, Coull, Approximate is better than "exact" for interval estimation of binomial proportions, 1998.

    Arguments:
        predicted: labels `[n]`.
        label: true labels `[n]`.

    Returns:
        The share and its standard error, which is not 0 where all are right.

    Example:
        >>> import numpy as np
        >>> accuracy(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 3]))[0]
        0.75
    """
    right, n = int((predicted == label).sum()), len(label)
    share = (right + 2) / (n + 4)
    return right / n, math.sqrt(share * (1 - share) / (n + 4))


def macro_f1(predicted: ndarray, label: ndarray, *, rng: np.random.Generator, draws: int = 200) -> tuple[float, float]:
    r"""Mean over the classes of $F_1 = 2\, TP / (2\, TP + FP + FN)$, with the bootstrap's standard error over images.

    The score is a function of the confusion matrix, whose resamples are multinomial. Classes are those of the test
    images and of the predictions.

    Arguments:
        predicted: labels `[n]`.
        label: true labels `[n]`.
        rng: source of the resamples.
        draws: their number.

    Returns:
        The score and its standard error.

    Example:
        >>> import numpy as np
        >>> label = np.array([0, 0, 1, 1])
        >>> macro_f1(np.array([0, 0, 1, 0]), label, rng=np.random.default_rng(0))[0]
        0.7333333333333334
    """
    classes, codes = np.unique(np.concatenate([label, predicted]), return_inverse=True)
    n, k = len(label), len(classes)
    counts = np.bincount(codes[:n] * k + codes[n:], minlength=k * k)
    resamples = rng.multinomial(n, counts / n, draws)

    def score(tables: ndarray) -> ndarray:
        tables = tables.reshape(-1, k, k)
        hits, sums = np.diagonal(tables, axis1=1, axis2=2), tables.sum(1) + tables.sum(2)
        # A class that a resample lacks is left out of its mean.
        return np.divide(2 * hits, sums, out=np.zeros(hits.shape), where=sums > 0).sum(1) / (sums > 0).sum(1)

    return float(score(counts)[0]), float(score(resamples).std(ddof=1))


def gain(ours: ndarray, theirs: ndarray, label: ndarray) -> tuple[float, float]:
    r"""Accuracy of one classifier minus another's on the same images.

    $$ \Delta = \frac{b - c}n, \qquad se^2 = \frac1{(n + 2)^2} \Big(b + c + 1 - \frac{(b - c)^2}{n + 2}\Big) $$

    with b images that only the first labels right and c that only the second does; the error is that of a table with
    half an image added to each cell, so that it is not 0 where the two agree on all.

    Reference: Agresti, Min, Simple improved confidence intervals for comparing matched proportions, 2005.

    Arguments:
        ours: labels `[n]` of the first.
        theirs: labels `[n]` of the second.
        label: true labels `[n]`.

    Returns:
        The difference and its standard error over images.

    Example:
        >>> import numpy as np
        >>> gain(np.array([0, 1, 1]), np.array([0, 0, 0]), np.array([0, 1, 1]))[0]
        0.6666666666666666
    """
    first, second = ours == label, theirs == label
    n, only, other = len(label), int((first & ~second).sum()), int((second & ~first).sum())
    return (only - other) / n, math.sqrt(only + other + 1 - (only - other) ** 2 / (n + 2)) / (n + 2)


def stratified(label: ndarray, n: int, *, rng: np.random.Generator) -> ndarray:
    """Indices of `n` examples with the shares of the classes kept, in random order; all where there are no more.

    Arguments:
        label: `[N]`.
        n: how many.
        rng: source of the choice.

    Returns:
        `[min(n, N)]` distinct indices; each class has its share of n, rounded down or up.

    Example:
        >>> import numpy as np
        >>> label = np.repeat([0, 1], [30, 10])
        >>> np.bincount(label[stratified(label, 8, rng=np.random.default_rng(0))]).tolist()
        [6, 2]
    """
    order = rng.permutation(len(label))
    ordered = order[np.argsort(label[order], kind="stable")]
    # Even steps through the examples sorted by class take of each class its share.
    picked = ordered[((np.arange(min(n, len(label))) + 0.5) * len(label) / min(n, len(label))).astype(int)]
    return rng.permutation(picked)


def shifted(x: ndarray, n: int, *, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """Classical augmentation: copies of images moved by a few pixels, the border repeated.

    Each copy moves by up to a fourteenth of the height and width (two of 28 pixels, at least one), each direction drawn
    evenly and not both 0. Nothing is turned or flipped, which changes the class of a digit. Images are gone through in
    turn, so that all have the same number of copies or one more.

    Arguments:
        x: images `[N, C, H, W]`.
        n: how many copies.
        rng: source of the order and of the moves.

    Returns:
        Copies `[n, C, H, W]`, and which image each was made from, `[n]`.

    Example:
        >>> import numpy as np
        >>> copies, index = shifted(np.eye(8)[None, None], 3, rng=np.random.default_rng(0))
        >>> copies.shape, index.tolist()
        ((3, 1, 8, 8), [0, 0, 0])
    """
    index = np.concatenate([rng.permutation(len(x)) for _ in range(-(-n // len(x)))])[:n]
    height, width = (max(1, side // 14) for side in x.shape[2:])
    moves = [(dy, dx) for dy in range(-height, height + 1) for dx in range(-width, width + 1) if dy or dx]
    padded = np.pad(x, ((0, 0), (0, 0), (height, height), (width, width)), mode="edge")
    out = np.empty((n, *x.shape[1:]), x.dtype)
    for place, (image, move) in enumerate(zip(index, rng.integers(len(moves), size=n), strict=True)):
        dy, dx = moves[move]
        top, left = height - dy, width - dx
        out[place] = padded[image, :, top : top + x.shape[2], left : left + x.shape[3]]
    return out, index


def regimes(
    real: tuple[ndarray, ndarray],
    synthetic: tuple[ndarray, ndarray],
    fresh: tuple[ndarray, ndarray],
    ratios: tuple[int, ...],
    *,
    rng: np.random.Generator,
) -> dict[str, tuple[ndarray, ndarray]]:
    """Training sets, by the name of their regime.

    `trtr` has the real examples alone; `tstr` as many synthetic ones, so that the two differ in their source and not in
    their size; `synthetic=<r>`, `classical=<r>` and `fresh=<r>` have the real ones and r times as many others: drawn
    from the model, shifted copies (`shifted`), and real ones that no model has seen.

    Arguments:
        real: images `[N, C, H, W]` and labels `[N]`.
        synthetic: the model's, with labels; the first of them are taken.
        fresh: as many as wanted of further real ones; the first of them are taken.
        ratios: r; one that a source has too few images for is left out of that source.
        rng: source of the shifted copies.

    Returns:
        Regime -> images and labels.
    """
    n = len(real[0])
    out = {"trtr": real}
    if len(synthetic[0]) >= n:
        out["tstr"] = tuple(part[:n] for part in synthetic)
    for ratio, child in zip(ratios, rng.spawn(len(ratios)), strict=True):
        size = ratio * n
        if size > max(len(synthetic[0]), len(fresh[0])):
            continue
        copies, index = shifted(real[0], size, rng=child)
        others = {"classical": (copies, real[1][index])}
        others |= {name: more for name, more in (("synthetic", synthetic), ("fresh", fresh)) if len(more[0]) >= size}
        for name, more in others.items():
            out[f"{name}={ratio}"] = tuple(np.concatenate([a, b[:size]]) for a, b in zip(real, more, strict=True))
    return out
