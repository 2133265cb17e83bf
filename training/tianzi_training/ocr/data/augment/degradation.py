"""What printing, copying and wear do to strokes: relief, dots of a needle, missing lines, holes, a line across.

Works on ink (N, 1, S, S) float, 0 = paper, 1 = ink; what is lighter than the paper is negative ink.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_training.ocr.data.augment.dice import Dice

DOT_PX = 5  # a needle's dot is drawn at this size


def wear(dice: Dice, ink: Tensor) -> Tensor:
    """All of them, each on a few; `dice` decides."""
    return strike(dice, gaps(dice, holes(dice, dots(dice, emboss(dice, ink)))))


def emboss(dice: Dice, ink: Tensor) -> Tensor:
    """Lit from one side: an edge of each stroke is darker than the paper, the other lighter."""
    across, along = dice.whole(-3, 4), dice.whole(-3, 4)
    changed, embossed = ink.clone(), dice.chosen(0.04, len(ink))
    if across or along:
        some = ink[embossed]
        changed[embossed] = (some - torch.roll(some, (along, across), (2, 3))).clamp(-1, 1)
    return changed


def dots(dice: Dice, ink: Tensor) -> Tensor:
    """Printed by needles: 20 to 36 dots across."""
    side, count = ink.shape[-1], dice.whole(20, 37)
    changed, dotted = ink.clone(), dice.chosen(0.04, len(ink))
    cells = (F.interpolate(ink[dotted], size=count, mode="area") > 0.4).float()
    axis = dice.line(-(DOT_PX - 1) / 2, (DOT_PX - 1) / 2, DOT_PX)
    dot = (axis.view(-1, 1) ** 2 + axis**2 < (DOT_PX * dice.number(0.38, 0.6)) ** 2).float()
    drawn = F.interpolate(cells, scale_factor=DOT_PX, mode="nearest") * dot.repeat(count, count)
    changed[dotted] = F.interpolate(drawn, size=side, mode="area")
    return changed


def holes(dice: Dice, ink: Tensor) -> Tensor:
    """Ink that has come off in patches."""
    changed, hit = ink.clone(), dice.chosen(0.04, len(ink))
    n = len(hit)
    noise = F.interpolate(dice.normal(n, 1, 14, 14), size=ink.shape[-1], mode="bilinear")
    changed[hit] = ink[hit] * (noise < dice.uniform(0.5, 1.2, n, 1, 1, 1))
    return changed


def gaps(dice: Dice, ink: Tensor) -> Tensor:
    """Lines that were not printed or scanned, three of them, level or upright."""
    side, hit = ink.shape[-1], dice.chosen(0.05, len(ink))
    n = len(hit)
    at, half = dice.uniform(0.05, 0.95, n, 1, 3, 1) * side, dice.uniform(0.4, 2.2, n, 1, 3, 1)
    kept = ((dice.line(0, side - 1, side) - at).abs() > half).all(2).float()  # (n, 1, S)
    upright = dice.uniform(0, 1, n, 1, 1, 1) < 0.4
    changed = ink.clone()
    changed[hit] = ink[hit] * torch.where(upright, kept.unsqueeze(2), kept.unsqueeze(3))
    return changed


def strike(dice: Dice, ink: Tensor) -> Tensor:
    """A thin line across, straight or a little turned; rare, as it makes some characters others."""
    hit, axis = dice.chosen(0.02, len(ink)), dice.line(-1, 1, ink.shape[-1])
    n = len(hit)
    height, slope = dice.uniform(-0.6, 0.6, n, 1, 1, 1), dice.uniform(-0.3, 0.3, n, 1, 1, 1)
    away = (axis.view(1, 1, -1, 1) - height - slope * axis.view(1, 1, 1, -1)).abs()
    line = (away < dice.uniform(0.01, 0.035, n, 1, 1, 1)) * dice.uniform(0.5, 1.0, n, 1, 1, 1)
    changed = ink.clone()
    changed[hit] = torch.maximum(ink[hit], line)
    return changed
