"""Samples beside the training images they are nearest to."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from gm.figures.style import canvas, colour


def _picture(x: np.ndarray) -> np.ndarray:
    """`[n, C, H, W]` in 0..1 as `[n, H, W, 3]`: colour where there are three channels, else the first one in grey."""
    x = x if x.shape[1] == 3 else np.repeat(x[:, :1], 3, axis=1)
    return np.moveaxis(x, 1, -1)


def samples(groups: Sequence[Mapping], low: float, high: float) -> Figure:
    """Per group a line of images and, where it may be shown, below each its nearest training image.

    Arguments:
        groups: per group `name`, `family`, `x` `[n, C, H, W]` and, in all of them or in none, `nearest`
            `[n, C, H, W]` and `distance` `[n]` in levels.
        low: the value shown black.
        high: the value shown white.

    Returns:
        The figure.
    """
    count, (height, width) = max(1, *(len(group["x"]) for group in groups)), groups[0]["x"].shape[2:]
    gap = max(1, height // 4)
    slit = max(1, height // 8)
    double = "nearest" in groups[0]
    row = 2 * height + slit + 2 * gap if double else height + gap
    middle = (height + slit / 2 if double else height / 2) - 0.5
    page = np.ones((row * len(groups) - gap, count * (width + gap) - gap, 3))
    for i, group in enumerate(groups):
        for line, images in enumerate((group["x"], group["nearest"]) if double else (group["x"],)):
            shown = _picture(np.clip((images.astype(np.float64) - low) / (high - low), 0, 1))
            top = i * row + line * (height + slit)
            for j, image in enumerate(shown):
                left = j * (width + gap)
                page[top : top + height, left : left + width] = image
    names = max(1.6, 0.3 + 0.07 * max(len(group["name"]) for group in groups))
    figure = canvas(names + 0.6 * count, 0.3 + 0.6 * page.shape[0] / (width + gap))
    axes = figure.subplots()
    axes.imshow(page, interpolation="nearest")
    axes.set_axis_off()
    if not double:
        axes.set_title("confidential data: samples of models alone, no real image", loc="left", fontsize=9)
    for i, group in enumerate(groups):
        top = i * row
        label = group["name"] + ("" if len(group["x"]) else "\nno samples")
        axes.text(
            -gap,
            top + middle,
            label,
            ha="right",
            va="center",
            fontsize=8,
            color=colour(group["family"]),
        )
        for j, distance in enumerate(group["distance"] if double else ()):
            tint = "#c00000" if distance == 0 else "#555555"
            spot = (j * (width + gap) + width / 2 - 0.5, top + 2 * height + slit - 0.2)
            axes.text(*spot, f"{distance:.0f}" if distance >= 10 else f"{distance:.1f}", ha="center", va="top",
                      fontsize=7, color=tint)  # fmt: skip
    return figure
