"""score: model.safetensors -> scores.npz, an interval for log Z per replicate, budget and member."""

import numpy as np

from gm import io, rng
from gm.model import KINDS, Diverged
from gm.sampler import load
from gm.sampling.logz import LogZ
from gm.stages.job import Failed, Input, Outcome, Output
from gm.stages.sampling.members import Arrays, each, key, targets

ENDS = ("lower", "upper", "point", "se", "ess", "alpha")


def run(data: Input, weights: Input, scores: Output, *, spec: dict, seed: int, log) -> Outcome:
    """Estimate log Z in `groups` replicates at each budget; budgets have streams of their own.

    Per budget and member, as `name/budget` or `name/budget/member`: `lower`, `upper`, `point`, `se`, `ess`, `alpha`
    and `evals`, each `[groups]`; `kinds` of the ends, `[groups, 2]`; `note`, of the first replicate. A sampler without
    an estimate leaves none.
    """
    members, samplers = targets(spec), load(weights)
    places = [(member, budget) for member in samplers for budget in spec["budgets"]]

    def estimate(place: tuple[str, int]) -> Arrays:
        member, budget = place
        log(places.index(place), len(places))
        options = {"groups": spec["groups"], "budget": budget} | spec.get("score", {})
        found = samplers[member].log_z(members[member], generator=rng.stream(seed, "score", *place), **options)
        return checked(found, spec["groups"]) if found else {}

    found, failed = each(places, estimate)
    columns = {(name, *place): column for place, arrays in found.items() for name, column in arrays.items()}
    io.write_arrays(scores, {key(f"{name}/{budget}", m): column for (name, m, budget), column in columns.items()})
    evals = {key(f"gradient/{b}", m): int(c.sum()) for (name, m, b), c in columns.items() if name == "evals"}
    failures = {key(str(budget), member): why for (member, budget), why in failed.items()}
    return Outcome(evals=evals, facts={"failed": failures})


def checked(found: list[LogZ], groups: int) -> Arrays:
    """Intervals as arrays, or a typed failure that says what is wrong with them."""
    if len(found) != groups:
        raise Failed("invalid", f"{len(found)} estimates of log Z; expected one per replicate, {groups}")
    arrays: Arrays = {name: np.array([_field(z, name) for z in found], np.float64) for name in ENDS}
    if not np.isfinite(arrays["point"]).all() or np.isnan(arrays["lower"] + arrays["upper"]).any():
        raise Diverged("an estimate of log Z is not finite")
    if (arrays["lower"] > arrays["upper"]).any():
        raise Failed("invalid", "an interval for log Z has its lower end above its upper end")
    for z in found:
        if not set(z.kinds) <= set(KINDS):
            raise Failed("invalid", f"kinds {z.kinds}; expected two of {', '.join(KINDS)}")
    evals = np.array([sum(z.evals.values()) for z in found], np.int64)
    kinds = np.array([list(z.kinds) for z in found])
    return arrays | {"evals": evals, "kinds": kinds, "note": np.array(found[0].note)}


def _field(z: LogZ, name: str) -> float:
    return float(vars(z)[name])


def empty(scores: Output) -> None:
    """What a failed run leaves."""
    io.write_arrays(scores, {})
