"""A neural spline flow in the whitened coordinates of the copula."""

import copy
import math

import torch
from torch import Tensor, nn

from gm.densities.copula import Copula, blockwise, dequantise, log_normal
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.average import move_average
from gm.nets.mlp import mlp
from gm.nets.steps import resumable
from gm.sampling.path import value_and_grad

ROWS = 512  # scored at once: a spline has 3 bins - 1 numbers for every coordinate of every row
CLIP = 2.0


class Splines(nn.Module):
    """A density of v `[B, D]`: splines for the first K coordinates, and given them an affine map of the others,

        log p(v) = log N(g(a); 0, I) + log |dg/da| + log N(n; 0, I) - sum s(a),    n = (b - m(a)) exp(-s(a)),

    with v = (a, b), g an autoregressive flow, and m and s a network with |s| <= 2. The inverse takes K passes.
    """

    def __init__(self, dim: int, leading: int, *, transforms: int, hidden: int, bins: int) -> None:
        from zuko.flows import NSF

        super().__init__()
        self.leading = leading
        self.flow = NSF(
            leading,
            transforms=transforms,
            bins=bins,
            hidden_features=(hidden,),
            activation=nn.SiLU,
            randperm=True,
        )
        for module in self.flow.modules():
            # a smaller last layer starts the flow nearer the identity, that is the copula
            if isinstance(module, nn.Sequential):
                with torch.no_grad():
                    module[-1].weight.mul_(0.5)
                    module[-1].bias.mul_(0.5)
        self.affine = mlp([leading, hidden, 2 * (dim - leading)]) if leading < dim else None
        if self.affine is not None:
            nn.init.zeros_(self.affine[-1].weight)
            nn.init.zeros_(self.affine[-1].bias)

    def log_prob(self, v: Tensor) -> Tensor:
        """Log density in nats, `[B, D]` to `[B]`."""
        a, b = v[:, : self.leading], v[:, self.leading :]
        value = self.flow().log_prob(a)
        if self.affine is None:
            return value
        shift, log_scale = self._shift_and_scale(a)
        return value + log_normal((b - shift) * torch.exp(-log_scale)) - log_scale.sum(1)

    def invert(self, noise: Tensor) -> Tensor:
        """v from N(0, I), `[B, D]`."""
        a = self.flow().transform.inv(noise[:, : self.leading])
        if self.affine is None:
            return a
        shift, log_scale = self._shift_and_scale(a)
        return torch.cat([a, shift + torch.exp(log_scale) * noise[:, self.leading :]], 1)

    def _shift_and_scale(self, a: Tensor) -> tuple[Tensor, Tensor]:
        shift, raw = self.affine(a).chunk(2, 1)
        return shift, CLIP * torch.tanh(raw / CLIP)


class Flow(Model):
    """Cross-entropy fit of an exact density: an autoregressive rational-quadratic spline flow g in w,

        log p(y) = log N(g(w); 0, I) + log |dg/dw| + log |dw/dy|,

    where w(y) is whitened by a Gaussian copula with exact margins, so that a flow that is the identity is the
    copula, and all that is learnt is dependence. Dequantisation noise is drawn afresh at every step.

    On large images the splines can be kept for the K leading principal axes of the copula's normal scores, where
    images differ most and whose inverse takes K passes and not D; the other axes are normal given these, with means
    and scales from a network (`Splines`). The axes are v = Q' w with Q orthogonal, which costs no determinant.

    References: C. Durkan, A. Bekasov, I. Murray and G. Papamakarios, "Neural spline flows" (2019); G. Papamakarios,
    T. Pavlakou and I. Murray, "Masked autoregressive flow for density estimation" (2017); L. Dinh, J. Sohl-Dickstein
    and S. Bengio, "Density estimation using Real NVP" (2017), for affine couplings.

    Arguments:
        event: shape and levels.
        transforms: autoregressive layers, each after a random permutation of the coordinates.
        hidden: width of the hidden layer of each conditioner.
        bins: spline bins on [-5, 5]; the identity outside.
        axes: K, leading axes that splines act on, at most D; None: splines on all of w, with no change of axes.
    """

    family = "kl"
    serves = ("binary", "levels")
    devices = ("cpu", "gpu")

    def __init__(
        self, event: Event, *, transforms: int = 4, hidden: int = 192, bins: int = 5, axes: int | None = None
    ) -> None:
        super().__init__(event)
        D = self.event.dim
        if axes is not None and not 0 < axes <= D:
            raise ValueError(f"'axes' is {axes}; expected None or 1..{D}, the number of pixels")
        self.reference, self.axes = Copula(*self.event), axes
        self.flow = Splines(D, axes or D, transforms=transforms, hidden=hidden, bins=bins)
        self.register_buffer("rotation", torch.zeros(0, 0, dtype=torch.float64))

    def fit(
        self,
        train: Split,
        valid: Split,
        *,
        steps: int = 400,
        batch: int = 64,
        rate: float = 5e-3,
        decay: float = 0.5,
        ema: float = 0.98,
        every: int = 25,
        generator: torch.Generator,
        log: Log,
    ) -> History:
        """AdamW with cosine decay on fresh noise; the averaged weights with the best validation loss are kept.

        Arguments:
            steps: optimisation steps.
            batch: images per step.
            rate: initial learning rate.
            decay: weight decay (decoupled).
            ema: decay of the weight average.
            every: steps between validations, on noise drawn once.

        Raises:
            Diverged: if the loss is not finite.
        """
        self.reference.estimate(train.x)
        if self.axes:
            self.rotation = _principal_axes(self.reference.factor)
        w_valid, jacobian = self._whitened(valid.x, generator)
        average, best = copy.deepcopy(self.flow), copy.deepcopy(self.flow)
        adam = torch.optim.AdamW(self.flow.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=decay)
        at = {"rows": [], "density": 0, "valid_loss": math.inf}
        for step in resumable(steps, log, at, self.flow, average, best, adam, generator):
            for group in adam.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            index = torch.randint(len(train.x), (batch,), generator=generator)
            w, log_jacobian = self._whitened(train.rows(index, generator=generator), generator)
            loss = -self.flow.log_prob(w).mean() - log_jacobian.mean()
            if not torch.isfinite(loss):
                raise Diverged(f"the flow's loss is {loss.item()} at step {step} of {steps}")
            adam.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.flow.parameters(), 5.0)
            adam.step()
            move_average(average, self.flow, min(ema, step / (step + 9)))
            if step % every == 0 or step == steps:
                with torch.no_grad():
                    held_out = float(-(blockwise(average.log_prob, w_valid, ROWS) + jacobian).mean())
                if held_out < at["valid_loss"]:
                    at["valid_loss"] = held_out
                    best.load_state_dict(average.state_dict())
                row = {"step": step, "loss": loss.item(), "valid_loss": held_out, "gradient_norm": norm.item()}
                at["rows"].append(row)
                at["density"] += len(w_valid)
        self.flow.load_state_dict(best.state_dict())
        evals = {"gradient": steps * batch, "density": at["density"]}
        return History(at["rows"], evals, {"valid_loss": at["valid_loss"]})

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws: the flow inverted in float64 at normal noise, then w -> y, then the floor."""
        noise = torch.randn(n, self.event.dim, generator=generator, dtype=torch.float64, device=generator.device)
        with torch.no_grad():
            w = self._from_axes(self._double().invert(noise.to(self.rotation.device)))
        if not torch.isfinite(w).all():
            raise Diverged(f"{int((~torch.isfinite(w)).any(1).sum())} of {n} inverted flow samples are not finite")
        return self.reference.unwhiten(w).floor().long()

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density, evaluated in float64."""
        with torch.no_grad():
            log_prob = blockwise(self._double().log_prob, self._to_axes(self.reference.whiten(y)), ROWS)
        return Bounds.exact(log_prob + self.reference.log_jacobian(y), density=len(y))

    def outlier_scores(self, y: Tensor, bounds: Bounds, *, generator: torch.Generator) -> dict[str, Tensor]:
        """`nll`, and `score_norm` = |grad_w log p(w)|, in the copula's whitened coordinates."""
        flow = self._double()

        def norm(v: Tensor) -> Tensor:
            return value_and_grad(flow.log_prob, v)[1].norm(dim=1)

        return {"nll": -bounds.lower, "score_norm": blockwise(norm, self._to_axes(self.reference.whiten(y)), ROWS)}

    def _double(self) -> Splines:
        return copy.deepcopy(self.flow).double()

    def _to_axes(self, w: Tensor) -> Tensor:
        return w @ self.rotation if self.axes else w

    def _from_axes(self, v: Tensor) -> Tensor:
        return v @ self.rotation.T if self.axes else v

    def _whitened(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Dequantise with fresh noise: v in float32 and log |dv/dy| in float64."""
        y = dequantise(x, generator=generator)
        return self._to_axes(self.reference.whiten(y)).float(), self.reference.log_jacobian(y)


def _principal_axes(factor: Tensor) -> Tensor:
    """Q, orthogonal `[D, D]`: v = Q' w are the principal components of z = L w, of variance 1, the widest first."""
    values, vectors = torch.linalg.eigh(factor @ factor.T)
    return factor.T @ (vectors / values.sqrt()).flip(1)
