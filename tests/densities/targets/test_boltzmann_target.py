import pytest
import torch
from problems import generator, z_score

from gm.densities.targets.boltzmann import RBM, DigitsRBM
from gm.sampling.anneal import ais
from gm.sampling.sandwich import sandwich


def states(n: int) -> torch.Tensor:
    return (torch.arange(2**n)[:, None] >> torch.arange(n) & 1).double()


def machine(visible: int, hidden: int, *, seed: int = 0) -> RBM:
    g = generator(seed)
    shapes = {"weight": (visible, hidden), "visible": (visible,), "hidden": (hidden,), "base": (visible,)}
    drawn = {name: torch.randn(shape, generator=g, dtype=torch.float64) for name, shape in shapes.items()}
    return RBM(**drawn, constant=0.6)


@pytest.fixture(scope="module")
def digits() -> DigitsRBM:
    return DigitsRBM(hidden=10, steps=400)


def test_log_z_is_the_sum_over_visible_states() -> None:
    rbm = machine(7, 5)
    assert rbm.log_z == pytest.approx(float(rbm.log_prob(states(7)).logsumexp(0)), abs=1e-11)
    v, h = states(7), states(5)
    joint = 0.6 + (v @ rbm.visible)[:, None] + h @ rbm.hidden + v @ rbm.weight @ h.T
    torch.testing.assert_close(rbm.log_prob(v), joint.logsumexp(1))


def test_draws() -> None:
    """Chi-squared of 60000 draws over 16 states below its 1 - 1e-4 quantile at 15 degrees of freedom, 44.3."""
    rbm = machine(4, 3, seed=1)
    drawn = rbm.sample(60_000, generator=generator(0))
    expected = 60_000 * (rbm.log_prob(states(4)) - rbm.log_z).exp()
    count = torch.bincount((drawn @ torch.tensor([1.0, 2, 4, 8])).long(), minlength=16)
    assert ((count - expected).square() / expected).sum() < 44.3
    assert drawn.dtype == torch.float32


def test_gradient() -> None:
    rbm = machine(6, 4)
    x = torch.randn(3, 2, 6, generator=generator(1), dtype=torch.float64, requires_grad=True)
    inputs = rbm.hidden + x @ rbm.weight
    value = 0.6 + x @ rbm.visible + (1 + inputs.exp()).log().sum(-1)
    found = rbm.value_and_grad(x.detach())
    torch.testing.assert_close(found[0], value.detach())
    torch.testing.assert_close(found[1], torch.autograd.grad(value.sum(), x)[0])


def test_path_ends_at_the_target_with_its_constant() -> None:
    """The draws of the base have its rates: 6 z-scores below 4.4, false alarm 7e-5."""
    rbm = machine(6, 4)
    assert z_score(rbm.draw_base(5000, generator=generator(3)), rbm.base.sigmoid()).abs().max() < 4.4
    path = rbm.path()
    state = path.init(states(6).float())
    assert float(path.log_prob(state, 0.0).logsumexp(0)) == pytest.approx(0, abs=1e-11)
    torch.testing.assert_close(path.log_prob(state, 1.0), rbm.log_prob(states(6)))


def test_annealing_encloses_log_z(digits: DigitsRBM) -> None:
    """Each certified end fails with probability 1e-3."""
    g, path = generator(2), digits.path()
    lams, kernel = torch.linspace(0, 1, 151, dtype=torch.float64), digits.kernel(path)
    forward = ais(path, lambda t: kernel, lams, digits.draw_base(256, generator=g), generator=g)
    back = ais(path, lambda t: kernel, lams, digits.sample(256, generator=g), generator=g, reverse=True)
    found = sandwich(forward.log_w.view(32, 8), back.log_w.view(32, 8), 1e-3, exact=True)
    assert found.lower <= digits.log_z <= found.upper < found.lower + 2


def test_training_learns_digits_and_repeats(digits: DigitsRBM) -> None:
    from sklearn.datasets import load_digits

    x = torch.from_numpy(load_digits(return_X_y=True)[0] >= 8).double()
    rates = digits.base.sigmoid()
    independent = (x @ rates.log() + (1 - x) @ (1 - rates).log()).mean()
    assert (digits.log_prob(x) - digits.log_z).mean() > independent + 2
    again = DigitsRBM(hidden=10, steps=400)
    assert torch.equal(again.weight, digits.weight) and again.identity == digits.identity
    assert again.parameters == {"hidden": 10, "seed": 0, "steps": 400, "constant": 1.5}


def test_too_many_hidden_units_are_refused() -> None:
    with pytest.raises(ValueError, match="21 hidden units is not enumerated; expected at most 20"):
        RBM(weight=torch.zeros(2, 21), visible=torch.zeros(2), hidden=torch.zeros(21))
