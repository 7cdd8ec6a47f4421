"""Both ends of the mean log density of test images, in nats and in bits per dimension."""

from collections.abc import Iterable

import numpy as np

from gm.metrics import likelihood
from gm.metrics.run import Row, Run, row


def rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`logp_lower`, `logp_upper`, `bpd_lower`, `bpd_upper`."""
    if not run.scores:
        return
    dim = int(np.prod(run.data["x_test"].shape[1:]))
    found = likelihood.ends(run.scores)
    bits = {end: likelihood.bits_per_dim(value, dim) for end, value in found.items()}
    # The lower end of a density is the upper end of its code length.
    named = [(f"logp_{end}", value) for end, value in found.items()]
    named += [(f"bpd_{end}", bits[other]) for end, other in (("lower", "upper"), ("upper", "lower")) if other in bits]
    for name, end in named:
        yield row(name, (end.value, end.se), end.n, end.kind)
