"""Estimates of log Z from draws at every temperature of a geometric path, as functions of V = log target - log base.

Each takes V of shape `[R, n, T + 1]`: R independent replicas, n rounds, one column per temperature, as parallel
tempering returns it. The standard error is the spread of the replicas' influences on the pooled estimate, to first
order; rounds may depend on each other, and so may the rungs of one round.
"""

import math

import torch
from torch import Tensor

from gm.sampling.logz import LogZ, certify, student


def works(V: Tensor, lams: Tensor) -> tuple[Tensor, Tensor]:
    """Log weights from each rung to the next, and from the next back.

    Arguments:
        V: log target - log base, `[R, n, T + 1]`.
        lams: temperatures, increasing from 0 to 1, `[T + 1]`.

    Returns:
        (lam_{t+1} - lam_t) V_t and -(lam_{t+1} - lam_t) V_{t+1}, float64, each `[R, n, T]`.

    Raises:
        ValueError: if the shapes do not agree, or there is one replica only.
        FloatingPointError: if V is not finite.

    Example:
        >>> forward, reverse = works(torch.ones(2, 1, 3), torch.tensor([0.0, 0.25, 1.0]))
        >>> forward[0].tolist(), reverse[0].tolist()
        ([[0.25, 0.75]], [[-0.25, -0.75]])
    """
    lams = torch.as_tensor(lams, dtype=torch.float64, device=V.device)
    if V.ndim != 3 or V.shape[-1] != len(lams):
        raise ValueError(f"V has shape {tuple(V.shape)}; expected [replicas, rounds, {len(lams)} temperatures]")
    if lams[0] != 0 or lams[-1] != 1 or bool((lams.diff() <= 0).any()):
        raise ValueError(
            f"temperatures run from {float(lams[0])} to {float(lams[-1])}; expected an increase from 0 to 1"
        )
    V = _checked(V)
    return lams.diff() * V[..., :-1], -lams.diff() * V[..., 1:]


def thermodynamic_integration(
    V: Tensor,
    lams: Tensor,
    alpha: float = 0.05,
    *,
    exact: bool = False,
    span: float | None = None,
    evals: dict[str, int] | None = None,
) -> LogZ:
    r"""Integrate d log Z / d lam = E_lam[V] by the trapezoidal rule, between the Riemann sums that enclose it:

    .. math:: \sum_t (\lambda_{t+1} - \lambda_t) E_{\lambda_t}[V] \le \log Z \le
        \sum_t (\lambda_{t+1} - \lambda_t) E_{\lambda_{t+1}}[V],

    because log Z is convex on a geometric path: its second derivative is the variance of V. The ends are the estimated
    sums and a Student-t quantile of their standard errors: asymptotic and therefore heuristic, for exact draws too.
    Only if all draws are independent and exact and V has a known range are they certified, by Hoeffding's inequality:
    the slack is then span sqrt(ln(1 / alpha) sum_t (lam_{t+1} - lam_t)^2 / (2 R n)).

    Reference: Gelman and Meng, Simulating normalizing constants, 1998; Hoeffding, Probability inequalities for sums of
    bounded random variables, 1963.

    Arguments:
        V: log target - log base, `[R, n, T + 1]`.
        lams: temperatures, increasing from 0 to 1, fixed beforehand, `[T + 1]`.
        alpha: failure probability, of each end if certified, else of the interval.
        exact: all R n (T + 1) draws are independent, each an exact draw at its temperature.
        span: sup V - inf V, where it is known.
        evals: counted evaluations to record.

    Returns:
        The bracket; `point` and `se` are the trapezoidal rule's, and leave out its discretisation error.

    Raises:
        ValueError: if the shapes do not agree, there is one replica only, or V exceeds `span`.
        FloatingPointError: if V is not finite.
    """
    forward, reverse = works(V, lams)
    left, right = forward.sum(-1), -reverse.sum(-1)
    result = _interval(float((left + right).mean() / 2), (left + right) / 2, alpha, evals)
    lower, upper = float(left.mean()), float(right.mean())
    note = f"convexity bracket [{lower:.4g}, {upper:.4g}] before sampling error; {result.note}"
    if exact and span is not None:
        found = float(V.max() - V.min())
        if found > span:
            raise ValueError(f"V spreads over {found:.6g} nats; expected at most span={span:.6g}")
        squares = float(torch.as_tensor(lams, dtype=torch.float64).diff().square().sum())
        low = high = span * math.sqrt(math.log(1 / alpha) * squares / (2 * left.numel()))
        kind = "certified"
    else:
        quantile = student(len(left), alpha)
        low, high = quantile * _between(left), quantile * _between(right)
        kind = "heuristic"
    return LogZ(lower - low, upper + high, result.point, result.se, (kind, kind), alpha, result.ess, result.evals, note)


def stepping_stone(
    V: Tensor,
    lams: Tensor,
    alpha: float = 0.05,
    *,
    exact: bool = False,
    evals: dict[str, int] | None = None,
) -> LogZ:
    r"""Multiply the ratios of neighbouring normalising constants, each a mean over one rung:

    .. math:: \hat Z = \prod_{t<T} \frac{1}{n} \sum_i e^{(\lambda_{t+1} - \lambda_t) V_{it}}.

    If rungs are independent and sampled exactly, each factor is unbiased and so is their product, in every replica;
    likewise 1 / Z from the rungs 1, ..., T backward. Then both ends are certified by Markov's inequality
    (`gm.sampling.logz.certify`). Otherwise they are `point` and a Student-t quantile of its standard error.

    Reference: Xie, Lewis, Fan, Kuo and Chen, Improving marginal likelihood estimation for Bayesian phylogenetic model
    selection, 2011; Neal, Probabilistic inference using Markov chain Monte Carlo methods, 1993.

    Arguments:
        V: log target - log base, `[R, n, T + 1]`.
        lams: temperatures, increasing from 0 to 1, fixed beforehand, `[T + 1]`.
        alpha: failure probability, of each end if certified, else of the interval.
        exact: every draw is exact at its temperature, and replicas and rungs are independent.
        evals: counted evaluations to record.

    Returns:
        The interval; `point` pools the replicas within each factor.

    Raises:
        ValueError: if the shapes do not agree, or there is one replica only.
        FloatingPointError: if V is not finite.
    """
    forward, reverse = works(V, lams)
    ratio = _log_mean(forward, (0, 1))
    result = _interval(float(ratio.sum()), torch.expm1(forward - ratio).sum(-1), alpha, evals)
    if not exact:
        return result
    lower = certify(_log_mean(forward, 1).sum(-1, keepdim=True), alpha)
    upper = -certify(_log_mean(reverse, 1).sum(-1, keepdim=True), alpha)
    kinds = ("certified", "certified")
    return LogZ(lower, upper, result.point, result.se, kinds, alpha, result.ess, result.evals, result.note)


def bar(forward: Tensor, reverse: Tensor, alpha: float = 0.05, *, evals: dict[str, int] | None = None) -> LogZ:
    r"""Bennett's acceptance ratio: the f = log Z at which forward and reverse weights agree,

    .. math:: \sum_i \sigma(\log w_i - f) = \sum_i \sigma(\log w'_i + f),    \sigma(a) = 1 / (1 + e^{-a}),

    of least asymptotic variance among the estimators that bridge two states, for independent draws of equal number. The
    weights may be those of single steps (`works`; the stages add up) or of annealed runs.

    Reference: Bennett, Efficient estimation of free energy differences from Monte Carlo data, 1976; Shirts, Bair,
    Hooker and Pande, Equilibrium free energies from nonequilibrium measurements using maximum-likelihood methods, 2003.

    Arguments:
        forward: log weights from draws of the start, E[w] = Z, `[R, n]` or, with T stages in turn, `[R, n, T]`.
        reverse: log weights from draws of the end, E[w'] = 1 / Z, of the same shape.
        alpha: failure probability of the interval.
        evals: counted evaluations to record.

    Returns:
        The interval; both ends are heuristic.

    Raises:
        ValueError: if the shapes differ, or there is one replica only.
        FloatingPointError: if a weight is not finite, or no forward weight is comparable with a reverse one.

    Example:
        >>> bar(torch.full((2, 3), 1.5), torch.full((2, 3), -1.5)).point
        1.5
    """
    if forward.shape != reverse.shape or forward.ndim not in (2, 3):
        raise ValueError(
            f"forward weights have shape {tuple(forward.shape)} and reverse ones {tuple(reverse.shape)}; "
            "expected the same [replicas, draws] or [replicas, draws, stages]"
        )
    forward, reverse = (_checked(log_w).reshape(*log_w.shape[:2], -1) for log_w in (forward, reverse))
    f = _bennett(forward.flatten(0, 1), reverse.flatten(0, 1))
    p, q = (forward - f).sigmoid(), (reverse + f).sigmoid()
    slope = (p * (1 - p) + q * (1 - q)).mean((0, 1))
    if bool((slope == 0).any()):
        raise FloatingPointError("forward and reverse weights do not overlap at all; expected more temperatures")
    return _interval(float(f.sum()), ((p - q) / slope).sum(-1), alpha, evals)


def mbar(V: Tensor, lams: Tensor, alpha: float = 0.05, *, evals: dict[str, int] | None = None) -> LogZ:
    r"""Multistate Bennett acceptance ratio: all rungs reweight all rungs. The f_t = log Z_t - log Z_0 solve

    .. math:: \sum_x p_t(x) = R n,    p_t(x) = e^{\lambda_t V(x) - f_t} / \sum_s e^{\lambda_s V(x) - f_s},

    the sum running over the draws of all rungs. This is the maximum of a concave likelihood, found by Newton's method
    from the `bar` of neighbours; the influence of a draw is (e_T - e_0)' H^+ p(x), where H is the Hessian.

    Reference: Shirts and Chodera, Statistically optimal analysis of samples from multiple equilibrium states, 2008;
    Kong, McCullagh, Meng, Nicolae and Tan, A theory of statistical models for Monte Carlo integration, 2003.

    Arguments:
        V: log target - log base, `[R, n, T + 1]`.
        lams: temperatures, increasing from 0 to 1, `[T + 1]`.
        alpha: failure probability of the interval.
        evals: counted evaluations to record.

    Returns:
        The interval for log Z = f_T; both ends are heuristic.

    Raises:
        ValueError: if the shapes do not agree, or there is one replica only.
        FloatingPointError: if V is not finite, or Newton's method does not converge because rungs do not overlap.
    """
    forward, reverse = works(V, lams)
    steps = _bennett(forward.flatten(0, 1), reverse.flatten(0, 1))
    f = torch.cat((torch.zeros_like(steps[:1]), steps.cumsum(0)))
    work = V.double()[..., None] * torch.as_tensor(lams, dtype=torch.float64, device=V.device)
    p = (work - f).softmax(-1)
    g = p.sum(2).mean((0, 1)) - 1
    for _ in range(100):
        flat = p.flatten(0, 2)
        hessian = torch.diag(g + 1) - flat.T @ flat / p[..., 0, 0].numel()
        # H 1 = 0 but for rounding, which a pseudo-inverse may take for an eigenvalue: that direction is filled instead.
        inverse = torch.linalg.inv_ex(hessian + 1 / len(g)).inverse
        if float(g.abs().max()) < 1e-12:
            break
        move = inverse @ g
        for halving in range(30):
            trial = (work - f - move / 2**halving).softmax(-1)
            residual = trial.sum(2).mean((0, 1)) - 1
            if float(residual.norm()) < float(g.norm()):
                f, p, g = f + move / 2**halving, trial, residual
                break
        else:
            break
    if float(g.abs().max()) > 1e-8:
        raise FloatingPointError(
            f"MBAR stopped with a residual of {float(g.abs().max()):.2g}; expected less than 1e-8: neighbouring rungs "
            "do not overlap; use more temperatures"
        )
    contrast = inverse[-1] - inverse[0]
    psi = (p @ contrast).sum(-1)
    return _interval(float(f[-1] - f[0]), psi - psi.mean(), alpha, evals)


def _bennett(forward: Tensor, reverse: Tensor) -> Tensor:
    # the root lies between the extreme weights, since every term is at least one half at one end, at most at the other
    both = torch.cat((forward, -reverse))
    low, high = both.amin(0), both.amax(0)
    f = (low + high) / 2
    for k in range(300):
        p, q = (forward - f).sigmoid(), (reverse + f).sigmoid()
        g = (p - q).sum(0)
        low, high = torch.where(g >= 0, f, low), torch.where(g <= 0, f, high)
        newton = f + g / (p * (1 - p) + q * (1 - q)).sum(0)
        inside = (newton >= low) & (newton <= high)
        still = inside & ((newton - f).abs() <= 1e-14 * (1 + f.abs()))
        # every third step halves the interval, so that flat stretches cannot stall it
        f = torch.where(still | (inside & (k % 3 != 2)), newton, (low + high) / 2)
        if bool((still | (high - low <= 1e-14 * (1 + f.abs()))).all()):
            break
    return f


def _checked(values: Tensor) -> Tensor:
    if len(values) < 2:
        raise ValueError("there is one replica; expected at least 2, because the standard error is that of replicas")
    if not torch.isfinite(values).all():
        raise FloatingPointError(
            f"{int((~torch.isfinite(values)).sum())} of {values.numel()} log weights are not finite; expected a log "
            "density that is finite at every draw"
        )
    return values.double()


def _log_mean(log_w: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    return log_w.logsumexp(dim) - torch.ones_like(log_w).sum(dim).log()


def _between(psi: Tensor) -> float:
    return float(psi.mean(1).std() / math.sqrt(len(psi)))


def _interval(point: float, psi: Tensor, alpha: float, evals: dict[str, int] | None) -> LogZ:
    """Student-t interval over replicas; psi `[R, n]` is the influence of each round, whose mean is the error."""
    R, n = psi.shape
    se = _between(psi)
    independent = float(psi.std() / math.sqrt(psi.numel()))
    ess = min((independent / se) ** 2, 1.0) if se > 0 else 1.0
    batches = psi[:, : n - n % math.isqrt(n)].unflatten(1, (math.isqrt(n), -1)).mean(2)
    within = float(batches.var(1).mean().sqrt() / math.sqrt(batches.numel())) if batches.shape[1] > 1 else se
    note = f"standard error {se:.3g} between replicas, {within:.3g} within runs by batch means (gate: at most twice)"
    note += ", FAILED" if se > 2 * within else ""
    half = student(R, alpha) * se
    return LogZ(point - half, point + half, point, se, ("heuristic", "heuristic"), alpha, ess, evals or {}, note)
