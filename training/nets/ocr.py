"""OcrNet and the source article's network: crop → logits. Numbers in, numbers out; the scaling is inside."""

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from training.nets.activations import ACTIVATIONS


class ConvBlock(nn.Module):
    """3×3 convolution, BN, activation; where the shape stays, its input is added before the activation."""

    def __init__(self, channels_in: int, channels: int, stride: int, activation: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.activation = ACTIVATIONS[activation]()
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.conv(x))
        return self.activation(x + y if self.residual else y)


class OcrNet(nn.Module):
    """A plain residual network: a stem at half resolution, then stages that halve it, then an embedding.

    Takes crops (N, 1, H, W) uint8, gives logits (N, num_classes + 1); the last class is "no single character".
    """

    def __init__(
        self,
        num_classes: int,
        crop_px: int = 48,
        widths: Sequence[int] = (32, 64, 128, 256),
        blocks: Sequence[int] = (0, 1, 1, 1),
        embedding: int = 192,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, count in zip(widths, blocks, strict=True):
            layers.append(ConvBlock(channels, width, 2, activation))
            layers += [ConvBlock(width, width, 1, activation) for _ in range(count)]
            channels = width
        self.features = nn.Sequential(*layers)
        side = crop_px
        for _ in widths:
            side = (side + 1) // 2
        # Flattened, not averaged: where a stroke lies tells 太 from 犬.
        self.embed = nn.Linear(channels * side * side, embedding, bias=False)
        self.norm = nn.BatchNorm1d(embedding)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(embedding, num_classes + 1)

    def forward(self, crops: Tensor) -> Tensor:
        x = self.features(ink(crops))  # (N, C, h, w)
        x = self.norm(self.embed(x.flatten(1)))  # (N, E)
        return self.head(self.dropout(x))  # (N, num_classes + 1)


class OcrSeedNet(nn.Module):
    """The source article's network: [64 conv 4×4 valid, ReLU, max-pool 2, dropout ¼] ×2, dense 1024, dropout ½."""

    def __init__(self, num_classes: int, crop_px: int = 48) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 64, 4)
        self.conv2 = nn.Conv2d(64, 64, 4)
        side = ((crop_px - 3) // 2 - 3) // 2
        self.dense = nn.Linear(64 * side * side, 1024)
        self.head = nn.Linear(1024, num_classes + 1)
        self.drop_conv, self.drop_dense = nn.Dropout(0.25), nn.Dropout(0.5)

    def forward(self, crops: Tensor) -> Tensor:
        x = ink(crops)
        for conv in (self.conv1, self.conv2):
            x = self.drop_conv(F.max_pool2d(F.relu(conv(x)), 2))
        return self.head(self.drop_dense(F.relu(self.dense(x.flatten(1)))))


def ink(crops: Tensor) -> Tensor:
    """(N, 1, H, W) uint8, 255 = paper → float, 0 = paper, 1 = ink."""
    return 1.0 - crops.float() * (1.0 / 255.0)
