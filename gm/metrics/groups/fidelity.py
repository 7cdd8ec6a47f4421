"""Distances between the samples' features and those of the test split, through each net."""

from collections.abc import Iterable
from copy import deepcopy

import numpy as np

from gm.metrics import prdc
from gm.metrics.frechet import frechet, frechet_infinity
from gm.metrics.kernel import kid
from gm.metrics.run import Row, Run, row


def frechet_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`FD_<net>@<n>`, and where there are twice as many images as features `FDinf_<net>`.

    Leaves the curve behind the second, `fd_curve/<net>`, `[K, 2]`: 1/n and FD.
    """
    for net, fake, real in run.embedded():
        yield row(f"FD_{net}@{len(fake)}", frechet(fake, real), len(fake))
        if min(len(fake), len(real)) < 2 * fake.shape[1] + 2:
            continue
        # All nets see the same splits, so that asking for another net moves no number.
        value, se, run.items[f"fd_curve/{net}"] = frechet_infinity(fake, real, rng=deepcopy(rng))
        yield row(f"FDinf_{net}", (value, se), len(fake))


def kernel_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`KID_<net>@<n>`."""
    for net, fake, real in run.embedded():
        yield row(f"KID_{net}@{len(fake)}", kid(fake, real), len(fake))


def prdc_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`precision_<net>@<n>`, `recall_...`, `density_...`, `coverage_...`, and `coverage_<net>/class-<c>`."""
    label = run.data.get("label_test")
    for net, fake, real in run.embedded():
        for name, value in prdc.prdc(real, fake, label=label).items():
            measure, _, part = name.partition("/class-")
            if part:
                yield row(f"{measure}_{net}/class-{part}", value, int((label == int(part)).sum()))
            else:
                yield row(f"{measure}_{net}@{len(fake)}", value, len(fake))
