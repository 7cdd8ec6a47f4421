"""The contract as checks that anyone can run on a class of their own: `gm check path/to/file.py:Class`.

A model is fitted to a small synthetic law and must keep every promise of `gm.model`: what it declares, what it draws,
what it bounds. On an event small enough to list all of its states, its density must integrate to one and its sampler
must agree with its density.
"""

from collections.abc import Iterator
from typing import NamedTuple

from gm.contract import density, promises
from gm.contract.case import Broken, Case, Skipped
from gm.model import Event
from gm.stages.job import Failed

# name: (check, the checks it stands on)
CHECKS = {
    "attributes": (promises.attributes, ()),
    "signatures": (promises.signatures, ()),
    "fit": (promises.fit, ("attributes", "signatures")),
    "same fit": (promises.refit, ("fit",)),
    "sample": (promises.sample, ("fit",)),
    "same sample": (promises.streams, ("sample",)),
    "bounds": (promises.bounds, ("fit",)),
    "same in any batch": (promises.batch, ("bounds",)),
    "outlier scores": (promises.scores, ("bounds",)),
    "save and load": (promises.save, ("sample", "bounds")),
    "mass": (density.mass, ("bounds",)),
    "sampler": (density.sampler, ("sample", "bounds")),
}


class Finding(NamedTuple):
    """One check: its name, `ok`, `FAILED` or `skipped`, and what was found."""

    check: str
    status: str
    text: str


def examine(spec: dict, event: Event, *, seed: int = 0) -> Iterator[Finding]:
    """Run every check on one class, in order, and yield what each found.

    Arguments:
        spec: `class`, and optionally the sections `model`, `fit`, `sample` and `score` of a model's YAML file.
        event: the space to examine it on; its density and sampler are examined if it has few enough states.
        seed: root of every stream.

    Example:
        >>> found = examine({"class": "gm.models.mixture.Mixture"}, Event((1, 2, 2), 3))
        >>> next(found)
        Finding(check='attributes', status='ok', text='family control, serves binary, levels')
    """
    case, stands = Case(spec, event, seed=seed), {}
    for name, (check, needed) in CHECKS.items():
        missing = [other for other in needed if stands[other] != "ok"]
        if missing:
            status, text = "skipped", f"needs '{missing[0]}'"
        else:
            status, text = _outcome(check, case)
        stands[name] = status
        yield Finding(name, status, text)


def _outcome(check, case: Case) -> tuple[str, str]:
    try:
        return "ok", check(case)
    except Skipped as reason:
        return "skipped", str(reason)
    except (Broken, Failed) as broken:
        return "FAILED", str(broken)
    except Exception as error:
        return "FAILED", f"{type(error).__name__}: {error}"
