"""One class on one event, fitted and asked as the stages do, and what the checks share."""

import inspect
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from gm import rng
from gm.model import Bounds, Event, History, Model, Split, build
from gm.source import resolve
from gm.stages import train

# Measures of effort by the names they go by, and what is enough for a small event.
QUICK = {
    "epochs": 5,
    "steps": 50,
    "learning_steps": 50,
    "updates": 50,
    "iterations": 20,
    "restarts": 1,
    "temperatures": 50,
    "moves": 50,
    "sweeps": 200,
    "checks": 2,
    "excess": 2,
}


class Broken(Exception):
    """A promise that was not kept: what was found, and what was expected."""


class Skipped(Exception):
    """A check that does not apply, and why."""


def expect(kept: object, found: str, expected: str) -> None:
    """Refuse a broken promise in the words of the house."""
    if not kept:
        raise Broken(f"{found}; expected {expected}")


@contextmanager
def disturbed(seed: int) -> Iterator[None]:
    """Move every global random state inside the block; a model that draws from one gives itself away."""
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])


def law(event: Event, n: int, *, seed: int, generator: torch.Generator) -> Split:
    """Correlated images of a known law: one of three templates, of which a pixel keeps its level with chance 0.6."""
    levels = event.levels or 2
    templates = torch.randint(levels, (3, *event.shape), generator=rng.stream(seed, "templates"))
    label = torch.randint(3, (n,), generator=generator)
    noise = torch.randint(levels, (n, *event.shape), generator=generator)
    x = torch.where(torch.rand(noise.shape, generator=generator) < 0.6, templates[label], noise)
    if event.levels is None:
        return Split(x + 0.3 * torch.randn(x.shape, generator=generator), label)
    return Split(x, label)


def quick(function: Callable, given: dict) -> dict:
    """Keyword arguments with the usual measures of effort (`QUICK`) lowered, where the function has them."""
    found = dict(given)
    for name, small in QUICK.items():
        if name in inspect.signature(function).parameters:
            value = given.get(name, inspect.signature(function).parameters[name].default)
            found[name] = min(value, small) if isinstance(value, int) else value
    return found


class Case:
    """One class on one event, and what the checks share.

    Arguments:
        spec: `class`, and optionally the sections `model`, `fit`, `sample` and `score` of a model's YAML file.
        event: the event to fit it on.
        seed: root of every stream.
    """

    def __init__(self, spec: dict, event: Event, *, seed: int = 0) -> None:
        self.spec, self.event, self.seed = spec, event, seed
        self.cls = resolve(spec["class"])
        self.model: Model | None = None

    def split(self, name: str, n: int) -> Split:
        """A split of the law; a class that does not declare `labels` gets -1 for every label."""
        drawn = law(self.event, n, seed=self.seed, generator=rng.stream(self.seed, name))
        return drawn if self.cls.labels else Split(drawn.x, torch.full_like(drawn.label, -1))

    def fit(self, disturbance: int) -> tuple[Model, History]:
        """Fit as the stage does; torch's global state is seeded there too, for weights and for dropout."""
        first, second = self.split(self.cls.splits[0], 400), self.split(self.cls.splits[1], 100)
        before = first.x.clone(), second.x.clone()
        with disturbed(disturbance):
            torch.manual_seed(rng.seed_of(self.seed, "initialise"))
            model = build(self.spec | {"event": [self.event.shape, self.event.levels]})
            given = quick(model.fit, self.spec.get("fit", {}))
            generator = rng.stream(self.seed, "train")
            history = model.fit(first, second, generator=generator, log=lambda step, total: None, **given)
        kept = torch.equal(before[0], first.x) and torch.equal(before[1], second.x)
        expect(kept, "'fit' changed the images it was given", "data that stay as they are")
        train.finite(model)
        return model.eval(), history

    def sample(
        self, n: int, *, seed: int = 0, disturbance: int = 0, model: Model | None = None, labelled: bool = False
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Draw as the stage does; `labelled` from a conditional class, images and labels."""
        model = model or self.model
        draw = model.sample_labelled if labelled else model.sample
        with disturbed(disturbance):
            given = quick(draw, self.spec.get("sample", {}))
            return draw(n, generator=rng.stream(self.seed, seed, "sample"), **given)

    def bounds(self, y: Tensor, *, disturbance: int = 0, model: Model | None = None) -> Bounds:
        """Bound as the stage does."""
        model = model or self.model
        with disturbed(disturbance), torch.no_grad():
            given = quick(model.bounds, self.spec.get("score", {}))
            return model.bounds(y, generator=rng.stream(self.seed, "score"), **given)

    @cached_property
    def rows(self) -> Tensor:
        """Rows y = x + u: sixteen of the law and eight of uniform levels, `[24, C, H, W]`."""
        generator = rng.stream(self.seed, "rows")
        x = law(self.event, 16, seed=self.seed, generator=generator).x
        if self.event.levels is None:
            return x
        x = torch.cat([x, torch.randint(self.event.levels, (8, *self.event.shape), generator=generator)])
        return x + noise(torch.rand(x.shape, generator=generator))

    @cached_property
    def reference(self) -> Bounds:
        """Bounds of `rows`, which the other checks compare with."""
        return self.bounds(self.rows)


def noise(u: Tensor) -> Tensor:
    """Noise on the data's grid, (i + 1/2) / 2^15, from u in [0, 1]."""
    return ((u * 2**15).floor().clamp(max=2**15 - 1) + 0.5) / 2**15
