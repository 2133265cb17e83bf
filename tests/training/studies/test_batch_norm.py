"""Norms against PyTorch's, smoothness against quadratics whose L is known, and the study."""

from collections.abc import Callable, Sequence

import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from studies import batch_norm
from studies.norms import KINDS, Norm, make_net
from studies.report import Options
from studies.smoothness import Line, descends, largest_stable_rate, look_along, top_curvature

CURVATURES = torch.tensor([0.5, 3.0, -1.0], dtype=torch.float64)


def bowl(
    start: Sequence[float] = (1.0, 1.0, 1.0), curvatures: Tensor = CURVATURES
) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """½·Σ λ·x², its L is max |λ|."""
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    return lambda: 0.5 * (curvatures * x * x).sum(), [x]


@pytest.mark.parametrize("train", [True, False])
def test_both_parts_are_batch_norm(train: bool) -> None:
    own, theirs = Norm("batch", 5), nn.BatchNorm1d(5, affine=False)
    x = torch.randn(64, 5) * 3 + 2
    for _ in range(3):
        own(x), theirs(x)
    own.train(train), theirs.train(train)
    # PyTorch's running variance divides by n − 1, ours by n.
    torch.testing.assert_close(own(x), theirs(x), atol=1e-5 if train else 0.1, rtol=0)


def test_each_part_does_its_own() -> None:
    x = torch.randn(64, 5, dtype=torch.float64) * 3 + 2
    norms = {kind: Norm(kind, 5).double()(x) for kind in KINDS}
    torch.testing.assert_close(norms["mean"], x - x.mean(0))
    torch.testing.assert_close(norms["sigma"], x / (x.var(0, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(norms["layer"], nn.LayerNorm(5, elementwise_affine=False).double()(x))
    assert torch.equal(norms["none"], x) and torch.equal(norms["weight"], x)


def test_all_begin_with_the_same_weights() -> None:
    nets = []
    for kind in KINDS:
        torch.manual_seed(0)
        nets.append(make_net(kind, 16, 3, units=8, depth=3))
    for net in nets:
        dense = [module for module in net.modules() if isinstance(module, nn.Linear)]
        first = [module for module in nets[0].modules() if isinstance(module, nn.Linear)]
        for one, other in zip(dense, first, strict=True):
            torch.testing.assert_close(one.weight, other.weight)
    sizes = {kind: len(list(net.parameters())) for kind, net in zip(KINDS, nets, strict=True)}
    assert sizes["weight"] == sizes["none"] + 3  # a length for each hidden layer's rows


def test_the_bound_of_a_quadratic_is_its_curvature_along_the_gradient() -> None:
    loss, parameters = bowl()
    line = look_along(loss, parameters, (0.1, 0.3, 1.0))
    gradient = CURVATURES
    along = float((gradient * CURVATURES * gradient).sum() / (gradient @ gradient))
    assert line.slope == pytest.approx(float(gradient @ gradient))
    assert line.bound == pytest.approx(along)
    assert parameters[0].tolist() == [1, 1, 1]
    assert Line(1.0, 0.0, (0.1,), [1.0]).bound == 0


def test_the_bound_holds_wherever_it_was_looked() -> None:
    torch.manual_seed(0)
    net, x, y = make_net("batch", 9, 3, units=8, depth=2), torch.randint(0, 256, (20, 1, 3, 3)), torch.arange(20) % 3
    rates = (0.05, 0.2, 0.8)
    line = look_along(lambda: nn.functional.cross_entropy(net(x), y), list(net.parameters()), rates)
    for rate, loss in zip(rates, line.losses, strict=True):
        assert loss <= line.start - rate * line.slope + 0.5 * line.bound * rate**2 * line.slope + 1e-6


def test_the_top_curvature_of_a_quadratic() -> None:
    assert top_curvature(*bowl()) == pytest.approx(3.0, rel=1e-6)
    downward = torch.tensor([0.5, 1.0, -4.0], dtype=torch.float64)
    assert top_curvature(*bowl(curvatures=downward)) == pytest.approx(4.0, rel=1e-6)
    saddle = torch.tensor([3.0, -3.0, 3.0], dtype=torch.float64)
    assert top_curvature(*bowl(curvatures=saddle), rounds=1) == pytest.approx(3.0, rel=1e-6)


def test_a_quadratic_descends_up_to_two_by_l() -> None:
    upward = torch.tensor([0.5, 4.0], dtype=torch.float64)
    limit = 2 / 4.0

    def begin() -> tuple[Callable[[], Tensor], list[Tensor]]:
        return bowl((0.0, 1.0), upward)

    assert descends(*begin(), 0.99 * limit, 40) and descends(*begin(), limit, 40)
    assert not descends(*begin(), 1.01 * limit, 40)
    assert look_along(*begin(), [0.1, 0.2, limit, 0.6, 0.7]).longest == limit
    assert largest_stable_rate(begin, 20, [0.1, 0.2, limit, 0.6, 0.7]) == limit
    assert largest_stable_rate(begin, 20, [1.0, 0.1]) == look_along(*begin(), [1.0]).longest == 0


def test_the_study_runs(options: Options) -> None:
    table = batch_norm.run(options)
    assert [row[0] for row in table.rows] == [batch_norm.TITLES[kind] for kind in KINDS]
    assert all(len(row) == len(table.columns) for row in table.rows)
    with Image.open(options.figure("batch-norm")) as picture:
        assert min(picture.size) > 500
