"""The steps of a fit that may be cut off, and goes on where it was."""

from collections.abc import Callable, Iterator
from typing import Protocol

import torch


class Stateful(Protocol):
    """What changes from step to step and can say how: a module, an optimiser, a schedule."""

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> object: ...


class Checkpoint:
    """A log `(step, steps)` that also keeps the state of a fit; this one keeps nothing."""

    def __call__(self, step: int, steps: int) -> None:
        """Take note of a step that is done."""

    def restore(self) -> dict | None:
        """What was kept of this very fit when it was cut off, if anything."""
        return None

    def keep(self, state: Callable[[], dict]) -> None:
        """Keep the state, if it is time to."""


def resumable(
    steps: int, log: Callable[[int, int], None], values: dict, *parts: Stateful | torch.Generator
) -> Iterator[int]:
    """The numbers of the steps, 1 to `steps`; of a fit that was cut off, those that are left.

    A fit that goes on ends with the same bytes as one that was never cut off if `values` and `parts` hold all that
    changes from step to step. What comes before the first step is done again, its random numbers too.

    Arguments:
        steps: how many there are.
        log: told of every step when it is done; a `Checkpoint` also keeps the state and gives it back.
        values: tensors, numbers, strings, and lists, tuples and dictionaries of them; read and written by key.
        parts: modules, optimisers, schedules and generators, in an order that is always the same.

    Example:
        >>> values = {"sum": 0}
        >>> for step in resumable(3, lambda step, steps: print(f"{step} of {steps}"), values):
        ...     values["sum"] += step
        1 of 3
        2 of 3
        3 of 3
        >>> values["sum"]
        6
    """
    kept = log.restore() if isinstance(log, Checkpoint) else None
    if kept is not None:
        for part, state in zip(parts, kept["parts"], strict=True):
            part.set_state(state) if isinstance(part, torch.Generator) else part.load_state_dict(state)
        values.clear()
        values.update(kept["values"])
    for step in range(kept["step"] + 1 if kept else 1, steps + 1):
        yield step
        log(step, steps)
        if isinstance(log, Checkpoint):
            log.keep(lambda step=step: {"step": step, "parts": [_state(part) for part in parts], "values": values})


def _state(part: Stateful | torch.Generator) -> object:
    return part.get_state() if isinstance(part, torch.Generator) else part.state_dict()
