"""Named defects: what each changes in the code, and which tests must notice."""

from typing import NamedTuple

from mutations.measures import MEASURES
from mutations.reported import REPORTED


class Defect(NamedTuple):
    """One defect.

    Attributes:
        name: what is wrong, in a few words.
        file: the file it is put into, relative to the repository.
        old: text that occurs there exactly once.
        new: what replaces it.
        tests: tests to run, files or node names; at least one must fail.
        origin: where a defect of this kind was found; empty if it is the authors' own idea.
    """

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    origin: str = ""


S, D = "gm/sampling", "gm/densities"
TS, TT = "tests/sampling", "tests/densities/targets"

EX2MCMC = "the public code of Ex2MCMC: the local step reuses the gradient of the point before the global move"
FAB = "fab-torch: momentum drawn with the mass, not its root"
CLIP = "variational_sampling_methods: draws of the funnel are clipped to +-30"
BETA = "variational_sampling_methods, smc.py: the reverse pass runs over temperatures shifted by one"
ORIGINAL = "variational_sampling_methods, smc.py: every temperature of the reverse pass starts from the first samples"
UNCOUNTED = "variational_sampling_methods: evaluations of the moves are not counted"
DIAGONAL = "variational_sampling_methods: MMD keeps the diagonal and divides by n (n - 1)"
ESS_SIGN = "blackjax, issue 914: sign of the effective sample size in adaptive SMC"
ESS_LOG = "blackjax, issue 811: effective sample size of log weights taken for weights"
NEO_CODE = "the public code of NEO: with several chains, all take the first one's candidates"
ULA_AIS = "common: annealing with unadjusted Langevin moves and the usual weights"
ADAPT = "ebmkit, BDMC: steps adapt inside the estimate"
IGEBM = "openai/ebm_code_release: chains are clamped to a box"
BATCH = "GRBM: energies divided by the batch size"
UPPER = "ebmkit: reverse annealing from chains taken for an upper bound"

DEFECTS: list[Defect] = [
    # kernels
    Defect(
        "momentum drawn with the mass instead of its root",
        f"{S}/hamiltonian.py",
        "noise.xi / self.scale + h / 2",
        "noise.xi / self.scale**2 + h / 2",
        (f"{TS}/test_hamiltonian.py",),
        FAB,
    ),
    Defect(
        "final momentum on both sides of the test",
        f"{S}/hamiltonian.py",
        "(square(noise.xi) - square(self.scale * p)) / 2",
        "(square(self.scale * p) - square(self.scale * p)) / 2",
        (f"{TS}/test_hamiltonian.py",),
    ),
    Defect(
        "one row's jitter for all rows",
        f"{S}/hamiltonian.py",
        "(2 * noise.s - 1)",
        "(2 * noise.s[:1] - 1)",
        (f"{TS}/test_hamiltonian.py",),
    ),
    Defect(
        "full kick where a half one is due",
        f"{S}/hamiltonian.py",
        "h if i < self.length else h / 2",
        "h",
        (f"{TS}/test_hamiltonian.py",),
    ),
    Defect(
        "gradient of the start in the way back",
        f"{S}/langevin.py",
        "(g + drift(path.gradient(proposal, lam), h))",
        "(g + drift(path.gradient(state, lam), h))",
        (f"{TS}/test_langevin.py",),
    ),
    Defect(
        "no correction for the asymmetric proposal",
        f"{S}/langevin.py",
        "(square(xi) - square(back)) / 2",
        "0 * (square(xi) - square(back))",
        (f"{TS}/test_langevin.py",),
    ),
    Defect(
        "energies averaged over the batch",
        f"{S}/langevin.py",
        "(g + drift(path.gradient(proposal, lam), h))",
        "(g + drift(path.gradient(proposal, lam) / len(xi), h))",
        (f"{TS}/test_langevin.py",),
        BATCH,
    ),
    Defect(
        "unadjusted Langevin weights without their correction",
        f"{S}/anneal.py",
        "log_w = log_w + info.log_ratio",
        "log_w = log_w + 0 * info.log_ratio",
        (f"{TS}/test_anneal.py",),
        ULA_AIS,
    ),
    Defect(
        "annealing accepts a biased kernel",
        f"{S}/anneal.py",
        "if not (kernel.invariant or kernel.weighted):",
        "if False:",
        (f"{TS}/test_anneal.py", f"{TS}/test_microcanonical.py"),
        ULA_AIS,
    ),
    Defect(
        "states clamped to a box",
        f"{S}/kernels.py",
        "torch.where(accept[..., None], proposal.x, state.x),",
        "torch.where(accept[..., None], proposal.x, state.x).clamp(-1.5, 1.5),",
        (f"{TS}/test_kernels.py", f"{TS}/test_hamiltonian.py", f"{TS}/test_langevin.py"),
        IGEBM,
    ),
    Defect(
        "restart from the rejected proposal",
        f"{S}/kernels.py",
        "torch.where(accept[..., None], proposal.x, state.x),",
        "proposal.x,",
        (f"{TS}/test_kernels.py", f"{TS}/test_hamiltonian.py", f"{TS}/test_langevin.py"),
        "fab-torch: the next trajectory starts from the rejected proposal",
    ),
    Defect(
        "stale gradient after acceptance",
        f"{S}/kernels.py",
        "torch.where(accept[..., None, None], proposal.du, state.du),",
        "state.du,",
        (f"{TS}/test_kernels.py", f"{TS}/test_hamiltonian.py", f"{TS}/test_langevin.py"),
    ),
    Defect(
        "stale gradient after a global move",
        f"{S}/isir.py",
        "candidates.du.take_along_dim(i[..., None], -3).squeeze(-3),",
        "candidates.du[..., 0, :, :],",
        (f"{TS}/test_isir.py",),
        EX2MCMC,
    ),
    Defect(
        "softmax of the wrong sign",
        f"{S}/isir.py",
        "total = log_w.softmax(-1).cumsum(-1)",
        "total = (-log_w).softmax(-1).cumsum(-1)",
        (f"{TS}/test_isir.py",),
    ),
    Defect(
        "first chain's candidates for all chains",
        f"{S}/isir.py",
        "candidates.x.take_along_dim(i, -2)",
        "candidates.x[:1].take_along_dim(i, -2)",
        (f"{TS}/test_isir.py",),
        NEO_CODE,
    ),
    Defect(
        "target instead of target over proposal",
        f"{S}/isir.py",
        "    return state.u[..., 1] - state.u[..., 0]",
        "    return state.u[..., 1]",
        (f"{TS}/test_isir.py",),
    ),
    Defect(
        "evaluations of the global move not counted",
        f"{S}/isir.py",
        "evals=jump.evals + info.evals",
        "evals=info.evals",
        (f"{TS}/test_isir.py",),
        UNCOUNTED,
    ),
    Defect(
        "Jacobian of the orbit without the dimension",
        f"{S}/neo.py",
        "    log_det = -gamma * state.x.shape[-1] * h",
        "    log_det = -gamma * h",
        (f"{TS}/test_neo.py",),
    ),
    Defect(
        "forward half of the orbit only in the weights",
        f"{S}/neo.py",
        "log_r[..., length:] - log_r.unfold(-1, length + 1, 1).logsumexp(-1)",
        "log_r[..., length:] - log_r[..., length:].logsumexp(-1, keepdim=True)",
        (f"{TS}/test_neo.py",),
    ),
    Defect(
        "phase-space volume with d for d - 1",
        f"{S}/microcanonical.py",
        "    return direction(turned), (d - 1) * gain",
        "    return direction(turned), d * gain",
        (f"{TS}/test_microcanonical.py",),
    ),
    Defect(
        "an unadjusted kernel claims invariance",
        f"{S}/microcanonical.py",
        "    invariant: ClassVar[bool] = False",
        "    invariant: ClassVar[bool] = True",
        (f"{TS}/test_microcanonical.py",),
    ),
    Defect(
        "temperature forgotten in a Gibbs sweep",
        f"{D}/boltzmann.py",
        "h = (hidden < (lam * state.hidden).sigmoid())",
        "h = (hidden < state.hidden.sigmoid())",
        ("tests/models/test_rbm.py",),
    ),
    Defect(
        "second block conditioned on the old first one",
        f"{D}/targets/ising.py",
        "neighbour_sum(x, sites).double() + target.field)",
        "neighbour_sum(state.x, sites).double() + target.field)",
        (f"{TS}/test_gibbs.py",),
    ),
    Defect(
        "sweeps of many rows counted once",
        f"{S}/gibbs.py",
        "Info(accept, accept.numel(), 0)",
        "Info(accept, 1, 0)",
        (f"{TS}/test_gibbs.py",),
        UNCOUNTED,
    ),
    # normalising constants
    Defect(
        "annealing weight one temperature late",
        f"{S}/anneal.py",
        "path.log_prob(state, levels[t]) - path.log_prob(state, levels[previous]), levels[t])",
        "path.log_prob(state, levels[previous]) - path.log_prob(state, levels[max(previous - 1, 0)]), levels[t])",
        (f"{TS}/test_anneal.py",),
        BETA,
    ),
    Defect(
        "particles moved at the previous temperature",
        f"{S}/smc.py",
        "moved, info = kernel(kept[-1], lam, kernel",
        "moved, info = kernel(kept[-1], previous, kernel",
        (f"{TS}/test_smc.py",),
        BETA,
    ),
    Defect(
        "every move starts from the survivors",
        f"{S}/smc.py",
        "kernel(kept[-1], lam, kernel.noise(kept[-1]",
        "kernel(kept[0], lam, kernel.noise(kept[-1]",
        (f"{TS}/test_smc.py",),
        ORIGINAL,
    ),
    Defect(
        "adaptation inside the estimate",
        f"{S}/smc.py",
        "levels = increasing(lams)",
        "levels = increasing(lams); levels = [*levels[:-2], "
        "0.9 if float(x0.double().square().mean()) > 1 else 0.3 + levels[-3] / 2 + 0.2, 1.0]",
        (f"{TS}/test_smc.py",),
        ADAPT,
    ),
    Defect(
        "sign of the effective sample size in the bisection",
        f"{S}/smc.py",
        "if effective_size(log_w(middle)) >= ess else",
        "if effective_size(log_w(middle)) < ess else",
        (f"{TS}/test_smc.py",),
        ESS_SIGN,
    ),
    Defect(
        "resampling that ignores the weights",
        f"{S}/smc.py",
        "kept = [_pick(state, systematic(log_w, chains, generator=generator))]",
        "kept = [_pick(state, systematic(0 * log_w, chains, generator=generator))]",
        (f"{TS}/test_smc.py",),
    ),
    Defect(
        "resampling that favours an index",
        f"{S}/smc.py",
        "torch.arange(n, device=edges.device) + shift)",
        "torch.arange(n, device=edges.device) + 0 * shift)",
        (f"{TS}/test_smc.py",),
    ),
    Defect(
        "mean of log weights for the log of their mean",
        f"{S}/smc.py",
        "log_z = log_z + log_mean(log_w)",
        "log_z = log_z + log_w.mean(1)",
        (f"{TS}/test_smc.py",),
    ),
    Defect(
        "effective sample size upside down",
        f"{S}/logz.py",
        "2 * log_mean(log_w.flatten()) - log_mean(2 * log_w.double().flatten())",
        "log_mean(2 * log_w.double().flatten()) - 2 * log_mean(log_w.flatten())",
        (f"{TS}/test_logz.py",),
        ESS_LOG,
    ),
    Defect(
        "certified end without its slack",
        f"{S}/logz.py",
        "return float(log_mean(log_w).mean()) - slack(alpha, len(log_w))",
        "return float(log_mean(log_w).mean())",
        (f"{TS}/test_logz.py",),
    ),
    Defect(
        "upper end certified without exact draws",
        f"{S}/sandwich.py",
        'kinds = ("certified", "certified" if exact else "heuristic")',
        'kinds = ("certified", "certified")',
        (f"{TS}/test_missed_mode.py",),
        UPPER,
    ),
    Defect(
        "disagreeing starts averaged",
        f"{S}/sandwich.py",
        "high = max(data + 2 * data_se, own + 2 * own_se)",
        "high = (data + own) / 2 + 2 * back_se",
        (f"{TS}/test_logz.py",),
    ),
    Defect(
        "swap of the wrong sign",
        f"{S}/tempering.py",
        "lams.diff() * (V[..., :-1] - V[..., 1:])",
        "lams.diff() * (V[..., 1:] - V[..., :-1])",
        (f"{TS}/test_tempering.py",),
    ),
    Defect(
        "swaps move points without their densities",
        f"{S}/tempering.py",
        "state._make(_permute(leaf, order) for leaf in state)",
        "state._replace(x=_permute(state.x, order))",
        (f"{TS}/test_tempering.py",),
    ),
    Defect(
        "the same pairs swap in every round",
        f"{S}/tempering.py",
        "(pair % 2 == n % 2)",
        "(pair % 2 == 0)",
        (f"{TS}/test_tempering.py",),
    ),
    Defect(
        "work of the wrong rung",
        f"{S}/bridge.py",
        "return lams.diff() * V[..., :-1], -lams.diff() * V[..., 1:]",
        "return lams.diff() * V[..., 1:], -lams.diff() * V[..., :-1]",
        (f"{TS}/test_bridge.py",),
    ),
    Defect(
        "convexity bracket called certified for chains",
        f"{S}/bridge.py",
        "if exact and span is not None",
        "if exact or span is not None",
        (f"{TS}/test_bridge.py",),
    ),
    Defect(
        "RAISE run forward",
        f"{S}/conservative.py",
        "generator=generator, reverse=True)",
        "generator=generator)",
        (f"{TS}/test_raise.py",),
    ),
    Defect(
        "RAISE called a bound for the model",
        f"{S}/conservative.py",
        '"model": "heuristic"',
        '"model": "certified"',
        (f"{TS}/test_raise.py",),
    ),
    # the pilot
    Defect(
        "step moves away from the wanted acceptance",
        f"{S}/tune.py",
        "(float(info.accept.mean()) - target_accept)",
        "(target_accept - float(info.accept.mean()))",
        (f"{TS}/test_tune.py",),
    ),
    Defect(
        "volume of the fitted base forgotten",
        f"{S}/whiten.py",
        "return value + self.log_det, grad",
        "return value, grad",
        (f"{TS}/test_whiten.py",),
    ),
    # targets, and the rulers of draws
    Defect(
        "draws of the funnel clipped",
        f"{D}/targets/triangular.py",
        "x = mu + torch.exp(log_s) * z",
        "x = (mu + torch.exp(log_s) * z).clamp(-30, 30)",
        (f"{TT}/test_triangular.py",),
        CLIP,
    ),
    Defect(
        "responsibilities over the batch",
        f"{D}/targets/mixture.py",
        "terms.softmax(-1)",
        "terms.softmax(0)",
        (f"{TT}/test_target.py",),
    ),
    Defect(
        "transfer operator without the width of a cell",
        f"{D}/targets/phi4.py",
        " + math.log(step * messages[-1].sum())",
        " + math.log(messages[-1].sum())",
        (f"{TT}/test_phi4_target.py",),
    ),
    Defect(
        "declared constant missing from log Z",
        f"{D}/targets/shells.py",
        "constant + log_area + self.law.log_z",
        "log_area + self.law.log_z",
        (f"{TT}/test_shells.py", f"{TT}/test_target.py"),
    ),
    Defect(
        "MMD with its diagonal",
        "gm/metrics/draws.py",
        "return (float(w @ _kernel_means(x, x, h, w)) - 1 / len(x)) / (1 - 1 / len(x))",
        "return float(w @ _kernel_means(x, x, h, w)) / (1 - 1 / len(x))",
        ("tests/metrics/test_draws.py",),
        DIAGONAL,
    ),
    Defect(
        "shape of the smallest weights' tail",
        f"{S}/diagnostics.py",
        "largest = log_w[-tail - 1 :][0], log_w[-tail:]",
        "largest = -log_w[tail], -log_w[:tail][::-1]",
        (f"{TS}/test_diagnostics.py",),
    ),
    Defect(
        "chains that stand still count in full",
        f"{S}/diagnostics.py",
        "        return 0.0, 0.0\n",
        "        return float(x[0].size), float(x[0].size)\n",
        (f"{TS}/test_diagnostics.py",),
    ),
    # the device of a job
    Defect(
        "noise asked of the device, not of its generator",
        f"{S}/kernels.py",
        "torch.randn(x.shape, generator=generator, dtype=x.dtype, device=generator.device).to(x.device)",
        "torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)",
        ("tests/stages/test_device.py",),
    ),
    Defect(
        "two jobs on one device",
        "gm/stages/device.py",
        "fcntl.LOCK_EX | fcntl.LOCK_NB",
        "fcntl.LOCK_SH | fcntl.LOCK_NB",
        ("tests/stages/test_device.py",),
    ),
]
DEFECTS += [Defect(*fields) for fields in [*MEASURES, *REPORTED]]
