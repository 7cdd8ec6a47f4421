"""Ising chain and torus: spins whose partition function is known in closed form at any size."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from gm.densities.targets.target import Target
from gm.sampling.gibbs import BlockGibbs, Units, uniforms
from gm.sampling.path import State


@dataclass(frozen=True, eq=False)
class SpinPath:
    r"""The geometric path from independent fair spins to an Ising model whose graph has two colours.

    .. math:: \log \pi_\lambda(x) = -(1 - \lambda)\, d \ln 2 + \lambda \log p(x), \qquad
        \text{logit}\, \pi_\lambda(x_i = 1 \mid \text{rest}) = 2 \lambda \Big( J \sum_{j \sim i} x_j + h \Big)

    A sweep draws one colour, the other, and the first again: a palindrome, so that it is reversible.
    """

    target: "Ising"

    @property
    def sizes(self) -> tuple[int, ...]:
        """Spins of the first colour, the second, and the first."""
        first, second = (len(sites) for sites in self.target.colours)
        return first, second, first

    def init(self, x: Tensor) -> State:
        """Both ends at spins `[..., d]`; gradients are empty, `[..., 2, 0]`."""
        v = self.target.log_prob(x)
        u = torch.stack([torch.full_like(v, -self.target.dim * math.log(2)), v], -1)
        return State(x, u, x.new_zeros(*x.shape[:-1], 2, 0))

    def log_prob(self, state: State, lam: float | Tensor) -> Tensor:
        """log pi_lam per row, float64 `[...]`; `lam` is a number or broadcasts over the rows."""
        return (1 - lam) * state.u[..., 0] + lam * state.u[..., 1]

    def sweep(self, state: State, lam: Tensor, noise: Units) -> State:
        """Redraw the colours in turn at temperatures `[..., 1]`."""
        target, x = self.target, state.x.clone()
        for sites, u in zip((*target.colours, target.colours[0]), noise.u, strict=True):
            logit = 2 * lam * (target.coupling * target.neighbour_sum(x, sites).double() + target.field)
            x[..., sites] = torch.where(u < logit.sigmoid(), 1.0, -1.0).to(x)
        return self.init(x)


class Ising(Target):
    r"""Spins x in {-1, 1}^d on a graph with two colours:

    .. math:: \log p(x) = \text{constant} + J \sum_{i \sim j} x_i x_j + h \sum_i x_i

    Its log Z is the log of a sum over the 2^d states. The gradient is that of this polynomial.

    Arguments:
        neighbours: sites next to each site, long `[d, k]`; d stands for none.
        colour: 0 or 1 for each site, equal for no two neighbours, long `[d]`.
        coupling: J.
        field: h.
        log_z: without the constant.
        constant: declared shift of log p, in nats.
        mode_weights: see `Target`.
    """

    kind = "spins"

    def __init__(
        self,
        *,
        neighbours: Tensor,
        colour: Tensor,
        coupling: float,
        field: float,
        log_z: float,
        constant: float,
        mode_weights: Tensor | None = None,
    ) -> None:
        self.neighbours, self.colour, self.coupling, self.field = neighbours, colour, float(coupling), float(field)
        log_z = log_z + constant
        super().__init__(dim=len(colour), spread=1.0, log_z=log_z, constant=constant, mode_weights=mode_weights)

    @property
    def colours(self) -> tuple[Tensor, Tensor]:
        """Sites of each colour."""
        return tuple((self.colour == c).nonzero()[:, 0] for c in (0, 1))

    def neighbour_sum(self, x: Tensor, sites: Tensor) -> Tensor:
        """Sum of the spins next to each of `sites` `[s]`, `[..., s]`."""
        padded = torch.nn.functional.pad(x, (0, 1))
        return sum(padded[..., column] for column in self.neighbours[sites].T)

    def value_and_grad(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log p, float64 `[...]`, and the gradient of its polynomial, `[..., d]`."""
        total = self.neighbour_sum(x, torch.arange(self.dim, device=x.device))
        # each bond is met from both of its ends
        energy = 0.5 * self.coupling * (x * total).double().sum(-1) + self.field * x.double().sum(-1)
        return self.constant + energy, self.coupling * total + self.field

    def path(self) -> SpinPath:
        """The path from independent fair spins."""
        return SpinPath(self)

    def kernel(self, path: SpinPath) -> BlockGibbs:
        """The checkerboard sweep."""
        return BlockGibbs(path)

    def draw_base(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Independent fair spins, float32 `[n, d]`."""
        return torch.where(uniforms((n, self.dim), self.colour, generator) < 0.5, 1.0, -1.0)


class IsingChain(Ising):
    r"""The Ising chain, open or closed to a ring, by its transfer matrix.

    With T(s, s') = exp(J s s' + h s'), :math:`B_d(s, s_1) = e^{J s s_1}` on the ring and 1 on the open chain, and
    :math:`B_i = T B_{i+1}`,

    .. math:: Z = \sum_{s_1} e^{h s_1} B_1(s_1, s_1), \qquad p(x_{i+1} \mid x_i, x_1) \propto
        T(x_i, x_{i+1})\, B_{i+1}(x_{i+1}, x_1)

    Reference: Ising, Beitrag zur Theorie des Ferromagnetismus, 1925; Kramers and Wannier, Statistics of the
    two-dimensional ferromagnet, 1941.

    Arguments:
        dim: d, the number of spins; even and at least 4 on the ring.
        coupling: J.
        field: h.
        periodic: close the chain to a ring.
        constant: declared shift of log p, in nats.

    Raises:
        ValueError: if a ring has no two colours.

    Example:
        >>> chain = IsingChain(dim=1000, coupling=0.8, constant=0.0)
        >>> abs(chain.log_z - 1000 * math.log(2) - 999 * math.log(math.cosh(0.8))) < 1e-9
        True
    """

    def __init__(
        self,
        *,
        dim: int = 1000,
        coupling: float = 1.0,
        field: float = 0.0,
        periodic: bool = False,
        constant: float = 1.5,
    ) -> None:
        if periodic and (dim % 2 or dim < 4):
            raise ValueError(f"a ring of dim = {dim} spins has no two colours; expected an even number, at least 4")
        site = torch.arange(dim)
        neighbours = torch.stack([site - 1, site + 1], 1)
        neighbours = neighbours % dim if periodic else torch.where(neighbours < 0, dim, neighbours)
        spin = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        bond = coupling * spin[:, None] * spin
        transfer, start = (bond + field * spin).exp(), (field * spin).exp()
        message, scale, up = bond.exp() if periodic else torch.ones_like(bond), 0.0, []
        for _ in range(dim - 1):
            # probability of the next spin up, given this one and the first
            ahead = transfer @ message
            up.append(transfer[:, 1:] * message[1] / ahead)
            scale += math.log(ahead.sum())
            message = ahead / ahead.sum()
        first = start * message.diagonal()
        self.first = first[1] / first.sum()
        self.up = torch.stack(up[::-1]) if up else bond.new_zeros(0, 2, 2)
        super().__init__(
            neighbours=neighbours,
            colour=site % 2,
            coupling=coupling,
            field=field,
            log_z=scale + math.log(first.sum()),
            constant=constant,
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws, one spin after the other, float32 `[n, d]`."""
        u = uniforms((self.dim, n), self.colour, generator)
        spins = [(u[0] < self.first).long()]
        for i in range(1, self.dim):
            spins.append((u[i] < self.up[i - 1, spins[-1], spins[0]]).long())
        return 2.0 * torch.stack(spins, 1) - 1.0


class IsingTorus(Ising):
    r"""The Ising model on the square torus, without a field: two modes, of spins up and of spins down.

    log Z is Kaufman's, at any size. Exact draws go row by row through powers of the transfer matrix between the 2^L
    states of a row, so they stop at L = 10. The infinite lattice is critical at J = ln(1 + sqrt 2) / 2 = 0.4407.

    Arguments:
        side: L, the torus having d = L^2 spins; even, at least 4.
        coupling: J, positive.
        constant: declared shift of log p, in nats.

    Raises:
        ValueError: if the side is odd or too small, or the coupling not positive.

    Example:
        >>> torus = IsingTorus(side=8, coupling=0.44)
        >>> path = torus.path()
        >>> state = path.init(torus.draw_base(5, generator=torch.Generator().manual_seed(0)))
        >>> bool((path.log_prob(state, 0.0) == -64 * math.log(2)).all())
        True
    """

    largest = ("side", 10)  # with exact draws

    def __init__(self, *, side: int = 8, coupling: float = 0.44, constant: float = 1.5) -> None:
        if side % 2 or side < 4:
            raise ValueError(f"a torus of side = {side} has no two colours; expected an even side, at least 4")
        self.side = side
        site = torch.arange(side**2).reshape(side, side)
        neighbours = torch.stack([site.roll(shift, axis).flatten() for axis in (0, 1) for shift in (1, -1)], 1)
        super().__init__(
            neighbours=neighbours,
            colour=(torch.arange(side)[:, None] + torch.arange(side)).flatten() % 2,
            coupling=coupling,
            field=0.0,
            log_z=kaufman(side, side, coupling),
            constant=constant,
            mode_weights=torch.full((2,), 0.5, dtype=torch.float64),
        )

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws row by row, float32 `[n, d]`: r_1 ~ diag T^L, then r_i ~ T(r_{i-1}, r_i) T^{L-i+1}(r_i, r_1).

        Raises:
            ValueError: if the side is larger than 10.
        """
        L, device = self.side, self.colour.device
        _, most = self.largest
        if most < L:
            raise ValueError(f"exact draws of a torus of side = {L}; expected at most {most}")
        rows = 2.0 * (torch.arange(2**L, device=device)[:, None] >> torch.arange(L, device=device) & 1).double() - 1
        within = self.coupling * (rows * rows.roll(1, 1)).sum(1)
        transfer = (self.coupling * rows @ rows.T + within).exp()
        transfer = transfer / transfer.max()
        powers = [transfer]
        for _ in range(L - 1):
            product = powers[-1] @ transfer
            powers.append(product / product.max())
        u = uniforms((L, n), self.colour, generator)
        drawn = [_choose(powers[-1].diagonal().expand(n, -1), u[0])]
        for i in range(1, L):
            drawn.append(_choose(transfer[drawn[-1]] * powers[L - 1 - i].T[drawn[0]], u[i]))
        return rows[torch.stack(drawn, 1)].reshape(n, self.dim).float()

    def mode(self, x: Tensor) -> Tensor:
        """0 where most spins are down, else 1; the first spin decides a tie, so that the two are as likely."""
        return (x.sum(-1) + 0.5 * x[..., 0] > 0).long()


def _choose(weight: Tensor, u: Tensor) -> Tensor:
    """An index `[n]` with probability proportional to each row of weights `[n, K]`."""
    total = weight.cumsum(-1)
    return torch.searchsorted(total, (u * total[:, -1])[:, None], right=True)[:, 0].clamp(max=weight.shape[1] - 1)


def kaufman(rows: int, columns: int, coupling: float) -> float:
    r"""log Z of the Ising model on a torus without a field.

    .. math:: Z = \tfrac12 (2 \sinh 2J)^{nm/2} \Big[ \prod_r 2\cosh \tfrac m2 \gamma_{2r+1} + \prod_r 2\sinh \tfrac m2
        \gamma_{2r+1} + \prod_r 2\cosh \tfrac m2 \gamma_{2r} + \prod_r 2\sinh \tfrac m2 \gamma_{2r} \Big]

    over r = 0..n-1, with :math:`\cosh \gamma_k = \cosh 2J \coth 2J - \cos(\pi k / n)`, all positive but
    :math:`\gamma_0 = 2J + \ln \tanh J`, which changes its sign at the critical coupling.

    Reference: Kaufman, Crystal statistics II: partition function evaluated by spinor analysis, 1949.

    Arguments:
        rows: n.
        columns: m.
        coupling: J, positive.

    Returns:
        log Z, in nats.

    Raises:
        ValueError: if the coupling is not positive.
    """
    if not coupling > 0:
        raise ValueError(f"the torus has coupling = {coupling}; expected a positive number")
    k = torch.arange(2 * rows, dtype=torch.float64)
    cosh = math.cosh(2 * coupling) / math.tanh(2 * coupling) - torch.cos(math.pi * k / rows)
    gamma = torch.acosh(cosh.clamp(min=1))
    gamma[0] = 2 * coupling + math.log(math.tanh(coupling))
    half = columns / 2 * gamma.abs()
    log_cosh = half + torch.log1p(torch.exp(-2 * half))
    log_sinh = half + torch.log(-torch.expm1(-2 * half))
    logs = torch.stack([part[start::2].sum() for start in (1, 0) for part in (log_cosh, log_sinh)])
    signs = torch.ones(4, dtype=torch.float64)
    signs[3] = torch.sign(gamma[0])
    largest = logs.max()
    bracket = float(largest + ((logs - largest).exp() * signs).sum().log())
    return rows * columns / 2 * math.log(2 * math.sinh(2 * coupling)) + bracket - math.log(2)
