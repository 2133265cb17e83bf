"""FinderNet: thumbnail → where whole characters are. A small network in the manner of CenterNet and FCOS."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tianzi_training.ocr.net import ConvBlock

WIDTHS = (16, 32, 48, 64)
START_SCORE = -3.0
"""The score's logit at the start: most cells show nothing (arXiv:1708.02002 §4.1)."""


class FinderNet(nn.Module):
    """Three scales down, and back up to a quarter of the resolution.

    Takes thumbnails (N, 1, S, S) uint8, gives (N, 6, S / 4, S / 4): the score's logit; left, top, right and bottom as
    shares of S, at least 0; the logit of light ink. See tianzi_models.ocr.finding.Finder.
    """

    def __init__(self) -> None:
        super().__init__()
        stem, fine, middle, coarse = WIDTHS
        self.stem = ConvBlock(1, stem, 2, "relu")
        self.fine = nn.Sequential(ConvBlock(stem, fine, 2, "relu"), ConvBlock(fine, fine, 1, "relu"))
        self.middle = nn.Sequential(ConvBlock(fine, middle, 2, "relu"), ConvBlock(middle, middle, 1, "relu"))
        self.coarse = nn.Sequential(
            ConvBlock(middle, coarse, 2, "relu"),
            ConvBlock(coarse, coarse, 1, "relu"),
            ConvBlock(coarse, coarse, 1, "relu"),
        )
        self.from_coarse = nn.Conv2d(coarse, middle, 1)
        self.from_middle = nn.Conv2d(middle, fine, 1)
        self.merge = ConvBlock(fine, fine, 1, "relu")
        self.head = nn.Conv2d(fine, 6, 1)
        with torch.no_grad():
            assert self.head.bias is not None
            self.head.bias.copy_(torch.tensor([START_SCORE, -1.5, -1.5, -1.5, -1.5, 0.0]))

    def forward(self, thumbnails: Tensor) -> Tensor:
        x = thumbnails.float() * (1.0 / 255.0)
        x = x - x.mean((2, 3), keepdim=True)
        # A blank sheet's grain stays small.
        x = x / ((x * x).mean((2, 3), keepdim=True) + 0.0004).sqrt()
        fine = self.fine(self.stem(x))  # (N, 32, S/4, S/4)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        middle = middle + F.interpolate(self.from_coarse(coarse), scale_factor=2.0, mode="nearest")
        fine = fine + F.interpolate(self.from_middle(middle), scale_factor=2.0, mode="nearest")
        answer = self.head(self.merge(fine))
        return torch.cat([answer[:, :1], F.softplus(answer[:, 1:5]), answer[:, 5:]], dim=1)


class ServedFinder(nn.Module):
    """FinderNet with probabilities in the place of logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, thumbnails: Tensor) -> Tensor:
        answer = self.net(thumbnails)
        return torch.cat([answer[:, :1].sigmoid(), answer[:, 1:5], answer[:, 5:].sigmoid()], dim=1)


def finder_loss(answer: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """CenterNet's focal loss of the scores (arXiv:1904.07850, eq. 1), and GIoU (arXiv:1902.09630), L1 and light ink.

    answer: (N, 6, h, w) of FinderNet; target: (N, 7, h, w) of data.finder_targets.
    """
    answer = answer.float()
    logit, peak = answer[:, 0], target[:, 0]
    score = logit.sigmoid()
    centre = (peak >= 1).float()
    found = F.logsigmoid(logit) * (1 - score) ** 2 * centre
    absent = F.logsigmoid(-logit) * score**2 * (1 - peak.clamp(min=0)) ** 4 * (peak >= 0) * (1 - centre)
    count = centre.sum().clamp(min=1)
    scores = -(found.sum() + absent.sum()) / count
    weight = target[:, 6]
    total = weight.sum().clamp(min=1)
    giou = ((1 - _giou(answer[:, 1:5], target[:, 1:5])) * weight).sum() / total
    size = (target[:, 1] + target[:, 3]).maximum(target[:, 2] + target[:, 4]).clamp(min=0.02).unsqueeze(1)
    sides = ((answer[:, 1:5] - target[:, 1:5]).abs() / size).mean(1)
    sides = (sides * weight).sum() / total
    light = F.binary_cross_entropy_with_logits(answer[:, 5], target[:, 5], reduction="none")
    light = (light * weight).sum() / total
    return scores + giou + 2 * sides + 0.3 * light, {"scores": scores, "giou": giou, "sides": sides, "light": light}


def _giou(ours: Tensor, theirs: Tensor) -> Tensor:
    """(N, 4, h, w) distances to the sides, of two boxes a cell → (N, h, w)."""
    (left, top, right, bottom), (m, u, s, c) = ours.unbind(1), theirs.unbind(1)
    both = (left.minimum(m) + right.minimum(s)).clamp(min=0) * (top.minimum(u) + bottom.minimum(c)).clamp(min=0)
    either = (left + right) * (top + bottom) + (m + s) * (u + c) - both
    hull = (left.maximum(m) + right.maximum(s)) * (top.maximum(u) + bottom.maximum(c))
    return both / (either + 1e-6) - (hull - either) / (hull + 1e-6)
