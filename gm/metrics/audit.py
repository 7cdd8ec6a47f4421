r"""A lower bound on the privacy loss epsilon, from one fitted model and the coins that chose its training images.

Every one of m candidate images was put into the training set, or left out, by its own independent fair coin. An attack
scores the candidates; whoever guesses the coins from the scores better than a mechanism that is (epsilon,
delta)-differentially private allows has refuted that epsilon.

What the bound rests on:

- the coins are fair, independent of each other and of whatever else entered the fit;
- the scores are a function of the candidates and of what the mechanism published (the model, its samples, its scores:
  drawing samples is post-processing), and of other data that do not depend on the coins, never of the coins;
- ties are broken without the coins.

A bound holds with its own confidence. Bounds from several attacks on one model, or from several models that share
their coins, do not hold jointly, and neither does the largest of them. A bound
of zero says that this attack found nothing, not that the model is private.
"""

import math
from itertools import product

import numpy as np
from numpy import ndarray
from scipy.special import bdtrc, betaincinv, gammaln, xlog1py, xlogy

ALPHA = 0.05
SHARES = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)


def p_value(
    correct: int, guesses: int, candidates: int, epsilon: float, *, delta: float = 0.0, fewest: int | None = None
) -> float:
    r"""Bound on the chance of so many correct guesses against an (epsilon, delta)-private mechanism.

    With $W_r$ the number of correct ones among r guesses of randomised response,
    $W_r \sim \mathrm{Binomial}(r,\, e^\epsilon / (1 + e^\epsilon))$,

    $$ P[V \ge v] \le P[W_r \ge v] + 2 m \delta \max_{1 \le i \le v} \frac1i P[v > W_r \ge v - i] $$

    for a number r of guesses that is fixed beforehand. Given the guesses t, V is dominated by $W_{r(t)} + F(t)$ with F
    independent of W and $E\,F \le 2 m \delta$. When r itself is read off the mechanism's output and is r_0 at least,
    then F may be large just where r is small, and the maximum is replaced by one that covers every r:
    $P[v > W_r \ge v - i] / i$ is a mean of probabilities of $W_r$, at most the largest of them, which falls with r:

    $$ P[V \ge v] \le P[W_r \ge v] + 2 m \delta \max_k P[W_{r_0} = k] $$

    Reference:
        Privacy Auditing with One (1) Training Run (Steinke, Nasr & Jagielski, 2023), theorem 5.2 and corollary 5.4.

    Arguments:
        correct: correct guesses, v.
        guesses: guesses made, r; of the other candidates none was made.
        candidates: candidates with a coin, m.
        epsilon: of the null hypothesis, at least 0.
        delta: of the null hypothesis.
        fewest: None where `guesses` was fixed beforehand, else the fewest that could have been chosen, r_0.

    Returns:
        A probability.

    Raises:
        ValueError: if the counts are not 0 <= correct <= guesses <= candidates, or fewest is not in 1..guesses.

    Example:
        >>> round(p_value(75, 100, 1000, 0.673, delta=1e-4), 3)
        0.05
    """
    _checked(correct, guesses, candidates, fewest)
    q = 1 / (1 + math.exp(-epsilon))
    tail = 1.0 if correct == 0 else float(bdtrc(correct - 1, guesses, q))
    if delta == 0 or correct == 0:
        return min(tail, 1.0)
    if fewest is None:
        below = np.cumsum(_binomial(guesses, q)[:correct][::-1])
        most = (below / np.arange(1, correct + 1)).max()
    else:
        most = _binomial(fewest, q).max()
    return min(tail + 2 * candidates * delta * float(most), 1.0)


def least_epsilon(
    correct: int, guesses: int, candidates: int, *, delta: float = 0.0, fewest: int | None = None, alpha: float = ALPHA
) -> float:
    """The largest epsilon that so many correct guesses refute at level alpha, 0 if they refute none.

    Arguments and errors are those of `p_value`; the bound fails with a probability of at most alpha.

    Example:
        >>> round(least_epsilon(75, 100, 1000, delta=1e-4), 3)
        0.673
        >>> least_epsilon(50, 100, 1000)
        0.0
    """

    def excess(epsilon: float) -> float:
        return p_value(correct, guesses, candidates, epsilon, delta=delta, fewest=fewest) - alpha

    if excess(0.0) >= 0:
        return 0.0
    from scipy.optimize import brentq

    top = 1.0
    while excess(top) < 0:
        top *= 2
    tolerance = 1e-9
    return max(0.0, float(brentq(excess, 0.0, top, xtol=tolerance)) - tolerance)


def audit(
    member: ndarray, nonmember: ndarray, *, rng: np.random.Generator, delta: float = 1e-5, alpha: float = ALPHA
) -> tuple[float, int]:
    """Lower bound on epsilon from an attack's scores, at confidence 1 - alpha.

    A random half of the candidates, drawn without their coins, chooses how many to guess: so many of the highest
    scores as members, so many of the lowest as non-members, in steps of `SHARES`, whatever gives the largest bound
    there. The same numbers are guessed in the other half, and the bound is that half's own. Given the coins of the
    first half, the mechanism is as private as before towards those of the second, which therefore count alone.

    Arguments:
        member: scores of members, `[n]`, higher for members.
        nonmember: scores of non-members, `[m]`; together with the members these are all candidates.
        rng: source of the halves, and of the order of ties.
        delta: the bound refutes (epsilon, delta) for this delta.
        alpha: chance of failure.

    Returns:
        The bound, at least 0, and the number of candidates in the half that gives it.

    Raises:
        ValueError: if a score is NaN.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> bound, n = audit(np.ones(400), np.zeros(400), rng=rng)
        >>> round(bound, 2), n
        (3.74, 400)
        >>> audit(np.zeros(400), np.zeros(400), rng=rng)[0]
        0.0
    """
    score = np.concatenate([member, nonmember]).astype(np.float64)
    if np.isnan(score).any():
        raise ValueError(f"found {int(np.isnan(score).sum())} NaN among {len(score)} scores; expected numbers")
    order = rng.permutation(len(score))
    ranked = [half[np.argsort(-score[half], kind="stable")] < len(member) for half in np.array_split(order, 2)]
    first, second = ranked[1], ranked[0]
    m = len(second)
    counts = [math.ceil(share * m) for share in SHARES]
    fewest = counts[1]
    # One half may be smaller by one candidate, where a half called members and a half non-members is one too many.
    choices = [(high, min(low, len(first) - high)) for high, low in product(counts, counts) if high + low >= fewest]
    guesses, correct = np.array([(sum(choice), _correct(first, *choice)) for choice in choices]).T
    # The accuracy that so many correct guesses refute at delta 0; one of none, which has no such, cannot win either.
    high, low = choices[int(np.argmax(betaincinv(np.maximum(correct, 1), guesses - correct + 1, alpha)))]
    bound = least_epsilon(_correct(second, high, low), high + low, m, delta=delta, fewest=fewest, alpha=alpha)
    return bound, m


def _correct(is_member: ndarray, high: int, low: int) -> int:
    """Correct guesses when the first `high` are called members and the last `low` non-members."""
    return int(is_member[:high].sum() + (~is_member[len(is_member) - low :]).sum())


def _binomial(n: int, q: float) -> ndarray:
    """Probabilities of 0..n successes."""
    k = np.arange(n + 1)
    return np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, q) + xlog1py(n - k, -q))


def _checked(correct: int, guesses: int, candidates: int, fewest: int | None) -> None:
    if not 0 <= correct <= guesses <= candidates:
        found = f"{correct} correct of {guesses} guesses on {candidates} candidates"
        raise ValueError(f"found {found}; expected 0 <= correct <= guesses <= candidates")
    if fewest is not None and not 1 <= fewest <= guesses:
        raise ValueError(f"found fewest = {fewest} of {guesses} guesses; expected 1 <= fewest <= guesses")
