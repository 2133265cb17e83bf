"""Augmentation of glyphs: from one clean drawing to what a camera, a scanner or a hand makes of it.

Works on ink (N, 1, H, W) float, 0 = paper, 1 = ink, a batch at a time; `level` in [0, 1] scales how hard it is.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from tianzi_training.ocr.data.augment.capture import scan
from tianzi_training.ocr.data.augment.clutter import spread, surround, thin
from tianzi_training.ocr.data.augment.degradation import wear
from tianzi_training.ocr.data.augment.dice import Dice

CANVAS_PX = 80
MAX_SIDE_PX = CANVAS_PX + 16  # of what the camera sees


@dataclass(frozen=True)
class Style:
    """How far glyphs of one kind are bent. angle: degrees; the others: shares of the half side, or of log size."""

    share: float = 0.7  # of the pictures that are bent at all
    angle: float = 10.0
    shear: float = 0.2
    squeeze: tuple[float, float] = (-0.2, 0.2)  # log of width over height, halved; positive is narrower
    elastic: float = 0.035
    tremble: float = 0.0  # a finer elastic field
    thinning: float = 0.5
    pen: float = 0.0  # share drawn with a pen's thin line


STYLES = {
    "print": Style(),
    # Print and brush forms bent until they look like somebody's hand.
    "hand": Style(0.95, 12.0, 0.35, (-0.3, 0.3), 0.06, 0.018, 0.8, 0.5),
    "plate": Style(1.0, 4.0, 0.08, (0.1, 0.45), 0.01),
}


class Augment(Dice):
    """Random pictures of glyphs."""

    def __init__(self, seed: int, level: float, style: str = "print", device: torch.device | str = "cpu") -> None:
        super().__init__(seed, level, device)
        self.seed, self.style = seed, STYLES[style]
        axis = self.line(1 / CANVAS_PX - 1, 1 - 1 / CANVAS_PX, CANVAS_PX)
        self.pixels = torch.cartesian_prod(axis, axis).flip(1)  # (H·W, 2): x, y of each pixel, -1 to 1

    def photograph(self, images: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
        """(N, S, S) glyphs, black on white → N grey pictures (H, W) uint8, as the server may be sent them."""
        rng = np.random.default_rng(self.seed)
        return [scan(rng, self.level, picture) for picture in self.expose(images).cpu().numpy()]

    def expose(self, images: npt.NDArray[np.uint8]) -> Tensor:
        """(N, S, S) glyphs, black on white → (N, H, H) uint8 on the device: what the camera sees, of one size."""
        ink = 1 - torch.from_numpy(images).to(self.device).float().unsqueeze(1) / 255
        ink = surround(self, wear(self, self.stroke_width(self.warp(ink))))
        ink = self.resolution(ink)
        ink = self.ink_noise(self.blur(ink))
        return (self.light(ink)[:, 0] * 255).round().clamp(0, 255).to(torch.uint8)

    def warp(self, ink: Tensor) -> Tensor:
        """Rotation, shear, aspect, perspective and a smooth elastic field, onto (CANVAS_PX, CANVAS_PX)."""
        n, side, style = ink.shape[0], ink.shape[-1], self.style
        hard = self.level * self.chance(style.share, n).view(n)
        angle = self.uniform(-style.angle, style.angle, n) * hard * math.pi / 180
        shear, squeeze = self.uniform(-style.shear, style.shear, n) * hard, self.uniform(*style.squeeze, n) * hard
        # The longer side stays as long as it was, so that nothing leaves the canvas.
        across, along = torch.exp(squeeze + squeeze.abs()), torch.exp(squeeze.abs() - squeeze)
        zoom = CANVAS_PX / side * torch.exp(self.uniform(-0.08, 0.08, n) * hard)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([cos * across, shear - sin, sin, cos * along], dim=1).view(n, 2, 2) * zoom.view(n, 1, 1)
        grid = (self.pixels @ matrix.transpose(1, 2)).view(n, CANVAS_PX, CANVAS_PX, 2)
        tilt = self.uniform(-0.16, 0.16, n, 1, 1, 2) * hard.view(n, 1, 1, 1)
        grid = grid / (1 + (grid * tilt).sum(-1, keepdim=True))
        hard = hard.view(n, 1, 1, 1)
        grid = grid + self.field(n, 5, 20) * style.elastic * hard
        if style.tremble:
            grid = grid + self.field(n, 12, 24) * style.tremble * hard
        return F.grid_sample(ink, grid, align_corners=False)

    def field(self, n: int, knots: int, inner: int) -> Tensor:
        """(n, CANVAS_PX, CANVAS_PX, 2): a smooth random field through knots × knots values of unit variance."""
        field = self.normal(n, 2, knots, knots)
        field = F.interpolate(field, size=inner, mode="bicubic", align_corners=True)
        return F.interpolate(field, size=CANVAS_PX, mode="bilinear", align_corners=True).permute(0, 2, 3, 1)

    def stroke_width(self, ink: Tensor) -> Tensor:
        """Bolder or thinner strokes."""
        n = ink.shape[0]
        amount = self.uniform(-1, 1, n, 1, 1, 1) * self.chance(0.5, n)
        changed = torch.lerp(ink, spread(ink), amount.clamp(min=0))
        # Thinning hairlines away would leave nothing to read: it goes half as far.
        changed = torch.lerp(changed, thin(ink), self.style.thinning * (-amount).clamp(min=0))
        if self.style.pen:
            line = torch.lerp(thin(ink), thin(thin(ink)), self.uniform(0.0, 1.0, n, 1, 1, 1))
            pen = (self.chance(self.style.pen, n) > 0) & (
                line.sum((1, 2, 3), keepdim=True) > 0.4 * ink.sum((1, 2, 3), keepdim=True)
            )
            changed = torch.where(pen, line, changed)
        return changed

    def resolution(self, ink: Tensor) -> Tensor:
        """Fewer pixels: one side a call, down to an 11 px character; averaged, or drawn with a sharper filter."""
        low = CANVAS_PX - (CANVAS_PX - 13) * min(1.0, 1.5 * self.level)
        # More small ones than large ones: they are the harder.
        share = self.number(0.0, 1.0) ** 1.3
        side = round(math.exp(math.log(low) + share * math.log(MAX_SIDE_PX / low)))
        if self.number(0, 1) < 0.5:
            return F.interpolate(ink, size=side, mode="area" if side < CANVAS_PX else "bilinear")
        return F.interpolate(ink, size=side, mode="bicubic", antialias=True).clamp(-1, 1)

    def blur(self, ink: Tensor) -> Tensor:
        """Out of focus by up to 2.4 px on some, a shaking hand's streak of up to 7 px on a few."""
        n, side = ink.shape[0], ink.shape[-1]
        # A character of 16 px blurred as far as one of 50 px would be a blot.
        sigma = self.number(0.3, min(2.4, side / 26))
        taps = torch.exp(-0.5 * (self.line(-5, 5, 11) / sigma) ** 2)
        taps = taps / taps.sum()
        chosen = self.chosen(0.4, n)
        soft = F.conv2d(ink[chosen], taps.view(1, 1, 11, 1), padding=(5, 0))
        ink = ink.clone()
        ink[chosen] = F.conv2d(soft, taps.view(1, 1, 1, 11), padding=(0, 5))
        shaken = self.chosen(0.08, n)
        ink[shaken] = F.conv2d(ink[shaken], self.streak(min(3.5, side / 18)), padding=3)
        return ink

    def streak(self, reach: float) -> Tensor:
        """(1, 1, 7, 7): a line of a random direction through the middle, at most `reach` px to each side."""
        turn, half = self.number(0, math.pi), self.number(0.5, reach)
        steps, centres = self.line(-half, half, 25), self.line(-3, 3, 7)
        across = (1 - (centres[:, None] - steps * math.cos(turn)).abs()).clamp(0)
        along = (1 - (centres[:, None] - steps * math.sin(turn)).abs()).clamp(0)
        line = along @ across.T
        return (line / line.sum()).view(1, 1, 7, 7)

    def ink_noise(self, ink: Tensor) -> Tensor:
        """A share of all pixels turned to ink (the source article's noise), less often turned to paper."""
        n = ink.shape[0]
        share = self.uniform(0.0, 0.18, n, 1, 1, 1) * self.chance(0.15, n)
        paper = self.uniform(0.0, 0.15, n, 1, 1, 1) * self.chance(0.05, n)
        dice = self.uniform(0, 1, *ink.shape)
        return torch.where(dice < share, 1.0, torch.where(dice > 1 - paper, 0.0, ink))

    def light(self, ink: Tensor) -> Tensor:
        """Ink → grey in [0, 1]: contrast, uneven light, paper texture, sensor noise, inverse video."""
        n, side = ink.shape[0], ink.shape[-1]
        plain = 1 - self.chance(0.6, n)
        ground = torch.lerp(self.uniform(0.45, 1.0, n, 1, 1, 1), torch.ones_like(plain), plain)
        # A rim lighter than the ground is seen on a ground that leaves it room.
        rimmed = (ink.amin((1, 2, 3), keepdim=True) < -0.1).float()
        ground = torch.lerp(ground, self.uniform(0.35, 0.75, n, 1, 1, 1), rimmed)
        contrast = torch.lerp(self.uniform(0.2, 1.0, n, 1, 1, 1), torch.ones_like(plain), plain)
        gray = ground * (1 - ink * contrast)
        ramp = self.line(-1, 1, side)
        gray = self.shade(gray * self.lamp(n, ramp), ramp)
        waves = self.uniform(-12, 12, n, 2, 1, 1) * math.pi
        stripes = torch.sin(waves[:, :1] * ramp.view(1, 1, 1, side) + waves[:, 1:] * ramp.view(1, 1, side, 1))
        gray = gray + stripes * 0.08 * contrast * self.chance(0.06, n)
        knots = self.whole(4, 20)
        mode = "bilinear" if self.number(0, 1) < 0.7 else "nearest"  # cloudy, or made of patches
        texture = F.interpolate(self.normal(n, 1, knots, knots), size=side, mode=mode)
        amount = self.uniform(0.02, 0.13, n, 1, 1, 1) * contrast * self.chance(0.25, n)
        # Print gets a rim where it stands on pictures.
        gray = gray + texture * (amount + rimmed * self.uniform(0.0, 0.25, n, 1, 1, 1) * (1 - ink.abs()))
        grain = self.normal(*gray.shape)
        gray = gray + grain * self.uniform(0.0, 0.12, n, 1, 1, 1) * contrast * self.chance(0.4, n)
        return torch.lerp(gray, 1 - gray, self.chance(0.2, n)).clamp(0, 1)

    def lamp(self, n: int, ramp: Tensor) -> Tensor:
        """(n, 1, S, S): light that falls off to one side on some, from a spot on a few; 1 at its brightest or so."""
        along, across = ramp.view(1, 1, 1, -1), ramp.view(1, 1, -1, 1)
        slope = self.uniform(-1, 1, n, 2, 1, 1) * self.uniform(0.1, 0.45, n, 1, 1, 1) * self.chance(0.3, n)
        at = self.uniform(-1.2, 1.2, n, 2, 1, 1)
        spot = torch.exp(-((along - at[:, :1]) ** 2 + (across - at[:, 1:]) ** 2) / self.uniform(0.8, 3.0, n, 1, 1, 1))
        depth = self.uniform(0.1, 0.6, n, 1, 1, 1) * self.chance(0.15, n)
        return (1 + slope[:, :1] * along + slope[:, 1:] * across).clamp(0.1, 1.4) * (1 - depth * (1 - spot))

    def shade(self, gray: Tensor, ramp: Tensor) -> Tensor:
        """A step from light to shade along a straight line on a few, upright or level on most of them."""
        shaded = self.chosen(0.05, len(gray))
        n = len(shaded)
        turn = self.uniform(0, 4, n, 1, 1, 1).floor() * (math.pi / 2)
        turn = turn + self.uniform(-0.8, 0.8, n, 1, 1, 1) * (self.uniform(0, 1, n, 1, 1, 1) < 0.4)
        along = turn.cos() * ramp.view(1, 1, 1, -1) + turn.sin() * ramp.view(1, 1, -1, 1)
        shadow = (along > self.uniform(-0.6, 0.6, n, 1, 1, 1)) * self.uniform(0.15, 0.6, n, 1, 1, 1)
        changed = gray.clone()
        changed[shaded] = gray[shaded] * (1 - shadow)
        return changed
