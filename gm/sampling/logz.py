"""Intervals for a log normalising constant, each end with its kind, and what unbiased weights alone say."""

import math
from dataclasses import dataclass, field

from scipy.special import stdtrit
from torch import Tensor

from gm.sampling.diagnostics import pareto_k

ESS_GATE, GAP_GATE, PARETO_GATE = 0.1, 1.0, 0.7


@dataclass(frozen=True)
class LogZ:
    """An interval for log Z of a target relative to a normalised base, in nats.

    Two certified ends hold together with probability at least 1 - 2 alpha.

    Attributes:
        lower: lower end.
        upper: upper end.
        point: the best single value; what it is depends on the estimator.
        se: standard error of `point`, over independent groups.
        kinds: kind of the lower and of the upper end.
        alpha: failure probability of each certified end.
        ess: effective sample size of the forward weights as a fraction of their number.
        evals: counted evaluations of the estimate, and of the pilot where the estimator has one of its own.
        note: what the diagnostics say; they change no kind.
    """

    lower: float
    upper: float
    point: float
    se: float
    kinds: tuple[str, str]
    alpha: float
    ess: float
    evals: dict[str, int] = field(default_factory=dict)
    note: str = ""

    @classmethod
    def exact(cls, value: float) -> "LogZ":
        """A known log Z: both ends are it, and neither can fail."""
        return cls(value, value, value, 0.0, ("exact", "exact"), 0.0, 1.0)


def log_mean(log_w: Tensor, dim: int = -1) -> Tensor:
    """Log of the mean of exp(log_w) along `dim`, in float64."""
    return log_w.double().logsumexp(dim) - math.log(log_w.shape[dim])


def certify(log_w: Tensor, alpha: float) -> float:
    r"""A lower bound of log E[w] that fails with probability at most alpha:

        mean_r log( mean_m w_rm ) - ln(1 / alpha) / R.

    The R group means are independent and unbiased, so E exp(sum_r log mean_m w_rm) = E[w]^R, and Markov's
    inequality does the rest. Runs within a group may depend on each other. R, M and alpha are fixed
    beforehand.

    Reference: Burda, Grosse and Salakhutdinov, Accurate and conservative estimates of MRF log-likelihood using
    reverse annealing, 2015; Grosse, Ancha and Roy, Measuring the reliability of MCMC inference with bidirectional
    Monte Carlo, 2016 (the Markov bound for R = 1).

    Arguments:
        log_w: log weights, shape `[R, M]`.
        alpha: failure probability, in (0, 1).

    Returns:
        The bound, in nats.

    Raises:
        ValueError: if `alpha` is not in (0, 1), or `log_w` is not a table.

    Example:
        >>> import torch
        >>> round(certify(torch.zeros(32, 8), 0.05), 4)
        -0.0936
    """
    if log_w.ndim != 2:
        raise ValueError(f"log weights have shape {tuple(log_w.shape)}; expected [groups, chains]")
    return float(log_mean(log_w).mean()) - slack(alpha, len(log_w))


def slack(alpha: float, groups: int) -> float:
    """What a failure probability costs with R groups, ln(1 / alpha) / R nats."""
    if not 0 < alpha < 1:
        raise ValueError(f"alpha is {alpha}; expected a failure probability in (0, 1)")
    return math.log(1 / alpha) / groups


def estimate(log_w: Tensor) -> tuple[float, float]:
    """Log of the mean of all weights `[R, M]`, and its delta-method standard error over groups, in nats."""
    point = log_mean(log_w.flatten())
    ratio = (log_mean(log_w) - point).exp()
    return float(point), float(ratio.std() / math.sqrt(len(ratio)))


def effective_size(log_w: Tensor) -> float:
    """Effective sample size (sum w)^2 / (n sum w^2), a fraction in (0, 1]."""
    return float((2 * log_mean(log_w.flatten()) - log_mean(2 * log_w.double().flatten())).exp())


def student(groups: int, alpha: float) -> float:
    """Student's quantile at 1 - alpha / 2 with `groups` - 1 degrees of freedom."""
    return float(stdtrit(groups - 1, 1 - alpha / 2))


def one_sided(log_w: Tensor, alpha: float, *, evals: dict[str, int] | None = None) -> LogZ:
    """The interval that unbiased weights `[R, M]` give alone: lower end certified, upper end heuristic.

    The upper end is `point` and so many standard errors as Student's quantile at 1 - alpha / 2 with R - 1 degrees says.

    For the islands of `gm.sampling.smc.waste_free`, `log_w` is `log_z[:, None]`.

    Raises:
        FloatingPointError: if the mean weight is zero or not finite.
    """
    point, se = estimate(log_w)
    if not math.isfinite(point):
        raise FloatingPointError(f"the mean of {log_w.numel()} weights is exp({point}); expected a positive number")
    lower, notes = certify(log_w, alpha), weight_notes(log_w)
    upper = max(point + student(len(log_w), alpha) * se, lower) if len(log_w) > 1 else math.inf
    note = "; ".join([*notes, "upper end heuristic: mass that no run saw is missing from both ends"])
    kinds = ("certified", "heuristic")
    return LogZ(lower, upper, point, se, kinds, alpha, effective_size(log_w), evals or {}, note)


def failed(condition: bool) -> str:
    """What a note says of a gate that was not passed."""
    return ", FAILED" if condition else ""


def weight_notes(log_w: Tensor) -> list[str]:
    """Diagnostics of importance weights, in words."""
    ess = effective_size(log_w)
    few = failed(ess < ESS_GATE or ess * log_w.numel() < 2)
    notes = [f"effective sample size {ess:.3f} (gate: at least {ESS_GATE}, and 2 weights){few}"]
    if log_w.numel() > 20:  # fewer have no tail to fit
        k = pareto_k(log_w.double().cpu().numpy())
        notes.append(f"Pareto k {k:.2f} (gate: below {PARETO_GATE}){failed(k >= PARETO_GATE)}")
    return notes
