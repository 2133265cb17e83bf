"""OcrNet and the source article's network: crop → logits. Numbers in, numbers out; the scaling is inside."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_training.ocr.activations import ACTIVATIONS


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


class ConvNorm(nn.Module):
    """A convolution without bias and its BN."""

    def __init__(self, channels_in: int, channels: int, size: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels_in, channels, size, stride, size // 2, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class InvertedBlock(nn.Module):
    """MobileNetV2's block (arXiv:1801.04381): widen threefold, 3×3 a channel, narrow again; its input is added."""

    def __init__(self, channels_in: int, channels: int, stride: int, activation: str) -> None:
        super().__init__()
        wide = 3 * channels_in
        self.widen = ConvNorm(channels_in, wide, 1)
        self.spread = ConvNorm(wide, wide, 3, stride, groups=wide)
        self.narrow = ConvNorm(wide, channels, 1)
        self.activation = ACTIVATIONS[activation]()
        self.residual = stride == 1 and channels_in == channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.narrow(self.activation(self.spread(self.activation(self.widen(x)))))
        return x + y if self.residual else y


class ConvNextBlock(nn.Module):
    """ConvNeXt's block (arXiv:2201.03545) with BN, which a convolution swallows: 5×5 a channel, widen, narrow.

    A stride is a 3×3 convolution in front.
    """

    def __init__(self, channels_in: int, channels: int, stride: int, activation: str) -> None:
        super().__init__()
        same = stride == 1 and channels_in == channels
        self.shrink: nn.Module = nn.Identity() if same else ConvNorm(channels_in, channels, 3, stride)
        self.spread = ConvNorm(channels, channels, 5, groups=channels)
        self.widen = nn.Conv2d(channels, 3 * channels, 1)
        self.activation = ACTIVATIONS[activation]()
        self.narrow = nn.Conv2d(3 * channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.shrink(x)
        return x + self.narrow(self.activation(self.widen(self.spread(x))))


BLOCKS: dict[str, Callable[[int, int, int, str], nn.Module]] = {
    "residual": ConvBlock,
    "inverted": InvertedBlock,
    "convnext": ConvNextBlock,
}


class CosineHead(nn.Module):
    """Logits that are cosines between embedding and class, times a scale that is learnt (arXiv:1804.06655)."""

    def __init__(self, embedding: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(classes, embedding))
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(F.normalize(x), F.normalize(self.weight)) * self.scale


class OcrNet(nn.Module):
    """A stem at half resolution, then stages of blocks that halve it, then an embedding.

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
        block: str = "residual",
        head: str = "linear",
    ) -> None:
        """widths: channels of each stage; blocks: how many follow the one that halves. block: a key of BLOCKS."""
        super().__init__()
        layers: list[nn.Module] = []
        channels = 1
        for width, count in zip(widths, blocks, strict=True):
            make = BLOCKS[block] if layers else ConvBlock  # the stem sees one channel: there is nothing to separate
            layers.append(make(channels, width, 2, activation))
            layers += [make(width, width, 1, activation) for _ in range(count)]
            channels = width
        self.features = nn.Sequential(*layers)
        side = crop_px
        for _ in widths:
            side = (side + 1) // 2
        # Flattened, not averaged: where a stroke lies tells 太 from 犬.
        self.embed = nn.Linear(channels * side * side, embedding, bias=False)
        self.norm = nn.BatchNorm1d(embedding)
        self.dropout = nn.Dropout(dropout)
        classes = num_classes + 1
        self.head = CosineHead(embedding, classes) if head == "cosine" else nn.Linear(embedding, classes)

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


class ServedOcr(nn.Module):
    """What tianzi_models.ocr.model.OcrModel says: logits with penalties → ids (N, k), probs (N, k), nothing (N,)."""

    def __init__(self, net: nn.Module, temperature: float, k: int) -> None:
        super().__init__()
        self.net, self.temperature, self.k = net, temperature, k

    def forward(self, crops: Tensor, penalties: Tensor, set_of: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits = self.net(crops) / self.temperature + penalties.index_select(0, set_of)
        probs = logits.softmax(dim=1)  # (N, num_classes + 1)
        best, ids = probs[:, :-1].topk(self.k, dim=1)
        return ids, best, probs[:, -1]
