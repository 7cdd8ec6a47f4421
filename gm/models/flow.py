"""A neural spline flow in the whitened coordinates of the copula."""

import copy
import math

import torch
from torch import Tensor, nn

from gm.densities.copula import Copula, dequantise
from gm.model import Bounds, Diverged, Event, History, Log, Model, Split
from gm.nets.average import move_average


class Flow(Model):
    """Cross-entropy fit of an exact density: an autoregressive rational-quadratic spline flow g in w,

        log p(y) = log N(g(w); 0, I) + log |dg/dw| + log |dw/dy|,

    where w(y) is whitened by a Gaussian copula with exact margins, so that a flow that is the identity is the
    copula, and all that is learnt is dependence. Dequantisation noise is drawn afresh at every step.

    References: C. Durkan, A. Bekasov, I. Murray and G. Papamakarios, "Neural spline flows" (2019); G. Papamakarios,
    T. Pavlakou and I. Murray, "Masked autoregressive flow for density estimation" (2017).

    Arguments:
        event: shape and levels.
        transforms: autoregressive layers, each after a random permutation of the pixels.
        hidden: width of the hidden layer of each conditioner.
        bins: spline bins on [-5, 5]; the identity outside.
    """

    family = "kl"
    serves = ("binary", "levels")

    def __init__(self, event: Event, *, transforms: int = 4, hidden: int = 192, bins: int = 5) -> None:
        from zuko.flows import NSF

        super().__init__(event)
        self.reference = Copula(*self.event)
        self.flow = NSF(
            self.event.dim,
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
        w_valid, jacobian = self._whitened(valid.x, generator)
        average, best = copy.deepcopy(self.flow), copy.deepcopy(self.flow)
        adam = torch.optim.AdamW(self.flow.parameters(), lr=rate, betas=(0.9, 0.99), weight_decay=decay)
        history, best_loss = History(evals={"gradient": steps * batch, "density": 0}), math.inf
        for step in range(1, steps + 1):
            for group in adam.param_groups:
                group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / steps))
            index = torch.randint(len(train.x), (batch,), generator=generator)
            w, log_jacobian = self._whitened(train.x[index], generator)
            loss = -self.flow().log_prob(w).mean() - log_jacobian.mean()
            if not torch.isfinite(loss):
                raise Diverged(f"the flow's loss is {loss.item()} at step {step} of {steps}")
            adam.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(self.flow.parameters(), 5.0)
            adam.step()
            move_average(average, self.flow, min(ema, step / (step + 9)))
            if step % every == 0 or step == steps:
                with torch.no_grad():
                    held_out = float(-(average().log_prob(w_valid) + jacobian).mean())
                if held_out < best_loss:
                    best_loss, best = held_out, copy.deepcopy(average)
                history.rows.append(
                    {"step": step, "loss": loss.item(), "valid_loss": held_out, "gradient_norm": norm.item()}
                )
                history.evals["density"] += len(w_valid)
            log(step, steps)
        self.flow.load_state_dict(best.state_dict())
        history.facts["valid_loss"] = best_loss
        return history

    def sample(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Exact draws: the flow inverted in float64 at normal noise, then w -> y, then the floor."""
        noise = torch.randn(n, self.event.dim, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            w = self._double()().transform.inv(noise)
        if not torch.isfinite(w).all():
            raise Diverged(f"{int((~torch.isfinite(w)).any(1).sum())} of {n} inverted flow samples are not finite")
        return self.reference.unwhiten(w).floor().long()

    def bounds(self, y: Tensor, *, generator: torch.Generator) -> Bounds:
        """The exact log density, evaluated in float64."""
        with torch.no_grad():
            log_prob = self._double()().log_prob(self.reference.whiten(y))
        return Bounds.exact(log_prob + self.reference.log_jacobian(y), density=len(y))

    def _double(self) -> nn.Module:
        return copy.deepcopy(self.flow).double()

    def _whitened(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Dequantise with fresh noise: w in float32 and log |dw/dy| in float64."""
        y = dequantise(x, generator=generator)
        return self.reference.whiten(y).float(), self.reference.log_jacobian(y)
