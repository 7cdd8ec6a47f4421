"""Deep convolutional representations whose moments a maximum-entropy model matches: random, or learned from labels."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Representation(nn.Module):
    """A smooth convolutional network, and the statistics that are read off it.

    Maps h_1 = s(a_1 * z), h_2 = s(a_2 * h_1), h_{l+1} = s(a_{l+1} * pool(h_l)) with s = SiLU, 3 x 3 filters and 2 x 2
    average pooling, and linear units v = A h_L + b on the last one. Its statistics are coarse spatial averages, over
    quadrants, of h_l and of sqrt(1 + h_l^2), for every channel of every layer, and, for the units, v_i,
    sqrt(1 + v_i^2), sqrt(1 + (v_i - v_j)^2) for i < j, and log sum exp v. First-order averages alone say little to a
    reference that has the means and covariances already; the smooth absolute values are second-order statistics
    of linear growth. SiLU has slope at most 1.1, so every statistic is Lipschitz in z.

    References: I. Ustyuzhaninov, W. Brendel, L. Gatys and M. Bethge, "What does it take to generate natural
    textures?" (2017), for random filters; Y. Lu, S.-C. Zhu and Y. N. Wu, "Learning FRAME models using CNN filters"
    (2016); V. De Bortoli, A. Desolneux, B. Galerne and A. Leclaire, "Macrocanonical models for texture synthesis"
    (2019), for the maximum-entropy model of averaged responses.

    Arguments:
        shape: event shape (C, H, W), with min(H, W) at least 2^(len(channels) - 1), and 2.
        channels: channels of each layer.
        units: number of linear units; at least the number of classes, if they are to be learned.

    Example:
        >>> net = Representation((1, 8, 8), channels=(2, 3), units=4)
        >>> net.initialise(generator=torch.Generator().manual_seed(0)).statistics(torch.zeros(5, 1, 8, 8)).shape
        torch.Size([5, 55])
    """

    def __init__(self, shape: tuple[int, int, int], *, channels: Sequence[int] = (8, 16, 32), units: int = 10) -> None:
        super().__init__()
        height, width = (size >> max(len(channels) - 2, 0) for size in shape[1:])
        if not channels or min(height, width) < 2:
            raise ValueError(
                f"{len(channels)} layers shrink {shape[1]} x {shape[2]} pixels to {height} x {width}; expected at "
                "least one layer, and quadrants in the last one"
            )
        ends = [shape[0], *channels]
        sizes = zip(ends[:-1], channels, strict=True)
        self.filters = nn.ParameterList(torch.zeros(out, inward, 3, 3) for inward, out in sizes)
        self.biases = nn.ParameterList(torch.zeros(out) for out in channels)
        self.head = nn.Parameter(torch.zeros(units, channels[-1] * height * width))
        self.offset = nn.Parameter(torch.zeros(units))
        self.requires_grad_(False)

    def initialise(self, *, gain: float = 1.5, generator: torch.Generator) -> "Representation":
        """Draw filters and units from N(0, gain^2 / fan-in), and the layers' biases from N(0, 0.3^2)."""
        with torch.no_grad():
            for weight in [*self.filters, self.head]:
                weight.normal_(0, gain / math.sqrt(weight[0].numel()), generator=generator)
            for bias in self.biases:
                bias.normal_(0, 0.3, generator=generator)
        return self

    def maps(self, z: Tensor) -> list[Tensor]:
        """h_1, ..., h_L of images `[B, C, H, W]`: `[B, channels, H, W]`, halved at every layer after the second."""
        found: list[Tensor] = []
        for weight, bias in zip(self.filters, self.biases, strict=True):
            inward = found[-1] if found else z
            inward = functional.avg_pool2d(inward, 2) if len(found) > 1 else inward
            found.append(functional.silu(functional.conv2d(inward, weight, bias, padding=1)))
        return found

    def forward(self, z: Tensor) -> Tensor:
        """The units v `[B, units]`: logits, once learned."""
        return functional.linear(self.maps(z)[-1].flatten(1), self.head, self.offset)

    def statistics(self, z: Tensor) -> Tensor:
        """All statistics (see the class) of images `[B, C, H, W]`, shape `[B, P]`."""
        maps = self.maps(z)
        v = functional.linear(maps[-1].flatten(1), self.head, self.offset)
        i, j = torch.triu_indices(v.shape[1], v.shape[1], 1, device=v.device)
        pooled = [_quadrants(h) for h in maps] + [_quadrants(_smooth_abs(h)) for h in maps]
        return torch.cat([*pooled, v, _smooth_abs(v), _smooth_abs(v[:, i] - v[:, j]), v.logsumexp(1, keepdim=True)], 1)


def _quadrants(h: Tensor) -> Tensor:
    return functional.avg_pool2d(h, (h.shape[-2] // 2, h.shape[-1] // 2)).flatten(1)


def _smooth_abs(h: Tensor) -> Tensor:
    return (1 + h * h).sqrt()


def learn_labels(
    net: Representation,
    draw: Callable[[], tuple[Tensor, Tensor]],
    *,
    steps: int,
    rate: float = 3e-3,
    decay: float = 0.01,
    smoothing: float = 0.1,
) -> list[float]:
    """Train the units as logits by cross-entropy with smoothed labels (AdamW, cosine decay), then freeze the net.

    Reference: C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens and Z. Wojna, "Rethinking the Inception architecture"
    (2016), for label smoothing, which here keeps the logits from growing without end.

    Arguments:
        net: an initialised representation.
        draw: gives a batch: images `[b, C, H, W]`, and their classes `[b]` in `0..units-1`.
        steps: optimisation steps.
        rate: initial learning rate.
        decay: weight decay.
        smoothing: mass that smoothing spreads over the classes.

    Returns:
        The loss at every step, nats.

    Raises:
        ValueError: if a class has no unit.
    """
    net.requires_grad_(True)
    adam = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    losses = []
    with torch.enable_grad():
        for _ in range(steps):
            z, label = draw()
            if int(label.max()) >= len(net.offset):
                raise ValueError(f"found class {int(label.max())}; expected less than units = {len(net.offset)}")
            loss = functional.cross_entropy(net(z), label, label_smoothing=smoothing)
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
            losses.append(float(loss.detach()))
    net.requires_grad_(False)
    return losses
