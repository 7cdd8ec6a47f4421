"""Can one tell from a model, or from its samples, which images it was trained on? Rows of one run."""

from collections.abc import Iterable

import numpy as np
from numpy import ndarray

from gm.metrics import attacks
from gm.metrics.audit import audit
from gm.metrics.roc import auroc
from gm.metrics.run import Row, Run, row

PARTS = ("member", "nonmember")
RATES = {"1%": (0.01, 100), "0.1%": (0.001, 1000)}
DELTA = 1e-5


def rows(run: Run, rng: np.random.Generator) -> Iterable[Row]:
    """`mia_auc/<attack>`, `mia_tpr@1%/<attack>`, `mia_tpr@0.1%/<attack>` and `mia_eps/<attack>`.

    A share at a rate of false alarms needs as many non-members as make one false alarm. The bound on epsilon, at a
    delta of 1e-5 and 95 % confidence, is certified for each attack by itself (`gm.metrics.audit`); a bound has no
    standard error, and its n is the half of the candidates that gives it. The scores are left as
    `attack/<attack>/member` and `attack/<attack>/nonmember`.
    """
    sizes = [len(run.data.get(f"x_{part}", ())) for part in PARTS]
    if min(sizes) < 2:
        return
    seed = int(rng.integers(2**63))
    for name, score in scores(run, rng).items():
        member, nonmember = score[: sizes[0]], score[sizes[0] :]
        for part, values in zip(PARTS, (member, nonmember), strict=True):
            run.items[f"attack/{name}/{part}"] = values
        yield row(f"mia_auc/{name}", auroc(nonmember, member), sum(sizes))
        for label, (rate, fewest) in RATES.items():
            if sizes[1] >= fewest:
                yield row(f"mia_tpr@{label}/{name}", attacks.tpr_at(member, nonmember, rate), sum(sizes))
        # One seed: every attack is audited on the same halves.
        bound, n = audit(member, nonmember, rng=np.random.default_rng(seed), delta=DELTA)
        yield {"metric": f"mia_eps/{name}", "value": bound, "n": n, "kind": "certified"}


def scores(run: Run, rng: np.random.Generator) -> dict[str, ndarray]:
    """Scores of the candidates by each attack that the run's arrays allow, members first.

    `likelihood` and `calibrated` read the lower end of the log density at y, `reconstruction` the model's own error;
    `nearest` and `monte-carlo` need samples, `calibrated`, `nearest-calibrated`, `domias` and `discriminator` the
    reference split.
    """
    data, given, found = run.data, run.scores, {}
    of_noise, of_classifier = rng.spawn(2)
    reference = data.get("x_reference", ())
    refer = len(reference) > 1
    if "lower_member" in given and str(given["kinds"][0]) != "none":
        found["likelihood"] = _candidates(given, "lower_")
        if refer:
            noise = [_candidates(data, "u_"), of_noise.random(reference.shape)] if "u_member" in data else [0, 0]
            y = _candidates(data, "x_") + noise[0]
            found["calibrated"] = found["likelihood"] - attacks.log_ppca(y, reference + noise[1])
    if "score_reconstruction_member" in given:
        found["reconstruction"] = -_candidates(given, "score_reconstruction_")
    if run.samples:
        x, samples = _candidates(data, "x_"), run.samples["x"]
        found["nearest"] = attacks.nearest_sample(x, samples)
        found["monte-carlo"] = attacks.monte_carlo(x, samples)
        if refer:
            found["nearest-calibrated"] = attacks.nearest_calibrated(x, samples, reference)
            found["domias"] = attacks.domias(x, samples, reference)
            found["discriminator"] = attacks.discriminator(x, samples, reference, rng=of_classifier)
    return found


def _candidates(arrays: dict[str, ndarray], prefix: str) -> ndarray:
    return np.concatenate([arrays[f"{prefix}{part}"] for part in PARTS])
