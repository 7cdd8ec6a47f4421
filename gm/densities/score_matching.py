"""Denoising score matching of exponential tilts, in closed form."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def score_matching(
    moments: Callable[[Tensor], Tensor],
    w: Tensor,
    *,
    noise: float,
    batch: int = 250,
    probes: int | None = None,
    generator: torch.Generator,
) -> Tensor:
    r"""The multiplier by denoising score matching, in closed form.

    With x = a w + s xi, a^2 + s^2 = 1, the reference N(0, I) stays what it is, and the tilt's score -x - J(x)' lambda
    is regressed on that of the noise, -xi / s:

        lambda = E[J J']^-1 E[J (xi / s - x)],    J = dT/dx,

    by pairs +-xi, which cancel most of the noise. It is the multiplier of the data smoothed by the noise, so shrunk (by
    a, where T is linear): a start. Without noise, integration by parts would need a density without jumps, and
    that of dequantised integers jumps at the borders of their cells.

    In many dimensions J J' is averaged over random directions v ~ N(0, I) instead, since E[(J v)(J v)'] = J J'.

    References: A. Hyvarinen, "Estimation of non-normalized statistical models by score matching" (2005); P. Vincent, "A
    connection between score matching and denoising autoencoders" (2011); Y. Song, S. Garg, J. Shi and S. Ermon,
    "Sliced score matching: a scalable approach to density and score estimation" (2019), for the directions.

    Arguments:
        moments: T, row-wise, `[B, D]` to `[B, p]`, differentiable by forward mode.
        w: data `[N, D]`.
        noise: s, in (0, 1).
        batch: rows whose Jacobians are held at once.
        probes: random directions for each row and sign; None: all D axes, without noise from directions.
        generator: source of xi and v.

    Returns:
        lambda `[p]`.
    """
    a, eye = math.sqrt(1 - noise**2), torch.eye(w.shape[1], dtype=w.dtype, device=w.device)
    gram, cross = 0.0, 0.0

    def along(x: Tensor, v: Tensor) -> Tensor:
        return torch.func.jvp(moments, (x,), (v,))[1]

    for rows in w.split(batch):
        xi = torch.randn(rows.shape, generator=generator, dtype=w.dtype, device=generator.device).to(w.device)
        for signed in (xi, -xi):
            x = a * rows + noise * signed
            residual = signed / noise - x
            if probes is None:
                columns = torch.stack([along(x, e.expand_as(x)) for e in eye], 2)
                cross = cross + torch.einsum("bpd,bd->p", columns, residual).double()
            else:
                shape = (probes, *x.shape)
                directions = torch.randn(shape, generator=generator, dtype=w.dtype, device=generator.device)
                directions = directions.to(w.device)
                columns = torch.stack([along(x, v) for v in directions], 2) / math.sqrt(probes)
                cross = cross + along(x, residual).sum(0).double()
            gram = gram + torch.einsum("bpd,bqd->pq", columns, columns).double()
    gram = gram + 1e-6 * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype, device=w.device)
    return torch.linalg.solve(gram, cross).to(w.dtype)
