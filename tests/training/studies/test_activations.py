"""Activations against their formulas and their gradients; what the study measures of them."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from studies import activations
from studies.activations import NAMES, Shift, make_activation, make_mlp, make_recogniser, probe, slope
from studies.images import Part
from studies.report import Options
from tianzi_training.ocr.activations import ACTIVATIONS, Gated

FORMULAS: dict[str, Callable[[float], float]] = {
    "relu": lambda x: max(x, 0.0),
    "swish": lambda x: x / (1 + math.exp(-x)),
    "gelu": lambda x: x * (1 + math.erf(x / math.sqrt(2))) / 2,
    "damped": lambda x: x * min(1.0, math.exp(x)),
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "tanh": lambda x: (math.exp(2 * x) - 1) / (math.exp(2 * x) + 1),
    "leaky-relu": lambda x: x if x > 0 else 0.01 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
}
POINTS = (-6.0, -2.5, -1.0, -0.3, 0.2, 1.0, 3.7)


def test_every_activation_has_its_formula() -> None:
    assert set(FORMULAS) == set(ACTIVATIONS) and [*ACTIVATIONS, "glu"] == NAMES


@pytest.mark.parametrize("name", FORMULAS)
def test_an_activation_is_its_formula_and_has_its_gradient(name: str) -> None:
    x = torch.tensor(POINTS, dtype=torch.float64, requires_grad=True)
    module = make_activation(name)
    expected = torch.tensor([FORMULAS[name](value) for value in POINTS], dtype=torch.float64)
    torch.testing.assert_close(module(x).detach(), expected, atol=1e-12, rtol=0)
    assert torch.autograd.gradcheck(module, x)
    h = 1e-6
    numeric = [(FORMULAS[name](value + h) - FORMULAS[name](value - h)) / (2 * h) for value in POINTS]
    torch.testing.assert_close(slope(module, x.detach()), torch.tensor(numeric, dtype=torch.float64), atol=1e-8, rtol=0)


def test_the_gated_one() -> None:
    a, b = torch.randn(2, 3, 4, 4, dtype=torch.float64), torch.randn(2, 3, 4, 4, dtype=torch.float64)
    both = torch.cat([a, b], 1).requires_grad_()
    torch.testing.assert_close(Gated()(both).detach(), a / (1 + torch.exp(-b)))
    assert torch.autograd.gradcheck(Gated(), both)
    torch.testing.assert_close(slope(Gated(), both.detach()), 1 / (1 + torch.exp(-b)))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", [False, True])
def test_both_networks_have_the_activation_everywhere(name: str, norm: bool) -> None:
    crops = torch.randint(0, 256, (4, 1, 16, 16), dtype=torch.uint8)
    kind = type(make_activation(name))
    for net, hidden in ((make_mlp(name, norm, 256, 5), 6), (make_recogniser(name, norm, 16, 5), 5)):
        assert net(crops).shape[0] == 4
        assert sum(isinstance(module, kind) for module in net.modules()) == hidden
        assert any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in net.modules()) == norm
        assert any(isinstance(module, Shift) for module in net.modules()) != norm
        net(crops).sum().backward()
        assert all(p.grad is not None for p in net.parameters())


def test_sizes_of_the_gated_mlp_are_alike() -> None:
    sizes = [sum(p.numel() for p in make_mlp(name, True, 784, 10).parameters()) for name in ("relu", "glu")]
    # The first layer has more inputs than outputs, and is √2 wider.
    assert sizes[1] < 1.45 * sizes[0]


def test_saturation_and_gradients_are_measured() -> None:
    class Widen(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flatten(1).float()

    # Two inputs, −50 and 50, through weights of 1: half of the first layer's units are on the flat side of tanh′s …
    net = nn.Sequential(Widen(), nn.Linear(1, 2, bias=False), nn.Tanh(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[0.01], [1.0]]))
        net[3].weight.fill_(1.0)
        net[3].bias.copy_(torch.tensor([9.0, -9.0]))
    part = Part(np.full((8, 1, 1), 50, np.uint8), np.zeros(8, np.int64))
    flat, norms = probe(net, part)
    assert flat == 0.5  # … and so is one of two ReLUs
    assert norms.shape == (2,) and norms[1] > norms[0] > 0


def test_probing_leaves_the_network_as_it_was() -> None:
    net = make_mlp("relu", True, 4, 3)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    probe(net, Part(np.random.default_rng(0).integers(0, 256, (9, 2, 2)).astype(np.uint8), np.arange(9) % 3))
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_the_study_runs(options: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(activations, "NAMES", ["relu", "swish", "gelu", "damped", "glu"])
    table = activations.run(options)
    assert [row[0] for row in table.rows] == activations.NAMES
    assert sum("less relu" in note for note in table.notes) == 3
    with Image.open(options.figure("activations")) as picture:
        assert min(picture.size) > 500
