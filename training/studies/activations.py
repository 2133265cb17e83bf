"""Hidden activations compared: accuracy, saturated units and gradients by depth, with and without BN."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from studies.fitting import Recipe, as_tensors, fit_seeds, share_right
from studies.images import Data, Part, read_digits, render_characters
from studies.report import Options, Table, mean_sd, save, show_interval, subplots
from tianzi_training.ocr.activations import ACTIVATIONS, Gated
from tianzi_training.ocr.data.charset import CONFUSABLE
from tianzi_training.ocr.net import ConvBlock, OcrNet

NAMES = [*ACTIVATIONS, "glu"]
CLAIMED = ("swish", "damped", "gelu")  # smooth, and not flat about 0
RATES = (1e-3, 4e-3)
MLP, OCR = Recipe(epochs=4, batch=64, rate=0.0), Recipe(epochs=5, batch=32, rate=0.0)
FLAT = 0.05  # a unit is saturated where its slope is less
DEPTH, WIDTH, DIGITS, CHARACTERS = 6, 64, 1500, 30  # digits learnt from, characters told apart
PROBE = 256  # pictures that slopes and gradients are measured on


@dataclass(frozen=True)
class Result:
    """One setting. scores: test, a seed each. curve: validation after each epoch, mean. gradients: by depth, at the
    start, the last hidden layer's as 1. flat: share of saturated units, at the start and the end.
    """

    scores: list[float]
    curve: npt.NDArray[np.float64]
    gradients: npt.NDArray[np.float64]
    flat: tuple[float, float]
    rate: float


class Shift(nn.Module):
    """What is left of a norm without the norm: a bias a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, …)."""
        return x + self.bias.view(1, -1, *[1] * (x.dim() - 2))


class GatedBlock(ConvBlock):
    """ConvBlock with GLU: twice the channels, half of them gates; its input is added behind the gate."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__(channels_in, 2 * channels, stride, "relu")
        self.activation, self.residual = Gated(), stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation(self.norm(self.conv(x)))
        return x + y if self.residual else y


class Pixels(nn.Module):
    """Pictures (N, 1, H, W) uint8 → (N, H·W), 0 to 1."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).float() / 255


def make_activation(name: str) -> nn.Module:
    """A module of NAMES."""
    return Gated() if name == "glu" else ACTIVATIONS[name]()


def make_mlp(name: str, norm: bool, pixels: int, classes: int) -> nn.Module:
    """DEPTH hidden layers. With GLU they are narrower by √2, so that the weights are about as many."""
    units = round(WIDTH / math.sqrt(2)) if name == "glu" else WIDTH
    wide = units * (2 if name == "glu" else 1)
    layers: list[nn.Module] = [Pixels()]
    for inputs in [pixels] + [units] * (DEPTH - 1):
        layers += [
            nn.Linear(inputs, wide, bias=False),
            nn.BatchNorm1d(wide) if norm else Shift(wide),
            make_activation(name),
        ]
    net = nn.Sequential(*layers, nn.Linear(units, classes))
    initialise(net, name)
    return net


def make_recogniser(name: str, norm: bool, crop_px: int, classes: int) -> nn.Module:
    """The product's network, made small. With GLU its convolutions have twice the channels."""
    net = OcrNet(classes, crop_px, (8, 16, 32), (0, 1, 1), 32)
    for number, block in enumerate(net.features):
        assert isinstance(block, ConvBlock)
        if name == "glu":
            conv = block.conv
            net.features[number] = GatedBlock(conv.in_channels, conv.out_channels, conv.stride[0])
        else:
            block.activation = make_activation(name)
    if not norm:
        for parent in list(net.modules()):
            for key, child in parent.named_children():
                if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
                    setattr(parent, key, Shift(child.num_features))
    initialise(net, name)
    return net


def initialise(net: nn.Module, name: str) -> None:
    """Weights of mean 0 whose variance keeps that of the signal, about: 1/n, or 2/n where half of it is cut off."""
    gain = 1.0 if name in ("sigmoid", "tanh", "selu") else math.sqrt(2)
    for module in net.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            fan_in = module.weight[0].numel()
            nn.init.normal_(module.weight, std=gain / math.sqrt(fan_in))


def probe(net: nn.Module, part: Part) -> tuple[float, npt.NDArray[np.float64]]:
    """Share of saturated units over all hidden layers, and ‖∂loss/∂(layer's input to its activation)‖ by depth."""
    kept: list[tuple[nn.Module, Tensor]] = []

    def keep(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        inputs[0].retain_grad()
        kept.append((module, inputs[0]))

    kinds = (Gated, *ACTIVATIONS.values())
    hooks = [m.register_forward_pre_hook(keep) for m in net.modules() if isinstance(m, kinds)]
    net.train()  # BN as it is in training
    x, y = as_tensors(part)
    state = {key: value.clone() for key, value in net.state_dict().items()}
    F.cross_entropy(net(x[:PROBE]), y[:PROBE]).backward()
    net.load_state_dict(state)  # BN's running mean has moved
    for hook in hooks:
        hook.remove()
    norms = np.array([z.grad.norm().item() for _, z in kept if z.grad is not None])
    flat = [float((slope(module, z.detach()).abs() < FLAT).float().mean()) for module, z in kept]
    return float(np.mean(flat)), norms


def slope(activation: nn.Module, z: Tensor) -> Tensor:
    """∂output/∂input of each unit; of a gated one with respect to the half that is gated, which is its gate."""
    if isinstance(activation, Gated):
        return torch.sigmoid(z.chunk(2, dim=1)[1])
    z = z.clone().requires_grad_()
    (slopes,) = torch.autograd.grad(activation(z).sum(), z)
    return slopes


def run(options: Options) -> Table:
    """The study's command."""
    quick = options.quick
    chars = "ABDEHM" if quick else "".join(CONFUSABLE)[:CHARACTERS]
    counts = (192, 64, 64) if quick else (600, 300, 1000)
    tasks: dict[str, tuple[Data, Callable[[str, bool], nn.Module], Recipe]] = {}
    digits = read_digits(options.digits)
    digits = Data(digits.train.take(np.arange(128 if quick else DIGITS)), digits.validation, digits.test)
    pixels = digits.train.images[0].size
    tasks["MLP"] = (digits, partial(make_mlp, pixels=pixels, classes=10), MLP)
    crops = render_characters(chars, counts, 32, level=0.5)
    tasks["recogniser"] = (crops, partial(make_recogniser, crop_px=32, classes=len(chars)), OCR)
    results: dict[tuple[str, bool, str], Result] = {}
    for task, (data, make, recipe) in tasks.items():
        short = Recipe(1, recipe.batch, 0.0) if quick else recipe
        for norm in (False, True):
            for name in NAMES:
                rates = RATES[1:] if quick else RATES
                results[task, norm, name] = measure(partial(make, name, norm), data, short, rates, options.seeds)
    draw(options, results)
    return tabulate(results, options.seeds, {task: data for task, (data, _, _) in tasks.items()})


def measure(make: Callable[[], nn.Module], data: Data, recipe: Recipe, rates: Sequence[float], seeds: int) -> Result:
    """One activation in one network."""
    torch.manual_seed(0)
    flat_first, gradients = probe(make(), data.validation)
    fitted, rate = fit_seeds(make, data, recipe, rates, seeds)
    epochs = max(len(one.scores) for one in fitted)
    curve = np.mean([one.scores + [one.scores[-1]] * (epochs - len(one.scores)) for one in fitted], axis=0)
    flat_last = float(np.mean([probe(one.net, data.validation)[0] for one in fitted]))
    scores = [share_right(one.net, data.test) for one in fitted]
    return Result(scores, curve, gradients / max(gradients[-1], 1e-30), (flat_first, flat_last), rate)


def tabulate(results: Mapping[tuple[str, bool, str], Result], seeds: int, data: Mapping[str, Data]) -> Table:
    """A row an activation; the notes say what the claim comes to."""
    settings = list(dict.fromkeys((task, norm) for task, norm, _ in results))
    heads = [f"{task}{', BN' if norm else ''}" for task, norm in settings]
    rows = []
    for name in NAMES:
        of = [results[task, norm, name] for task, norm in settings]
        cells = [f"{mean_sd(one.scores)}" for one in of]
        flat = " / ".join(f"{one.flat[1] * 100:.0f}" for one in of)
        ratio = " / ".join(f"{one.gradients[0]:.2g}" for one in of)
        rows.append([name, *cells, flat, ratio])
    notes = [
        f"Test accuracy in percent, mean ± sd of {seeds} seeds. Learning rates {RATES}: validation "
        "chose, and the epoch.",
        "Saturated: share of hidden units with a slope below 0.05 at the end, in percent; gradients: the first hidden "
        "layer's norm at the start, the last one's as 1; both in the order of the four columns before.",
        "; ".join(
            f"{task}: {len(one.train)} pictures learnt from, {len(one.validation)} validated, {len(one.test)} tested"
            for task, one in data.items()
        )
        + ".",
    ]
    for name in CLAIMED:
        each = [
            [a - b for a, b in zip(results[*s, name].scores, results[*s, "relu"].scores, strict=True)] for s in settings
        ]
        parts = ", ".join(f"{head} {show_interval(d)}" for head, d in zip(heads, each, strict=True))
        notes.append(f"{name} less relu in points: {parts}; all {show_interval([v for d in each for v in d])}.")
    return Table(["activation", *heads, "saturated, %", "gradient, first / last"], rows, notes)


def draw(options: Options, results: Mapping[tuple[str, bool, str], Result]) -> None:
    """The functions, gradients by depth of the MLP, and learning curves of the four settings."""
    figure, axes = subplots(2, 3, (15, 8.5))
    colours = {name: f"C{number}" for number, name in enumerate(NAMES)}
    x = torch.linspace(-4, 3, 400)
    for name in NAMES:
        dashed = "--" if name == "glu" else "-"
        # A gated unit whose two halves are equal.
        y = x * torch.sigmoid(x) if name == "glu" else make_activation(name)(x)
        axes[0, 0].plot(x, y, dashed, color=colours[name], label="glu (halves equal)" if name == "glu" else name)
        for norm, style in ((False, "-"), (True, ":")):
            gradients = results["MLP", norm, name].gradients
            axes[1, 0].plot(range(1, len(gradients) + 1), np.maximum(gradients, 1e-8), style, color=colours[name])
    axes[0, 0].set(ylim=(-2, 3), title="the functions", xlabel="x")
    axes[0, 0].legend(fontsize=7)
    axes[1, 0].set(yscale="log", title="gradients at the start, MLP (dotted: BN)", xlabel="hidden layer")
    axes[1, 0].set_ylabel("norm, the last layer's as 1")
    for column, task in ((1, "MLP"), (2, "recogniser")):
        for row, norm in enumerate((False, True)):
            one = axes[row, column]
            for name in NAMES:
                curve = results[task, norm, name].curve
                one.plot(range(1, len(curve) + 1), (1 - curve) * 100, color=colours[name], marker=".", label=name)
            one.set(title=f"{task}{', BN' if norm else ', no norm'}", xlabel="epoch", yscale="log")
            one.set_ylabel("validation errors, %")
    for one in axes.flat:
        one.grid(alpha=0.3, which="both")
    save(figure, options.figure("activations"))
