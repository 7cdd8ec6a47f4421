"""Annealing in both directions, and the interval for log Z between."""

import math
from collections.abc import Callable
from contextlib import suppress

import torch
from torch import Tensor

from gm.rng import stream
from gm.sampling.anneal import ais
from gm.sampling.bridge import bar
from gm.sampling.chain import run
from gm.sampling.groups import predict_variance, split
from gm.sampling.kernels import Kernel
from gm.sampling.langevin import MALA
from gm.sampling.logz import GAP_GATE, LogZ, certify, effective_size, estimate, failed, weight_notes
from gm.sampling.path import Geometric
from gm.sampling.tune import tune

BURN = 50


def sandwich(
    forward: Tensor,
    reverse: Tensor,
    alpha: float,
    *,
    exact: bool = False,
    noise: Tensor | None = None,
    evals: dict[str, int] | None = None,
) -> LogZ:
    r"""Enclose log Z between forward and reverse annealed weights.

    The lower end is `certify(forward, alpha)`. If the reverse runs started from exact draws of the target,
    the upper end is `-certify(reverse, alpha)`, certified as well. Otherwise it is heuristic, two standard
    errors above

        -log( mean_rm w'_rm ),

    and never less than two standard errors above the forward or the point value: reverse runs from chains that missed
    mass can fall below log Z, and nothing in the weights shows it. Starts of two origins may: where the ends of
    `reverse` and `noise` differ by more than 3 standard errors, the note says so and the upper end covers the larger;
    otherwise they are pooled. The point value is Bennett's ratio of both directions (`gm.sampling.bridge.bar`), or the
    log of the mean forward weight where they do not overlap, are not of one shape, or their ratio lies below the
    lower end. Its standard error is not less than the forward one's unless the reverse starts are exact.

    Reference: Grosse, Ghahramani and Adams, Sandwiching the marginal likelihood using bidirectional Monte
    Carlo, 2015.

    Arguments:
        forward: log weights of runs from independent draws of the base, shape `[R, M]`.
        reverse: log weights of reverse runs, shape `[R, M]`.
        alpha: failure probability of each certified end.
        exact: the reverse runs started from independent exact draws of the target.
        noise: log weights of reverse runs from another origin, the forward ends resampled, while `reverse` started
            from data or long chains, shape `[R', M]`; not beside `exact`.
        evals: counted evaluations to record.

    Returns:
        The interval.
    """
    if exact and noise is not None:
        raise ValueError("reverse runs from exact draws and runs from another origin; expected one of the two")
    lower = certify(forward, alpha)
    pooled = reverse if noise is None else torch.cat((reverse, noise))
    (ahead, ahead_se), (back, back_se) = estimate(forward), _back(pooled)
    point, se = _bennett(forward, pooled, lower) or (ahead, ahead_se)
    if not exact:
        # reverse starts resampled from the forward ends share ancestors, which the spread of groups does not show
        se = max(se, ahead_se)
    high, gap = back + 2 * back_se, back - ahead
    notes = weight_notes(forward)
    notes.append(f"reverse minus forward {gap:.3f} nats (gate: within {GAP_GATE}){failed(abs(gap) >= GAP_GATE)}")
    if exact:
        upper = -certify(reverse, alpha)
    else:
        if noise is not None:
            (data, data_se), (own, own_se) = _back(reverse), _back(noise)
            apart = abs(data - own) > 3 * math.hypot(data_se, own_se)
            if apart:
                high = max(data + 2 * data_se, own + 2 * own_se)
            notes.append(
                f"reverse end from data {data:.3f} ± {data_se:.3f}, from noise {own:.3f} ± {own_se:.3f} "
                f"(gate: within 3 standard errors){failed(apart)}"
            )
        upper = max(high, ahead + 2 * ahead_se, point + 2 * se, lower)
        if high < upper:
            notes.append("reverse end below the forward one: upper end is the forward value and two standard errors")
        notes.append("upper end heuristic: reverse runs started from chains, not from exact draws")
    kinds = ("certified", "certified" if exact else "heuristic")
    return LogZ(lower, upper, point, se, kinds, alpha, effective_size(forward), evals or {}, "; ".join(notes))


def normaliser(
    path: Geometric,
    x0: Tensor,
    x1: Tensor | None = None,
    *,
    groups: int | None = None,
    chains: int | None = None,
    temperatures: int = 500,
    alpha: float = 0.05,
    generator: torch.Generator,
    pilot: int = 64,
    make: Callable[[Geometric, float], Kernel] = MALA,
    target_accept: float = 0.574,
    log: Callable[[int, int], None] | None = None,
) -> LogZ:
    """Estimate log Z of the path's target: a pilot, then frozen forward and reverse annealing.

    Pilot, forward and reverse runs have streams of their own, and the pilot has starts of its own, so the
    frozen schedule is independent of the estimate and the lower end is certified; so is the split into
    groups, if the pilot chooses it. Reverse runs start from the forward ends, resampled by weight, and, for the
    first half of the groups, from `x1` if there are any; each after `temperatures // 10` moves at the target, at least
    50, without a claim that they have reached it: the upper end is heuristic, and the two origins are compared.

    Reference: Neal, Annealed importance sampling, 2001; see `certify` and `sandwich` for the ends.

    Arguments:
        path: the path; its base is normalised.
        x0: independent exact draws of the base `[n + pilot, d]`; the last `pilot` start the pilot, the first
            `groups * chains` the estimate.
        x1: starts near the target `[m, d]`, from data or long chains, repeated in turn.
        groups: R, independent groups, at least 4 with `x1`; None, like `chains`: the pilot's choice for n (`split`).
        chains: M, runs averaged in each group.
        temperatures: T.
        alpha: failure probability of the certified end.
        generator: one draw keys all streams.
        pilot: rows of the pilot.
        make: builds a kernel from the path and a step.
        target_accept: acceptance the pilot aims at.
        log: called with (step, total), the pilot not counted.

    Returns:
        The interval, with `evals["gradient"]` counting every row of every stage.

    Raises:
        ValueError: if `x0` has too few rows, or only one of `groups` and `chains` is given.
        FloatingPointError: if a weight is not finite.
    """
    if (groups is None) != (chains is None):
        raise ValueError(f"groups={groups} and chains={chains}; expected both, or neither for the pilot's choice")
    n = len(x0) - pilot if groups is None else groups * chains
    if n < 1 or len(x0) < n + pilot:
        raise ValueError(
            f"x0 has {len(x0)} draws of the base; expected at least groups * chains + pilot = "
            f"{n} + {pilot} = {n + pilot}, because the pilot shares no draw with the estimate"
        )
    key = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    streams = {name: stream(key, name, device=str(generator.device)) for name in ("pilot", "forward", "reverse")}
    plan = tune(path, make, x0[-pilot:], temperatures, target_accept=target_accept, generator=streams["pilot"])
    burn, spent = max(temperatures // 10, BURN), plan.evals
    total = 2 * temperatures + burn

    def kernel_at(t: int) -> Kernel:
        return make(path, plan.steps[t])

    def progress(offset: int) -> Callable[[int, int], None] | None:
        return None if log is None else lambda step, _: log(offset + step, total)

    if groups is None:
        variance, evals = predict_variance(path, kernel_at, plan.lams, x0[-pilot:], generator=streams["pilot"])
        groups, chains = split(n, variance, alpha)
        spent += evals
    data = groups // 2 if x1 is not None else 0
    if x1 is not None and data < 2:
        raise ValueError(f"{groups} groups; expected at least 4, two to start from x1 and two from the forward ends")
    forward = ais(path, kernel_at, plan.lams, x0[:n], generator=streams["forward"], log=progress(0))
    weights = forward.log_w.softmax(0).to(generator.device)
    keep = torch.multinomial(weights, n, replacement=True, generator=streams["reverse"])
    start = forward.state.x[keep.to(x0.device)]
    if x1 is not None:
        start[: data * chains] = x1[torch.arange(data * chains, device=x1.device) % len(x1)]
    start, info = run(kernel_at(temperatures), path.init(start), burn, generator=streams["reverse"])
    reverse = ais(
        path,
        kernel_at,
        plan.lams,
        start.x,
        generator=streams["reverse"],
        reverse=True,
        log=progress(temperatures + burn),
    )
    evals = {"gradient": spent + forward.evals + n + info.evals + reverse.evals}
    back = reverse.log_w.view(groups, chains)
    two = {"noise": back[data:]} if data else {}
    return sandwich(forward.log_w.view(groups, chains), back[:data] if data else back, alpha, evals=evals, **two)


def _back(reverse: Tensor) -> tuple[float, float]:
    end, se = estimate(reverse)
    return -end, se


def _bennett(forward: Tensor, reverse: Tensor, lower: float) -> tuple[float, float] | None:
    if forward.shape != reverse.shape or len(forward) < 2:
        return None
    with suppress(FloatingPointError):
        both = bar(forward, reverse)
        # reverse runs that missed mass may draw it below what the forward ones certify
        return (both.point, both.se) if both.point >= lower else None
    return None
