"""A density against the whole of its small event, and a sampler against its density."""

import math
from functools import lru_cache

import torch
from scipy.special import chdtrc, ndtri, stdtrit
from torch import Tensor

from gm import rng
from gm.contract.case import Case, Skipped, expect, noise
from gm.model import Bounds

ALARM = 1e-4  # false-alarm rate of each statistical check
STATES = 1024  # an event of more states than this is not summed over
GROUPS = 8  # groups of independent noise u, which give an integral its standard error
DRAWS = 4000
ROUNDING = 1e-3
ESTIMATED = 0.1  # relative error allowed to ends that are estimates: their own noise is not in the standard error


def states(case: Case) -> Tensor:
    """Every state of the event as integers, `[S, D]`.

    Raises:
        Skipped: there are more than `STATES`, or no density.
    """
    levels, D = case.event.levels, case.event.dim
    if case.reference.kinds == ("none", "none"):
        raise Skipped("the class has no density")
    if levels is None:
        raise Skipped("a real-valued event has no states to sum over")
    if levels**D > STATES:
        raise Skipped(f"{levels}^{D} states are too many to sum over (more than {STATES})")
    return torch.cartesian_prod(*[torch.arange(levels)] * D).reshape(-1, D)


def exact_rows(bounds: Bounds) -> bool:
    """Whether the rows' ends differ by the shared constant alone: rows are cheap then, and without noise."""
    gap = (bounds.upper - bounds.lower).double() - (bounds.shared[1] - bounds.shared[0])
    return bool((gap.abs() < 1e-9 * (1 + bounds.lower.abs())).all())


@lru_cache(maxsize=1)
def masses(case: Case) -> tuple[Tensor, Tensor]:
    r"""Mass of every state x by its lower and its upper end, in groups of noise, each `[GROUPS, S]`.

    .. math:: P(x) = \int_{[0, 1)^D} p(x + u) du

    by scrambled Sobol points; a discrete model's density does not depend on u, and its mass is exact.
    """
    x = states(case)
    S, D = x.shape
    budget = 2**14 if exact_rows(case.reference) else 2**13 if case.cls.measure == "density" else 1
    m = 2 ** int(math.log2(max(1, budget // (GROUPS * S))))
    seeds = [rng.seed_of(case.seed, "cubature", group) for group in range(GROUPS)]
    u = torch.stack([torch.quasirandom.SobolEngine(D, scramble=True, seed=seed).draw(m) for seed in seeds])
    y = (x + noise(u)[:, :, None]).reshape(-1, *case.event.shape)
    found = case.bounds(y)
    lower, upper = (end.double().reshape(GROUPS, m, S).exp().mean(1) for end in (found.lower, found.upper))
    return lower, upper


def total(groups: Tensor) -> tuple[float, float]:
    """An integral over [0, levels)^D and its standard error, from `[GROUPS, S]`."""
    sums = groups.sum(1)
    return float(sums.mean()), float(sums.std()) / math.sqrt(len(sums))


def index(case: Case, x: Tensor) -> Tensor:
    """Positions `[N]` of integers `[N, ...]` in `states`."""
    levels, D = case.event.levels, case.event.dim
    return (x.reshape(len(x), D).long() * levels ** torch.arange(D - 1, -1, -1)).sum(1)


@lru_cache(maxsize=1)
def outside(case: Case) -> tuple[Tensor, Tensor]:
    """The mass that a density puts outside [0, levels)^D: weights `[N]`, and the state `[N]` that clipping leads to.

    Importance sampling from a Gaussian of the data's mean and twice their covariance; the mean weight estimates the
    mass. A density that cannot be evaluated out there has none there.
    """
    levels, D = case.event.levels, case.event.dim
    y = case.split("train", 400).x.double().flatten(1) + 0.5
    covariance = 2 * torch.cov(y.T, correction=0).reshape(D, D) + torch.eye(D)
    proposal = torch.distributions.MultivariateNormal(y.mean(0), covariance)
    count = 2**14 if exact_rows(case.reference) else 2**11
    xi = torch.randn(count, D, dtype=torch.float64, generator=rng.stream(case.seed, "outside"))
    draws = proposal.loc + xi @ proposal.scale_tril.T
    away = ((draws < 0) | (draws >= levels)).any(1)
    weight = torch.zeros(len(draws), dtype=torch.float64)
    clipped = index(case, draws.floor().clamp(0, levels - 1))
    try:
        found = case.bounds(draws[away].float().reshape(-1, *case.event.shape)).upper.double()
    except Exception:
        return weight, clipped
    weight[away] = (found - proposal.log_prob(draws[away])).exp()
    return weight, clipped


def mass(case: Case) -> str:
    """The lower end integrates to at most one, the upper end to at least one; an exact density does both.

    What an upper end lacks inside [0, levels)^D must be found outside: a Gaussian keeps a part of its mass there. A
    mass, which does not depend on u, has nowhere else to be.
    """
    kinds, error = case.reference.kinds, tolerance(case)
    lines = []
    for name, kind, groups in zip(("lower", "upper"), kinds, masses(case), strict=True):
        value, se = total(groups)
        allowed = error + float(stdtrit(GROUPS - 1, 1 - ALARM / 2)) * se
        found = f"the {name} end integrates to {value:.4f}"
        if kind != "none":
            lines.append(f"{value:.4f} ± {se:.1g} ({name} end)")
        if name == "lower":
            expect(value <= 1 + allowed, found, f"at most 1 within {allowed:.2g}")
        elif value < 1 - allowed:
            weight = outside(case)[0] if se else torch.zeros(1, dtype=torch.float64)
            beyond, its_se = float(weight.mean()), float(weight.std(correction=0)) / math.sqrt(len(weight))
            allowed += float(-ndtri(ALARM / 2)) * its_se
            found += f", and {beyond:.4f} lies outside [0, {case.event.levels})"
            expect(abs(value + beyond - 1) <= allowed, found, f"1 in all within {allowed:.2g}")
            lines.append(f"{beyond:.4f} ± {its_se:.1g} outside [0, {case.event.levels})")
    return f"integral {', '.join(lines)}"


def tolerance(case: Case) -> float:
    """Relative error that is allowed beside the standard error."""
    exact = exact_rows(case.reference) and "heuristic" not in case.reference.kinds
    return ROUNDING if exact else ESTIMATED


def agreement(count: Tensor, mean: Tensor, variance: Tensor) -> tuple[float, int]:
    """Chi-square of counts against a law's, each `[S]`, in bins that expect about five or more; and their number."""
    order = mean.argsort()
    bins = (mean[order].cumsum(0) / 5).floor().unique(return_inverse=True)[1]
    zero = torch.zeros(int(bins.max()) + 1, dtype=torch.float64)
    gap, spread = (zero.index_add(0, bins, part[order]) for part in (count - mean, variance))
    return float((gap.square() / spread.clamp(min=1)).sum()), len(zero)


def sampler(case: Case) -> str:
    """Frequencies of samples agree with the density's masses: a chi-square test.

    The masses are those of the ends' middle (or the one end there is), normalised; where they are
    estimates, they are allowed a relative error of `ESTIMATED / 2` in each state. What a density (not a mass) keeps
    outside [0, levels)^D is expected where clipping to the levels leads it.
    """
    x, (lower, upper) = states(case), masses(case)
    first, second = case.reference.kinds
    groups = lower if second == "none" else upper if first == "none" else (lower * upper).sqrt()
    value, se = total(groups)
    P, error = groups.mean(0), groups.var(0) / GROUPS
    clipped = case.cls.measure == "density" and second != "none" and se and value < 1 - ROUNDING - 5 * se
    if clipped:
        weight, at = outside(case)
        beyond, square = (torch.zeros_like(P).index_add(0, at, w) / len(w) for w in (weight, weight.square()))
        P, error = P + beyond, error + (square - beyond.square()) / len(weight)
    P = P / P.sum()
    relative = 0.0 if tolerance(case) == ROUNDING else ESTIMATED / 2
    mean, variance = DRAWS * P, DRAWS * P + DRAWS**2 * ((relative * P).square() + error)
    count = torch.bincount(index(case, case.sample(DRAWS)), minlength=len(x)).double()
    statistic, bins = agreement(count, mean, variance)
    p = float(chdtrc(max(1, bins - 1), statistic))
    worst = int(((count - mean).square() / variance.clamp(min=1)).argmax())
    state = f"state {x[worst].tolist()}: {count[worst]:.0f} of {DRAWS} samples, {mean[worst]:.1f} by the density"
    found = f"chi-square {statistic:.1f} in {bins} bins, p = {p:.2g}"
    expect(p >= ALARM, f"{found}; {state}", f"p of at least {ALARM}")
    return found + (", samples clipped to the levels" if clipped else "")
