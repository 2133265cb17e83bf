"""What stands around a character, behind it and across it: shadows, rims, frames, rules, stamps, neighbours.

Works on ink (N, 1, S, S) float, 0 = paper, 1 = ink; a rim lighter than the paper is negative ink.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_training.ocr.data.augment.dice import Dice


def surround(dice: Dice, ink: Tensor) -> Tensor:
    """All of them, each on a few; `dice` decides."""
    return neighbours(dice, stamp(dice, rules(dice, frame(dice, relief(dice, ink)))))


def relief(dice: Dice, ink: Tensor) -> Tensor:
    """A shadow behind some, darker than the paper or lighter; an outline in place of a few or around a few."""
    n = ink.shape[0]
    across, along = dice.whole(-4, 5), dice.whole(-4, 5)
    changed = ink.clone()
    shadowed = dice.chosen(0.14, n)
    shadow = torch.roll(ink[shadowed], (along, across), (2, 3)) * dice.uniform(0.2, 0.8, len(shadowed), 1, 1, 1)
    opposite = dice.uniform(0, 1, len(shadow), 1, 1, 1) < 0.5
    changed[shadowed] = torch.where(
        opposite, ink[shadowed] - shadow * (1 - ink[shadowed]), torch.maximum(ink[shadowed], shadow)
    )
    hollow = dice.chosen(0.03, n)
    some = ink[hollow]
    bold = some.mean((1, 2, 3), keepdim=True) > 0.2
    changed[hollow] = torch.where(bold, (spread(some) - thin(some)).clamp(0, 1), changed[hollow])
    rimmed = dice.chosen(0.09, n)
    rim = spread(spread(ink[rimmed])) - ink[rimmed]
    changed[rimmed] = ink[rimmed] - rim * dice.uniform(0.3, 1.0, len(rim), 1, 1, 1)
    return changed


def frame(dice: Dice, ink: Tensor) -> Tensor:
    """The four lines of a table's cell around a few, as far off as a cell's are, or a ring, as around a number."""
    n, side = ink.shape[0], ink.shape[-1]
    framed = dice.chosen(0.06, n)
    line = dice.whole(1, 4)
    changed = ink.clone()
    if dice.number(0, 1) < 0.6:
        cells = F.pad(F.pad(ink[framed], [dice.whole(2, 12)] * 4), [line] * 4, value=1.0)
    else:
        cells = F.pad(ink[framed], [dice.whole(10, 26)] * 4)
        radius = cells.shape[-1] / 2
        axis = dice.line(0.5 - radius, radius - 0.5, cells.shape[-1])
        away = (axis.view(-1, 1) ** 2 + axis**2).sqrt()
        cells = torch.maximum(cells, ((away < radius) & (away > radius - 1 - line)).float())
    changed[framed] = F.interpolate(cells, size=side, mode="bilinear")
    return changed


def rules(dice: Dice, ink: Tensor) -> Tensor:
    """A rule at an edge of some characters, most often under them; two at a corner of a table's cell."""
    n, side = ink.shape[0], ink.shape[-1]
    rows = dice.line(0, side - 1, side).view(1, 1, side, 1)
    for low, high, upright, probability in (
        (0.92, 0.98, False, 0.07),
        (0.02, 0.07, False, 0.02),
        (0.01, 0.06, True, 0.03),
        (0.94, 0.99, True, 0.03),
    ):
        at, half = dice.uniform(low, high, n, 1, 1, 1) * side, dice.uniform(0.6, 1.6, n, 1, 1, 1)
        line = ((rows - at).abs() < half).float() * dice.chance(probability, n)
        ink = torch.maximum(ink, line.transpose(2, 3) if upright else line)
    return ink


def stamp(dice: Dice, ink: Tensor) -> Tensor:
    """Part of a ring across a few, paler than the ink, as a seal's edge or a stroke of a pen."""
    n, side = ink.shape[0], ink.shape[-1]
    stamped = dice.chosen(0.09, n)
    some = ink[stamped]
    n, axis = len(some), dice.line(-1, 1, side)
    centre, radius = dice.uniform(-2, 2, n, 2, 1, 1), dice.uniform(0.8, 2.4, n, 1, 1, 1)
    away = ((axis.view(1, 1, 1, -1) - centre[:, :1]) ** 2 + (axis.view(1, 1, -1, 1) - centre[:, 1:]) ** 2).sqrt()
    ring = ((away - radius).abs() < dice.uniform(0.03, 0.1, n, 1, 1, 1)) * dice.uniform(0.3, 0.8, n, 1, 1, 1)
    changed = ink.clone()
    changed[stamped] = torch.maximum(some, ring)
    return changed


def neighbours(dice: Dice, ink: Tensor) -> Tensor:
    """Slivers of another character of the batch: at the left, at the right, at both, or above."""
    n, side = ink.shape[0], ink.shape[-1]
    other = ink[dice.order(n)]
    width = int(dice.number(0.04, 0.15) * side)
    place = dice.whole(0, 4)
    sliver = torch.zeros_like(ink)
    if place in (0, 2):
        sliver[..., :width] = other[..., side - width - 8 : side - 8]
    if place in (1, 2):
        sliver[..., side - width :] = other[..., 8 : width + 8]
    if place == 3:
        above = int(0.7 * width)
        sliver[..., :above, :] = other[..., side - above - 8 : side - 8, :]
    cut_into = dice.chosen(0.12, n)
    changed = ink.clone()
    changed[cut_into] = torch.maximum(ink[cut_into], sliver[cut_into])
    return changed


def thin(ink: Tensor) -> Tensor:
    """(N, 1, H, W): the minimum over each pixel's 3×3 neighbours."""
    return 1 - spread(1 - ink)


def spread(ink: Tensor) -> Tensor:
    """(N, 1, H, W): the maximum over each pixel's 3×3 neighbours."""
    padded = F.pad(ink, (1, 1, 1, 1))
    rows = torch.maximum(torch.maximum(padded[:, :, :-2], padded[:, :, 2:]), padded[:, :, 1:-1])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 2:]), rows[..., 1:-1])
