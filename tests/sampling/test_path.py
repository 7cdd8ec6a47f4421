import pytest
import torch
from problems import LinearTilt, generator

from gm.sampling.path import Geometric, StandardNormal


def test_standard_normal_is_the_normal_log_density() -> None:
    x = torch.randn(5, 7, generator=generator(0))
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x.double()).sum(-1)
    torch.testing.assert_close(StandardNormal()(x), expected)


def test_a_tilted_path_is_the_path_to_base_minus_tilt() -> None:
    problem = LinearTilt(torch.tensor([0.5, -1.0, 2.0]))
    x = torch.randn(4, 3, generator=generator(0))
    tilted = Geometric.tilted(problem.tilt).init(x)
    explicit = Geometric(lambda x: -x.square().sum(-1) / 2, lambda x: -x.square().sum(-1) / 2 - problem.tilt(x)).init(x)
    torch.testing.assert_close(tilted.du, explicit.du)
    torch.testing.assert_close(tilted.u.diff(dim=-1), explicit.u.diff(dim=-1), rtol=1e-5, atol=1e-5)


def test_temperatures_broadcast_over_rows() -> None:
    path = Geometric.tilted(LinearTilt(torch.tensor([0.5, -1.0])).tilt)
    state = path.init(torch.randn(3, 2, generator=generator(0)))
    lams = torch.tensor([0.0, 0.3, 1.0])
    for row, lam in enumerate(lams.tolist()):
        torch.testing.assert_close(path.log_prob(state, lams)[row], path.log_prob(state, lam)[row])
        torch.testing.assert_close(path.gradient(state, lams)[row], path.gradient(state, lam)[row])


def test_evaluation_leaves_no_graph_and_no_parameter_gradient() -> None:
    net = torch.nn.Linear(3, 1)
    with torch.no_grad():
        state = Geometric.tilted(lambda x: net(x)[..., 0]).init(torch.zeros(2, 3))
    assert net.weight.grad is None
    assert not any(tensor.requires_grad for tensor in state)


def test_one_value_per_row_is_required() -> None:
    with pytest.raises(ValueError, match=r"returned shape \(2, 1\).*expected one value per row, \(2,\)"):
        Geometric.tilted(lambda x: x.sum(-1, keepdim=True)).init(torch.zeros(2, 3))
