"""Outlier scores across runs: ratios to a reference model, and ensembles over seeds (higher = more outlying)."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy import ndarray

MEMBERS = 3

Parts = Mapping[str, ndarray]


def across(
    runs: Mapping[int, Parts], reference: Mapping[int, Parts]
) -> list[tuple[int | str, dict[str, dict[str, ndarray]]]]:
    """Scores across runs, by seed: `ratio` of each seed that the reference has, then `waic` and `ensemble` of all.

    Arguments:
        runs: negative log-likelihoods of one model, seed -> part -> `[N]`, in nats.
        reference: the same of the reference model, with as many images; empty for the reference itself.

    Returns:
        Pairs of a seed, or `all`, and scores by name and part. Below three seeds there is no pair for `all`.

    Example:
        >>> import numpy as np
        >>> runs = {seed: {"test": np.array([seed, 0.0])} for seed in range(3)}
        >>> [(seed, list(scores)) for seed, scores in across(runs, {1: runs[0]})]
        [(1, ['ratio']), ('all', ['waic', 'ensemble'])]
    """
    out = [(seed, {"ratio": ratio(runs[seed], reference[seed])}) for seed in runs if seed in reference]
    members = list(runs.values())
    return [*out, ("all", {"waic": waic(members), "ensemble": ensemble(members)})] if len(members) >= MEMBERS else out


def ratio(nll: Parts, reference: Parts) -> dict[str, ndarray]:
    r"""Log-likelihood ratio of a reference to the model, in nats, by part.

    $$ \ln q(x) - \ln p(x) $$

    What both find unlikely, because it is complex say, cancels. An image that the model holds impossible is infinitely
    outlying, whatever the reference says.

    Reference:
        Likelihood Ratios for Out-of-Distribution Detection (Ren et al., 2019).

    Arguments:
        nll: of the model, part -> `[N]`, in nats.
        reference: of the reference, for the same parts.
    """
    out = {}
    for part, ours in nll.items():
        with np.errstate(invalid="ignore"):
            out[part] = np.where(np.isposinf(ours), np.inf, ours - reference[part])
    return out


def waic(members: Sequence[Parts]) -> dict[str, ndarray]:
    r"""Minus the ensemble's WAIC, in nats, by part: an image is outlying where members find it unlikely, or disagree.

    $$ -\big(\mathrm{mean}_s \ln p_s(x) - \mathrm{var}_s \ln p_s(x)\big) $$

    The variance is the unbiased one. Where a density has an interval these are its lower ends, and an error of ln Z
    that a run's images have in common is part of the variance. An image that a member holds impossible is infinitely
    outlying.

    Reference:
        WAIC, but Why? Generative Ensembles for Robust Anomaly Detection (Choi, Jang & Alemi, 2018).

    Arguments:
        members: negative log-likelihoods of one model's seeds, each part -> `[N]`, in nats.

    Raises:
        ValueError: below three members.

    Example:
        >>> import numpy as np
        >>> members = [{"test": np.array([nll, 2.0])} for nll in (1.0, 2.0, 3.0)]
        >>> waic(members)["test"].tolist()
        [3.0, 2.0]
    """
    out = {}
    for part, nll in _stacked(members).items():
        with np.errstate(invalid="ignore"):
            out[part] = np.where(np.isposinf(nll).any(0), np.inf, nll.mean(0) + nll.var(0, ddof=1))
    return out


def ensemble(members: Sequence[Parts]) -> dict[str, ndarray]:
    """Mean negative log-likelihood over the members, in nats, by part. Arguments and errors are those of `waic`."""
    return {part: nll.mean(0) for part, nll in _stacked(members).items()}


def _stacked(members: Sequence[Parts]) -> dict[str, ndarray]:
    if len(members) < MEMBERS:
        raise ValueError(f"found {len(members)} members of an ensemble; expected {MEMBERS} or more")
    return {part: np.stack([member[part] for member in members]) for part in members[0]}
