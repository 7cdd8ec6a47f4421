"""Does a model replay its training images? Rows of one run."""

from collections.abc import Iterable

import numpy as np
from numpy import ndarray

from gm.metrics import memorisation
from gm.metrics.neighbours import nearest
from gm.metrics.run import Row, Run, row


def rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`nn_ratio`, `copies`, `copies/test` (which held-out images have too), `duplicates`, `authenticity`, `c_t`, and,
    where images were held out for it, `dcr_share`.

    The test split is the held-out data of `nn_ratio` and `c_t`, the non-members and the reference split those of
    `dcr_share`. Distances to the training set are left as `nn/samples` and `nn/held_out`.
    """
    if not run.samples:
        return
    samples, test, train = run.samples["x"], run.data["x_test"], run.data["x_train"]
    of_cells, of_halves = rng.spawn(2)
    distance, index = nearest(samples, train, k=2)
    held_out = nearest(test, train)[0][:, 0]
    first, n = distance[:, 0], len(samples)
    run.items["nn/samples"], run.items["nn/held_out"] = first, held_out
    yield row("nn_ratio", memorisation.nn_ratio(first, held_out), n)
    yield row("copies", memorisation.copies(first), n)
    yield row("copies/test", memorisation.copies(held_out), len(held_out))
    yield row("duplicates", memorisation.duplicates(distance), n)
    # Its own nearest training image is itself, and the second nearest the nearest other one.
    used, back = np.unique(index[:, 0], return_inverse=True)
    of_neighbour = nearest(train[used], train, k=2)[0][back, 1]
    yield row("authenticity", memorisation.authenticity(first, of_neighbour), n)
    yield row("c_t", memorisation.c_t(samples, test, train, rng=of_cells), n)
    trained, others = halves(run, of_halves)
    if len(others) > 1:
        yield row("dcr_share", memorisation.dcr_share(samples, trained, others), n)


def halves(run: Run, rng: np.random.Generator) -> tuple[ndarray, ndarray]:
    """As many random training images as there are images held out, the reference split and the non-members."""
    train = run.data["x_train"]
    held_out = [run.data[name] for name in ("x_reference", "x_nonmember") if name in run.data]
    others = np.concatenate(held_out) if held_out else train[:0]
    h = min(len(train), len(others))
    return tuple(images[rng.permutation(len(images))[:h]] for images in (train, others))
