"""Exponential moving averages of weights."""

import torch
from torch import nn


def move_average(average: nn.Module, model: nn.Module, decay: float) -> None:
    """One step of an exponential moving average, a <- decay a + (1 - decay) b for every parameter, in place.

    Reference:
        Acceleration of stochastic approximation by averaging (B. T. Polyak and A. B. Juditsky, 1992), with
        exponential weights.

    Arguments:
        average: holds the averages a.
        model: holds the current weights b, in the same order.
        decay: weight of the past, in [0, 1].
    """
    with torch.no_grad():
        for a, b in zip(average.parameters(), model.parameters(), strict=True):
            a.lerp_(b, 1 - decay)
