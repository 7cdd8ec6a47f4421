"""What a class declares, fits, draws and bounds, on an event of any size."""

import inspect
import math
import tempfile
from pathlib import Path

import torch

from gm import rng, source
from gm.contract.case import Broken, Case, disturbed, expect
from gm.model import KINDS, Bounds, History, load
from gm.stages import score, train

FAMILIES = ("control", "kl", "maxent", "vae")
SERVES = ("binary", "levels", "real")
SPLITS = ("train", "valid", "fresh")
DEVICES = ("cpu", "gpu")


def attributes(case: Case) -> str:
    """Class attributes are literals that the planner reads from the source, and legal."""
    found = {}
    for name in ("family", "serves", "splits", "labels", "conditional", "devices"):
        try:
            found[name] = source.attribute(case.spec["class"], name)
        except ValueError:
            raise Broken(f"'{name}' is an expression; expected a literal, which is read without importing") from None
        runtime = getattr(case.cls, name)
        expect(
            found[name] == runtime, f"'{name}' reads {found[name]!r} in the source, {runtime!r} when run", "the same"
        )
    expect(found["family"] in FAMILIES, f"family {found['family']!r}", f"one of {', '.join(FAMILIES)}")
    for name, legal in (("serves", SERVES), ("splits", SPLITS), ("devices", DEVICES)):
        kept = isinstance(found[name], tuple) and found[name] and set(found[name]) <= set(legal)
        expect(kept, f"{name} {found[name]!r}", f"a tuple of names among {', '.join(legal)}")
    expect(len(found["splits"]) == 2, f"splits {found['splits']!r}", "two names")
    for name in ("labels", "conditional"):
        expect(isinstance(found[name], bool), f"{name} {found[name]!r}", "True or False")
    expect(found["labels"] or not found["conditional"], "'conditional' without 'labels'", "a fit that reads labels")
    return f"family {found['family']}, serves {', '.join(found['serves'])}"


def signatures(case: Case) -> str:
    """Hyper-parameters are keyword-only, with a default and an annotation."""
    members = {"__init__": ("event",), "fit": ("train", "valid"), "sample": ("n",), "bounds": ("y",)}
    count = 0
    for member, positional in (members | {"outlier_scores": ("y", "bounds")}).items():
        parameters = list(inspect.signature(getattr(case.cls, member)).parameters.values())
        head, rest = parameters[1 : 1 + len(positional)], parameters[1 + len(positional) :]
        names = tuple(p.name for p in head if p.kind is p.POSITIONAL_OR_KEYWORD)
        expect(names == positional, f"'{member}' takes {names}", f"{positional}, then keyword-only parameters")
        for p in rest:
            expect(p.kind is p.KEYWORD_ONLY, f"'{p.name}' of '{member}' is {p.kind.description}", "keyword-only")
            if p.name not in ("generator", "log"):
                expect(p.default is not p.empty, f"'{p.name}' of '{member}' has no default", "a default")
                expect(p.annotation is not p.empty, f"'{p.name}' of '{member}' has no annotation", "an annotation")
                count += 1
    return f"{count} hyper-parameters, all keyword-only with a default and an annotation"


def fit(case: Case) -> str:
    """A fit ends with finite weights and a history."""
    case.model, history = case.fit(1)
    expect(isinstance(history, History), f"'fit' returned {type(history).__name__}", "a gm.model.History")
    for row in history.rows:
        expect("step" in row, f"a row of the history with keys {sorted(row)}", "the key 'step' in every row")
    for name, fact in history.facts.items():
        value = fact[0] if isinstance(fact, tuple) else fact
        expect(math.isfinite(value), f"fact '{name}' is {value}", "a finite number")
    return f"{sum(p.numel() for p in case.model.parameters())} parameters, {len(history.rows)} rows of history"


def refit(case: Case) -> str:
    """The same seed gives the same weights."""
    again, weights = case.fit(2)[0].state_dict(), case.model.state_dict()
    differing = [name for name, tensor in weights.items() if not torch.equal(tensor, again[name])]
    expect(not differing, f"the same seed gave other weights in {differing}", "the same bytes (a global random state?)")
    return f"{len(weights)} tensors, the same bytes twice"


def sample(case: Case) -> str:
    """Samples have the event's shape, an integer dtype and levels in range."""
    for n in (64, 1):
        x = case.sample(n)
        expect(x.shape == (n, *case.event.shape), f"shape {tuple(x.shape)}", f"{(n, *case.event.shape)}")
    x, levels = case.sample(64), case.event.levels
    if levels is None:
        expect(x.isfinite().all(), "samples are not finite", "finite numbers")
    else:
        integers = not x.is_floating_point() and not x.is_complex() and x.dtype is not torch.bool
        expect(integers, f"dtype {x.dtype}", "an integer dtype, torch.int64")
        low, high = int(x.min()), int(x.max())
        expect(low >= 0 and high < levels, f"samples in {low}..{high}", f"0..{levels - 1}")
    if case.cls.conditional:
        labelled(case, x)
    return f"shape {tuple(x.shape)}, {x.dtype}, {x.min():g}..{x.max():g}"


def labelled(case: Case, x: torch.Tensor) -> None:
    """Labelled samples are the images that `sample` draws, with classes that `fit` was shown."""
    same, label = case.sample(64, labelled=True)
    expect(torch.equal(same, x), "'sample_labelled' draws other images than 'sample'", "the same from one generator")
    expect(label.shape == (64,) and label.dtype is torch.int64, f"labels {label.shape}, {label.dtype}", "[64], int64")
    strange = set(label.tolist()) - set(case.split(case.cls.splits[0], 400).label.tolist())
    expect(not strange, f"labels {sorted(strange)}", "labels of the split that 'fit' was given")


def streams(case: Case) -> str:
    """The generator given to `sample` decides everything, and it does decide."""
    first, again = case.sample(64), case.sample(64, disturbance=1)
    expect(
        torch.equal(first, again), "the same generator gave other samples", "the same bytes (a global random state?)"
    )
    expect(not torch.equal(first, case.sample(64, seed=1)), "two seeds gave the same samples", "different samples")
    return "the same generator gives the same bytes, another seed others"


def bounds(case: Case) -> str:
    """Bounds are an interval of declared kinds, and depend on the generator alone."""
    b, rows = case.reference, len(case.rows)
    expect(isinstance(b, Bounds), f"'bounds' returned {type(b).__name__}", "a gm.model.Bounds")
    for name, end in {"lower": b.lower, "upper": b.upper, **b.terms}.items():
        expect(end.shape == (rows,), f"'{name}' has shape {tuple(end.shape)}", f"({rows},)")
    expect(len(b.kinds) == 2 and set(b.kinds) <= set(KINDS), f"kinds {b.kinds}", f"two of {', '.join(KINDS)}")
    score.check(b)
    for name, end, kind, none in (("lower", b.lower, b.kinds[0], -math.inf), ("upper", b.upper, b.kinds[1], math.inf)):
        infinite = int((end == none).sum())
        if kind == "none":
            expect(infinite == rows, f"the {name} end of kind 'none' is {end.tolist()[:3]}", f"{none} in every row")
        else:
            expect(name == "lower" or not infinite, f"{infinite} upper ends are inf", f"kind 'none', not '{kind}'")
            expect((end != -none).all(), f"the {name} end is {-none} in some row", "a bound that is one")
    if b.kinds == ("exact", "exact"):
        expect(torch.equal(b.lower, b.upper), "two exact ends that differ", "one number")
    if "certified" in b.kinds:
        expect(0 < b.alpha < 1, f"a certified end with alpha {b.alpha}", "0 < alpha < 1")
    width = b.shared[1] - b.shared[0]
    expect(0 <= width <= (b.upper - b.lower).min() + 1e-6, f"a shared interval {b.shared}", "one inside lower, upper")
    again = case.bounds(case.rows, disturbance=1)
    same = torch.equal(b.lower, again.lower) and torch.equal(b.upper, again.upper)
    expect(same, "the same generator gave other bounds", "the same bytes (a global random state?)")
    return f"lower {b.kinds[0]}, upper {b.kinds[1]}, mean {b.lower.mean():.4g} to {b.upper.mean():.4g} nats"


def batch(case: Case) -> str:
    """A row's bounds do not depend on the rows beside it; float32 arithmetic may round another way."""
    order = torch.randperm(len(case.rows), generator=rng.stream(case.seed, "order"))
    for name, chosen in (("half of the rows, in another order,", order[::2]), ("one row alone", order[:1])):
        found = case.bounds(case.rows[chosen])
        for here, there in ((found.lower, case.reference.lower), (found.upper, case.reference.upper)):
            moved = float((here - there[chosen]).abs().nan_to_num(0.0).max())
            close = torch.allclose(here, there[chosen], rtol=1e-5, atol=1e-5)
            expect(close, f"{name} moved its bounds by up to {moved:.3g} nats", "bounds that are a row's own")
    return "a row's bounds are the same in any batch"


def scores(case: Case) -> str:
    """Outlier scores are one number a row, and depend on the generator alone."""
    found = []
    for disturbance in (0, 1):
        with disturbed(disturbance), torch.no_grad():
            generator = rng.stream(case.seed, "outliers")
            found.append(case.model.outlier_scores(case.rows, case.reference, generator=generator))
    for name, values in found[0].items():
        rows = (len(case.rows),)
        expect(values.shape == rows, f"score '{name}' has shape {tuple(values.shape)}", f"{rows}")
        expect(not values.isnan().any(), f"score '{name}' has {int(values.isnan().sum())} NaN", "numbers")
        same = torch.equal(values, found[1][name])
        expect(same, f"the same generator gave another '{name}'", "the same bytes (a global random state?)")
    return ", ".join(found[0]) or "none"


def save(case: Case) -> str:
    """A model that went through a file draws and bounds as before."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.safetensors"
        train.store(case.model, case.spec, path)
        size, again = path.stat().st_size, load(path)
    same = torch.equal(case.sample(64), case.sample(64, model=again))
    expect(same, "other samples after saving and loading", "the same (parameters or buffers hold the whole state)")
    found = case.bounds(case.rows, model=again)
    for here, there in ((found.lower, case.reference.lower), (found.upper, case.reference.upper)):
        # A file keeps no strides, and another layout in memory may round another way.
        same = torch.allclose(here, there, rtol=1e-6, atol=1e-6)
        expect(same, "other bounds after saving and loading", "the same (parameters or buffers hold the whole state)")
    return f"{size} bytes, the same samples and bounds after loading"
