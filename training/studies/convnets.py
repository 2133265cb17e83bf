"""The networks of the fashion-mnist study, and what is done to the pictures that they learn from."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# MobileNet's blocks after its stem (arXiv:1704.04861 table 1): channels and stride.
MOBILE = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]


class MobileNet(nn.Module):
    """MobileNet on pictures enlarged twofold, average pooling, dropout ½. Its weights begin at random."""

    def __init__(self, classes: int, width: float, blocks: Sequence[tuple[int, int]] = MOBILE) -> None:
        """width: of MobileNet's channels the share that each layer has."""
        super().__init__()
        channels = round(32 * width)
        layers = _conv_norm(1, channels, 3, 2, 1)
        for full, stride in blocks:
            wide = round(full * width)
            layers += _conv_norm(channels, channels, 3, stride, channels) + _conv_norm(channels, wide, 1, 1, 1)
            channels = wide
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) uint8 → logits (N, classes)."""
        enlarged = F.interpolate(x.float() / 255, scale_factor=2, mode="bilinear")
        return self.head(self.features(enlarged))


class WideBlock(nn.Module):
    """BN, ReLU, 3×3, twice (arXiv:1605.07146); the input, by a 1×1 where the shape changes, is added."""

    def __init__(self, channels_in: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        same = stride == 1 and channels_in == channels
        self.short: nn.Module | None = None if same else nn.Conv2d(channels_in, channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(x))
        short = x if self.short is None else self.short(y)
        return short + self.conv2(F.relu(self.norm2(self.conv1(y))))


class WideResNet(nn.Module):
    """WRN-(6·blocks + 4)-k: three groups of blocks; 16·k, 32·k, 64·k channels where base is 16."""

    def __init__(self, classes: int, blocks: int, k: int, base: int = 16) -> None:
        super().__init__()
        channels = base
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, padding=1, bias=False)]
        for group in range(3):
            for number in range(blocks):
                wide = base * k * 2**group
                layers.append(WideBlock(channels, wide, 2 if group and not number else 1))
                channels = wide
        layers += [nn.BatchNorm2d(channels), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        self.layers = nn.Sequential(*layers, nn.Linear(channels, classes))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 1, H, W) uint8 → logits (N, classes)."""
        return self.layers(x.float() / 255)


def flip(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each picture mirrored left to right, or not. x: (N, 1, H, W)."""
    mirrored = (torch.rand(len(x), generator=rng) < 0.5).to(x.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), x.flip(3), x)


def shift(x: Tensor, rng: torch.Generator, most: int = 2) -> Tensor:
    """Each picture moved by up to so many pixels each way; black comes in."""
    height, width = x.shape[2:]
    padded = F.pad(x, (most,) * 4)
    down, right = torch.randint(2 * most + 1, (2, len(x)), generator=rng).to(x.device)
    rows = down[:, None] + torch.arange(height, device=x.device)  # (N, H)
    columns = right[:, None] + torch.arange(width, device=x.device)  # (N, W)
    each = torch.arange(len(x), device=x.device)[:, None, None]
    return padded[each, 0, rows[:, :, None], columns[:, None]].unsqueeze(1)


def cutout(x: Tensor, rng: torch.Generator, side: int = 8) -> Tensor:
    """A black square of each picture, anywhere, cut off at its edge (arXiv:1708.04552)."""
    height, width = x.shape[2:]
    centre = torch.rand((2, len(x), 1), generator=rng).to(x.device)
    rows = (torch.arange(height, device=x.device) + 0.5 - centre[0] * height).abs() < side / 2  # (N, H)
    columns = (torch.arange(width, device=x.device) + 0.5 - centre[1] * width).abs() < side / 2
    return x.masked_fill((rows[:, :, None] & columns[:, None]).unsqueeze(1), 0)


def _conv_norm(channels_in: int, channels: int, size: int, stride: int, groups: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False)
    return [conv, nn.BatchNorm2d(channels), nn.ReLU()]
