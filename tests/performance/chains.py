"""Gradients per second and core of MALA and HMC, beside blackjax on the same target, machine and core.

    python tests/performance/chains.py --peer peer/bin/python

`--peer` is an interpreter that has blackjax and jax; see README.md beside this file. Both sides sit in processes of
their own, pinned to one core, one thread each, and run in turn; what is counted is process CPU time, noise included,
compilation not. Printed are medians and ranges, and a check that both draw from the target.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

D, CHAINS, COMPONENTS, LENGTH = 128, 256, 8, 10
STEP = {"mala": 0.4, "hmc": 0.2}
MOVES = {"mala": 1000, "hmc": 200}  # per run
GRADIENTS = {"mala": 1, "hmc": LENGTH}  # per move
INSTALL = "python -m venv peer && peer/bin/pip install blackjax jax"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}

Run = Callable[[int], tuple[float, np.ndarray]]


def problem() -> tuple[np.ndarray, np.ndarray]:
    """Means of eight equally likely Gaussians of unit variance, `[K, D]`, and an exact draw per chain."""
    rng = np.random.RandomState(0)
    means = 0.3 * rng.standard_normal((COMPONENTS, D))
    x = means[rng.randint(COMPONENTS, size=CHAINS)] + rng.standard_normal((CHAINS, D))
    return means.astype(np.float32), x.astype(np.float32)


def ours(name: str, block_of: int) -> Run:
    """n moves from where the last run ended: mean acceptance, and the points."""
    import torch

    from gm.sampling.block import Block
    from gm.sampling.hamiltonian import HMC
    from gm.sampling.langevin import MALA
    from gm.sampling.path import Analytic, Single

    torch.set_num_threads(1)

    class Mixture(Analytic):
        def __init__(self, means: torch.Tensor) -> None:
            self.means, self.offset = means, -means.square().sum(-1, keepdim=True) / 2

        def value_and_grad(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            # components first: what is summed over them is then one vector instruction for many chains
            terms = self.means @ x.T + self.offset
            top = terms.amax(0)
            mass = (terms - top).exp()
            total = mass.sum(0)
            return top + total.log() - x.square().sum(-1) / 2, (mass / total).T @ self.means - x

    means, x = (torch.from_numpy(a) for a in problem())
    path, generator = Single(Mixture(means)), torch.Generator().manual_seed(0)
    h = STEP[name]
    kernel = MALA(path, h) if name == "mala" else HMC(path, h, LENGTH, jitter=0.0)
    block, state = Block(kernel, moves=block_of), path.init(x)

    def run(n: int) -> tuple[float, np.ndarray]:
        nonlocal state
        state, info = block.run(state, n, generator=generator)
        return float(info.accept.mean()), state.x.numpy()

    return run


def blackjax(name: str, unroll: int) -> Run:
    """The same of the peer, its moves in one compiled scan."""
    import blackjax
    import jax
    import jax.numpy as jnp

    means, x = (jnp.asarray(a) for a in problem())
    offset = -(means * means).sum(-1) / 2

    def log_density(x: jax.Array) -> jax.Array:
        return jax.nn.logsumexp(means @ x + offset) - jnp.dot(x, x) / 2

    h = STEP[name]
    if name == "mala":
        kernel = blackjax.mala(log_density, h**2 / 2)
    else:
        kernel = blackjax.hmc(log_density, h, jnp.ones(D), LENGTH)

    def move(state: object, key: jax.Array) -> tuple[object, jax.Array]:
        state, info = jax.vmap(kernel.step)(jax.random.split(key, CHAINS), state)
        return state, info.acceptance_rate.mean()

    scan = jax.jit(lambda state, keys: jax.lax.scan(move, state, keys, unroll=unroll))
    state, key = jax.vmap(kernel.init)(x), jax.random.key(0)

    def run(n: int) -> tuple[float, np.ndarray]:
        nonlocal state, key
        key, one = jax.random.split(key)
        state, accept = scan(state, jax.random.split(one, n))
        return float(accept.mean()), np.asarray(state.position)

    return run


SIDES = {"gm": ours, "blackjax": blackjax}
TRIED = {"gm": {"mala": (20,), "hmc": (5,)}, "blackjax": {"mala": (1, 4), "hmc": (1, 4)}}


def worker(side: str, core: int) -> None:
    """Answer each kernel's name on stdin by a run of it, as JSON; each side keeps the fastest of what it may try."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core})
    runs = {}
    for line in sys.stdin:
        name = line.strip()
        n = MOVES[name]
        if name not in runs:
            start, tried = time.perf_counter(), []
            for choice in TRIED[side][name]:
                run = SIDES[side](name, choice)
                run(n)
                tried.append((min(seconds(run, n) for _ in range(2)), choice, run))
            _, choice, runs[name] = min(tried, key=lambda t: t[0])
            print(json.dumps({"ready": time.perf_counter() - start, "choice": choice}), flush=True)
            continue
        start = time.process_time()
        accept, x = runs[name](n)
        spent = time.process_time() - start
        square = float((x.astype(np.float64) ** 2).mean())
        print(json.dumps({"seconds": spent, "accept": accept, "square": square}), flush=True)


def seconds(run: Run, n: int) -> float:
    start = time.process_time()
    run(n)
    return time.process_time() - start


def ask(process: subprocess.Popen, name: str) -> dict:
    process.stdin.write(name + "\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        sys.exit(f"{process.args[0]} ended before it answered; what it said is above")
    return json.loads(line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="interpreter that has blackjax and jax")
    parser.add_argument("--runs", type=int, default=5, help="runs of each side and kernel (default 5)")
    parser.add_argument("--core", type=int, default=0, help="core that both sides are pinned to (Linux; default 0)")
    parser.add_argument("--worker", choices=SIDES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return worker(arguments.worker, arguments.core)
    if not arguments.peer:
        sys.exit(f"no --peer was given; expected an interpreter that has blackjax and jax:\n    {INSTALL}")
    found = "import blackjax, jax; print('blackjax', blackjax.__version__, 'jax', jax.__version__)"
    try:
        peer = subprocess.run([arguments.peer, "-c", found], capture_output=True, text=True)
        problem_with = peer.stderr.strip().splitlines()[-1:] if peer.returncode else []
    except OSError as error:
        problem_with = [str(error)]
    if problem_with:
        sys.exit(f"--peer {arguments.peer} has no blackjax: {problem_with[0]}\nmake one that has:\n    {INSTALL}")

    environment = os.environ | ENVIRONMENT
    processes = {
        side: subprocess.Popen(
            [python, __file__, "--worker", side, "--core", str(arguments.core)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for side, python in (("gm", sys.executable), ("blackjax", arguments.peer))
    }
    means, _ = problem()
    print(f"{peer.stdout.strip()}; D = {D}, {CHAINS} chains, one core, million gradients per CPU second")
    print(f"exact E|x|^2/d = {1 + float((means.astype(np.float64) ** 2).sum(-1).mean()) / D:.3f}\n")
    print(f"{'kernel':8}{'side':10}{'median':>8}{'range':>14}{'ratio':>8}{'accept':>8}{'E|x|^2/d':>10}{'warm-up':>9}")
    for name in STEP:
        ready = {side: ask(process, name) for side, process in processes.items()}
        runs = {side: [] for side in processes}
        for _ in range(arguments.runs):
            for side, process in processes.items():
                runs[side].append(ask(process, name))
        rates = {
            side: [CHAINS * MOVES[name] * GRADIENTS[name] / run["seconds"] / 1e6 for run in rows]
            for side, rows in runs.items()
        }
        median = {side: statistics.median(values) for side, values in rates.items()}
        for side, values in rates.items():
            ratio = f"{median[side] / median['blackjax']:.2f}"
            accept, square = (statistics.fmean(run[key] for run in runs[side]) for key in ("accept", "square"))
            span = f"{min(values):.2f}-{max(values):.2f}"
            print(
                f"{name:8}{side:10}{median[side]:8.2f}{span:>14}{ratio:>8}{accept:8.3f}{square:10.3f}"
                f"{ready[side]['ready']:8.0f}s"
            )
        accepts = [statistics.fmean(run["accept"] for run in rows) for rows in runs.values()]
        squares = [statistics.fmean(run["square"] for run in rows) for rows in runs.values()]
        agree = abs(accepts[0] - accepts[1]) < 0.01 and abs(squares[0] - squares[1]) < 0.04
        print(f"{'':8}both sides {'agree' if agree else 'DISAGREE'} on acceptance and E|x|^2/d\n")
    for process in processes.values():
        process.stdin.close()
        process.wait()


if __name__ == "__main__":
    main()
