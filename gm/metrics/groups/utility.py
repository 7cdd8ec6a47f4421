"""Of what use are the samples where real examples are scarce? Rows of one run."""

from collections.abc import Iterable

import numpy as np

from gm.metrics import utility
from gm.metrics.run import Row, Run, row

RATIOS = (1, 5, 20)
REAL = 1000
LABELLER = "svm"


def rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`accuracy/<classifier>/<regime>`, `macro_f1/...`, and `gain/<classifier>/<regime>/<against>`.

    Of more than 1000 training images, 1000 are used, the same for every model of a seed. Samples are labelled by a
    classifier that is trained on these, and on nothing else: such a sample adds an image but no label, and at best
    passes on what the classifier has already learnt. Labels of a model's own are used only where it saw no others,
    that is of at most 1000 training images; the images themselves it saw all. (`resample` draws fresh images, with
    the labels that they have.) Regimes without synthetic images
    (`trtr`, `classical=<r>`, `fresh=<r>`) are the same for all models of a seed, so that models differ by their
    samples alone. A dataset without labels gives no row.
    """
    data = run.data
    if not run.samples or "label_train" not in data or len(np.unique(data["label_train"])) < 2:
        return
    # A child a purpose, so that what a model samples moves no number that does not depend on it.
    choice, order, others, copies, seeds = rng.spawn(5)
    seed = int(seeds.integers(2**31))
    chosen = utility.stratified(data["label_train"], REAL, rng=choice)
    low, high = (float(end) for end in (data["x_train"].min(), data["x_train"].max()))

    def scaled(x: np.ndarray) -> np.ndarray:
        return (x.astype(np.float32) - low) / max(high - low, 1e-12)

    real = scaled(data["x_train"][chosen]), data["label_train"][chosen]
    # A model may draw its classes one after the other.
    drawn, fresh = (
        child.permutation(len(x))[: max(RATIOS) * len(chosen)]
        for child, x in ((order, run.samples["x"]), (others, data["x_fresh"]))
    )
    x = scaled(run.samples["x"][drawn])
    own = "label" in run.samples and len(data["label_train"]) <= REAL
    label = run.samples["label"][drawn] if own else utility.classify(LABELLER, *real, x, seed=seed)
    unseen = scaled(data["x_fresh"][fresh]), data["label_fresh"][fresh]
    targets, truth = scaled(data["x_test"]), data["label_test"]
    found: dict[tuple[str, str], np.ndarray] = {}
    for regime, train in utility.regimes(real, (x, label), unseen, RATIOS, rng=copies).items():
        for name in utility.CLASSIFIERS:
            found[name, regime] = utility.classify(name, *train, targets, seed=seed)
    for (name, regime), predicted in found.items():
        f1 = utility.macro_f1(predicted, truth, rng=np.random.default_rng(seed))
        yield row(f"accuracy/{name}/{regime}", utility.accuracy(predicted, truth), len(truth))
        yield row(f"macro_f1/{name}/{regime}", f1, len(truth))
        for against in rivals(regime):
            if (name, against) in found:
                value = utility.gain(predicted, found[name, against], truth)
                yield row(f"gain/{name}/{regime}/{against}", value, len(truth))


def rivals(regime: str) -> list[str]:
    """What a regime with synthetic images stands beside: the real ones alone, and as many others."""
    source, _, ratio = regime.partition("=")
    beside = [f"{other}={ratio}" for other in ("classical", "fresh")] if source == "synthetic" else []
    return ["trtr", *beside] if source in ("synthetic", "tstr") else []
