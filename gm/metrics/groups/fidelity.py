"""Distances between the samples' features and those of the test split, through each net."""

from collections.abc import Iterable

import numpy as np

from gm.metrics import prdc
from gm.metrics.frechet import frechet
from gm.metrics.kernel import kid
from gm.metrics.run import Row, Run, row


def frechet_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`FD_<net>@<n>`."""
    for net, fake, real in run.embedded():
        yield row(f"FD_{net}@{len(fake)}", frechet(fake, real), len(fake))


def kernel_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`KID_<net>@<n>`."""
    for net, fake, real in run.embedded():
        yield row(f"KID_{net}@{len(fake)}", kid(fake, real), len(fake))


def prdc_rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`precision_<net>@<n>`, `recall_...`, `density_...` and `coverage_...`."""
    for net, fake, real in run.embedded():
        for name, value in prdc.prdc(real, fake).items():
            yield row(f"{name}_{net}@{len(fake)}", value, len(fake))
