"""The Frechet distance beside scipy's matrix square root, and the memory of precision, recall, density and coverage.

    python tests/performance/frechet.py [--width 2048] [--rows 10000] [--repeats 3]
    python tests/performance/frechet.py --memory [--rows 10000]

The first prints process CPU time, one thread on both sides, the routes in turn, medians of the repeats. The second
needs the package prdc; each side runs in a process of its own.
"""

import argparse
import multiprocessing
import resource
import time

import numpy as np
from scipy.linalg import sqrtm
from threadpoolctl import threadpool_limits

from gm.metrics.frechet import frechet, frechet_gaussian


def by_square_root(mu, s1, nu, s2):
    shift = mu - nu
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * np.trace(sqrtm(s1 @ s2).real)


def by_eigenvalues(mu, s1, nu, s2):
    shift = mu - nu
    roots = np.sqrt(np.linalg.eigvals(s1 @ s2).astype(complex)).real
    return shift @ shift + np.trace(s1) + np.trace(s2) - 2 * roots.sum()


def moments(x, y):
    return [moment for z in (x, y) for moment in (z.mean(0), np.cov(z, rowvar=False))]


def speed(width: int, rows: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, width)) * np.linspace(0.5, 1.5, width)
    y = 1.05 * rng.normal(size=(rows, width)) + 0.01
    given = moments(x, y)
    routes = {
        "sqrtm, moments given": lambda: by_square_root(*given),
        "eigvals, moments given": lambda: by_eigenvalues(*given),
        "gm, moments given": lambda: frechet_gaussian(*given),
        "sqrtm, from the features": lambda: by_square_root(*moments(x, y)),
        "gm, from the features, with its standard error": lambda: frechet(x, y)[0],
    }
    spent, values = {name: [] for name in routes}, {}
    for _ in range(repeats):
        for name, route in routes.items():
            begun = time.process_time()
            values[name] = route()
            spent[name].append(time.process_time() - begun)
    print(f"{rows} + {rows} features of width {width}, one thread, medians of {repeats}")
    for name, seconds in spent.items():
        first = spent["sqrtm, moments given" if "given" in name else "sqrtm, from the features"]
        ratio = np.median(first) / np.median(seconds)
        print(f"{name:48s} {np.median(seconds):8.2f} s  {ratio:5.1f} x  {values[name]:.10f}")


def ours(x, y):
    from gm.metrics.prdc import prdc

    prdc(x, y)


def theirs(x, y):
    from prdc import compute_prdc

    compute_prdc(real_features=x, fake_features=y, nearest_k=5)


def peak(side, rows, queue) -> None:
    x, y = np.random.default_rng(0).normal(size=(2, rows, 64))
    side(x[:50], y[:50])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    side(x, y)
    queue.put((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def memory(rows: int) -> None:
    context, queue = multiprocessing.get_context("spawn"), multiprocessing.get_context("spawn").Queue()
    for name, side in {"gm": ours, "prdc": theirs}.items():
        process = context.Process(target=peak, args=(side, rows, queue))
        process.start()
        print(f"{name}: {queue.get():.0f} MiB above what importing takes, for {rows} + {rows} features of width 64")
        process.join()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=2048)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory", action="store_true")
    options = parser.parse_args()
    if options.memory:
        memory(options.rows)
    else:
        with threadpool_limits(1):
            speed(options.width, options.rows, options.repeats)
