"""Does a model replay its training images? Rows of one run."""

from collections.abc import Iterable

import numpy as np

from gm.metrics import memorisation
from gm.metrics.run import Row, Run, row


def rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`nn_ratio`, `copies`, and `copies/test`, which held-out images have too."""
    if not run.samples:
        return
    train = run.data["x_train"]
    distance = memorisation.nearest(run.samples["x"], train)
    held_out = memorisation.nearest(run.data["x_test"], train)
    yield row("nn_ratio", memorisation.nn_ratio(distance, held_out), len(distance))
    yield row("copies", memorisation.copies(distance), len(distance))
    yield row("copies/test", memorisation.copies(held_out), len(held_out))
