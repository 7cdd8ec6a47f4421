"""How often the 95 % interval of each measure, 1.96 errors to either side, holds the measure's mean over redraws.

python tests/performance/intervals.py [--draws 1000] [--rows 250]
"""

import argparse

import numpy as np

from gm.metrics import attacks, frechet, kernel, memorisation, prdc, roc, utility
from gm.metrics.neighbours import nearest

D, WIDE, CLASSES = 8, 32, 2


def fidelity(rng: np.random.Generator, n: int, scale: float, d: int = D) -> dict[str, tuple[float, float]]:
    """Measures of features: the fake ones of another scale, one class of the real ones counted by itself."""
    real, fake = rng.normal(size=(n, d)), scale * rng.normal(size=(n, d))
    label = np.arange(n) % CLASSES
    found = prdc.prdc(real, fake, label=label)
    found = {"class coverage" if "/" in name else name: value for name, value in found.items()}
    return found | {
        "FD": frechet.frechet(real, fake),
        "FDinf": frechet.frechet_infinity(real, fake, rng=rng)[:2],
        "KID": kernel.kid(real, fake),
    }


def wide(rng: np.random.Generator, n: int, scale: float) -> dict[str, tuple[float, float]]:
    """The same of more features."""
    return {f"{name}, {WIDE} features": pair for name, pair in fidelity(rng, n, scale, WIDE).items()}


def scores(rng: np.random.Generator, n: int, shift: float) -> dict[str, tuple[float, float]]:
    """Measures of scores: normal ones, those of outliers or members shifted."""
    inside, outside = rng.normal(size=n), shift + rng.normal(size=n)
    noise = rng.normal(size=(2, n))
    found = {name: getattr(roc, name)(inside, outside) for name in ("auroc", "aupr", "auprin", "fpr95", "fpr95out")}
    found["auroc difference"] = roc.auroc_difference((inside, inside + noise[0]), (outside, outside + noise[1]))
    return found | {"share found at 2 %": attacks.tpr_at(outside, inside, 0.02)}


def memory(rng: np.random.Generator, n: int, mixed: float) -> dict[str, tuple[float, float]]:
    """Measures of memorisation: a share of the samples lies close to training rows, which are drawn anew too."""
    train, test, fresh = rng.normal(size=(3, n, D))
    samples = np.where(rng.random((n, 1)) < mixed, train[rng.permutation(n)] + 0.2 * rng.normal(size=(n, D)), fresh)
    near, _ = nearest(samples, train)
    far, _ = nearest(samples, test)
    hit = near.ravel() < far.ravel()
    return {"share nearer to training rows": memorisation.share(hit)}


def use(rng: np.random.Generator, n: int, better: float) -> dict[str, tuple[float, float]]:
    """Measures of predictions, two of them right with correlated luck."""
    label = rng.integers(5, size=n)
    luck = rng.random(n)
    ours, theirs = (np.where(luck + 0.2 * rng.random(n) < p, label, (label + 1) % 5) for p in (better, 0.8))
    return {
        "accuracy": utility.accuracy(ours, label),
        "macro F1": utility.macro_f1(ours, label, rng=rng),
        "gain in accuracy": utility.gain(ours, theirs, label),
    }


DESIGNS = (
    (fidelity, (1.0, 0.8)),
    (wide, (1.0, 0.9, 1.1)),
    (scores, (0.0, 1.0, 2.0)),
    (memory, (0.0, 0.3)),
    (use, (0.8, 1.0)),
)

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=250)
    options = parser.parse_args()
    print(f"{'measure':32s}{'design':>8s}{'holds':>8s}{'error / spread':>16s}  ({options.draws} x {options.rows} rows)")
    for design, settings in DESIGNS:
        for setting in settings:
            rng = np.random.default_rng(0)
            runs = [design(rng, options.rows, setting) for _ in range(options.draws)]
            for name in runs[0]:
                value, error = np.array([run[name] for run in runs]).T
                holds = (np.abs(value - value.mean()) <= 1.96 * error).mean()
                ratio = error.mean() / value.std(ddof=1)
                print(f"{name:32s}{setting:8g}{100 * holds:7.1f}%{ratio:16.2f}", flush=True)
