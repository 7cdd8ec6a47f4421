"""Multi-layer perceptrons."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


def mlp(sizes: Sequence[int], *, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these sizes with SiLU, and dropout where asked, between them.

    Example:
        >>> import torch
        >>> mlp([4, 8, 2])(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.SiLU(), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])


class Append(nn.Module):
    """One learned number behind the inputs `[*, D]`, the same for all of them: `[*, D + 1]`.

    Arguments:
        start: its value before a fit.
    """

    def __init__(self, start: float) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor([start]))

    def forward(self, x: Tensor) -> Tensor:
        """`x` with the number behind it."""
        return torch.cat([x, self.value.expand(*x.shape[:-1], 1)], -1)
