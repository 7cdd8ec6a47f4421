"""Log-likelihood as an interval: means over test images, with standard errors."""

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy import ndarray

ENDS = ("lower", "upper")


class End(NamedTuple):
    """One end of an interval for a mean log density: `value` and `se` in nats, over `n` images; its `kind`.

    `se` is infinite where the value is.
    """

    value: float
    se: float
    n: int
    kind: str


def ends(scores: Mapping[str, ndarray], part: str = "test") -> dict[str, End]:
    r"""Both ends of the mean log density over a part, in nats.

    $$ \frac1N \sum_i \ell_i \mp \frac{\ln(1/\alpha)}{N}, \qquad
       se^2 = \frac{\mathrm{var}_i\,\ell_i}{N} + se_{\log Z}^2 $$

    A certified row end is a bound in expectation, and independent noise makes the slack of a mean of N of
    them $\ln(1/\alpha)/N$ (`slack` / N; minus for the lower end, plus for the upper). A constant that all
    rows share (a log Z) has its slack taken already, and its error does not shrink with N: it is added in
    quadrature.

    Arguments:
        scores: `lower_<part>` and `upper_<part>` `[N]` in nats, `kinds` `[2]`, and, where they are not 0,
            `shared_se` and `slack`.
        part: `test`, `member`, ...

    Returns:
        `lower` and `upper`; an end of kind `none` is left out.

    Raises:
        ValueError: if an end holds NaN.

    Example:
        >>> import numpy as np
        >>> row = np.array([-1.0, -3.0])
        >>> ends({"lower_test": row, "upper_test": row, "kinds": np.array(["exact", "none"])})
        {'lower': End(value=-2.0, se=1.0, n=2, kind='exact')}
    """
    found = {}
    for end, kind in zip(ENDS, map(str, scores["kinds"]), strict=True):
        if kind == "none":
            continue
        row = np.asarray(scores[f"{end}_{part}"], np.float64)
        if np.isnan(row).any():
            raise ValueError(f"'{end}_{part}' holds {int(np.isnan(row).sum())} NaN among {len(row)}; expected numbers")
        value, se = float(row.mean()), math.inf
        if math.isfinite(value):
            se = math.hypot(float(row.std(ddof=1)) / math.sqrt(len(row)), float(scores.get("shared_se", 0.0)))
        slack = float(scores.get("slack", 0.0)) / len(row) if kind == "certified" else 0.0
        found[end] = End(value - slack if end == "lower" else value + slack, se, len(row), kind)
    return found


def bits_per_dim(end: End, dim: int) -> End:
    """The same end in bits per dimension, -log p / (D ln 2): a lower end in nats is an upper end in bits."""
    scale = dim * math.log(2)
    return end._replace(value=-end.value / scale, se=end.se / scale)
