"""Augmentation of glyphs: from one clean drawing to what a camera, a scanner or a hand makes of it.

Works on ink (N, 1, H, W) float, 0 = paper, 1 = ink, a batch at a time; `level` in [0, 1] scales how hard it is.
"""

import io
import math

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

CANVAS_PX = 80


class Augment:
    """Random pictures of glyphs. One generator, so that a seed fixes every picture."""

    def __init__(self, seed: int, level: float) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.level = level
        axis = (torch.arange(CANVAS_PX) + 0.5) * (2 / CANVAS_PX) - 1
        self.pixels = torch.cartesian_prod(axis, axis).flip(1)  # (H·W, 2): x, y of each pixel, -1 to 1

    def uniform(self, low: float, high: float, *shape: int) -> Tensor:
        """Uniform numbers of a shape."""
        return torch.rand(*shape, generator=self.generator) * (high - low) + low

    def chance(self, probability: float, n: int) -> Tensor:
        """(n, 1, 1, 1) float, 1 with the probability scaled by level."""
        return (torch.rand(n, 1, 1, 1, generator=self.generator) < probability * self.level).float()

    def photograph(self, ink: Tensor) -> list[npt.NDArray[np.uint8]]:
        """(N, 1, S, S) ink → N grey pictures (H, W) uint8 that share one size."""
        ink = self.stroke_width(self.warp(ink))
        ink = self.neighbours(self.underline(ink))
        ink = self.resolution(ink)
        ink = self.ink_noise(self.blur(ink))
        gray = self.light(ink)
        pictures = [self.frame(one) for one in (gray[:, 0] * 255).round().clamp(0, 255).to(torch.uint8).numpy()]
        return [self.jpeg(picture) for picture in pictures]

    def warp(self, ink: Tensor) -> Tensor:
        """Rotation, shear, aspect, perspective and a smooth elastic field, onto (CANVAS_PX, CANVAS_PX)."""
        n, side = ink.shape[0], ink.shape[-1]
        hard = self.level * self.chance(0.7, n).view(n)
        angle = self.uniform(-8, 8, n) * hard * math.pi / 180
        shear, squeeze = self.uniform(-0.2, 0.2, n) * hard, torch.exp(self.uniform(-0.2, 0.2, n) * hard)
        zoom = CANVAS_PX / side * torch.exp(self.uniform(-0.08, 0.08, n) * hard)
        cos, sin = angle.cos(), angle.sin()
        matrix = torch.stack([cos * squeeze, shear - sin, sin, cos / squeeze], dim=1).view(n, 2, 2) * zoom.view(n, 1, 1)
        grid = (self.pixels @ matrix.transpose(1, 2)).view(n, CANVAS_PX, CANVAS_PX, 2)
        tilt = self.uniform(-0.12, 0.12, n, 1, 1, 2) * hard.view(n, 1, 1, 1)
        grid = grid / (1 + (grid * tilt).sum(-1, keepdim=True))
        field = torch.randn(n, 2, 5, 5, generator=self.generator) * 0.035 * hard.view(n, 1, 1, 1)
        field = F.interpolate(field, size=20, mode="bicubic", align_corners=True)
        field = F.interpolate(field, size=CANVAS_PX, mode="bilinear", align_corners=True)
        return F.grid_sample(ink, grid + field.permute(0, 2, 3, 1), align_corners=False)

    def stroke_width(self, ink: Tensor) -> Tensor:
        """Bolder or thinner strokes."""
        n = ink.shape[0]
        amount = self.uniform(-1, 1, n, 1, 1, 1) * self.chance(0.5, n)
        bolder, thinner = amount.view(n) > 0, amount.view(n) < 0
        changed = ink.clone()
        changed[bolder] = torch.lerp(ink[bolder], spread(ink[bolder]), amount[bolder])
        # Thinning hairlines away would leave nothing to read: it goes half as far.
        changed[thinner] = torch.lerp(ink[thinner], 1 - spread(1 - ink[thinner]), -0.5 * amount[thinner])
        return changed

    def underline(self, ink: Tensor) -> Tensor:
        """A rule under or over some characters."""
        n, side = ink.shape[0], ink.shape[-1]
        rows = torch.arange(side).view(1, 1, side, 1).float()
        at = torch.where(self.uniform(0, 1, n) < 0.8, self.uniform(0.93, 0.98, n), self.uniform(0.02, 0.06, n)) * side
        line = ((rows - at.view(n, 1, 1, 1)).abs() < self.uniform(0.6, 1.6, n, 1, 1, 1)).float()
        return torch.maximum(ink, line * self.chance(0.06, n))

    def neighbours(self, ink: Tensor) -> Tensor:
        """A sliver of another character of the batch at the left or right edge."""
        n, side = ink.shape[0], ink.shape[-1]
        other = ink[torch.randperm(n, generator=self.generator)]
        width = int(self.uniform(0.04, 0.12, 1).item() * side)
        sliver = torch.zeros_like(ink)
        if self.uniform(0, 1, 1).item() < 0.5:
            sliver[..., :width] = other[..., side - width - 8 : side - 8]
        else:
            sliver[..., side - width :] = other[..., 8 : width + 8]
        return torch.maximum(ink, sliver * self.chance(0.1, n))

    def resolution(self, ink: Tensor) -> Tensor:
        """Fewer pixels: one side a call, down to a 14 px character."""
        low = CANVAS_PX - (CANVAS_PX - 18) * self.level
        side = round(math.exp(self.uniform(math.log(low), math.log(CANVAS_PX + 16), 1).item()))
        mode = "area" if side < CANVAS_PX else "bilinear"
        return F.interpolate(ink, size=side, mode=mode)

    def blur(self, ink: Tensor) -> Tensor:
        """Gaussian blur of up to 1.2 px on some."""
        n = ink.shape[0]
        sigma = self.uniform(0.3, 1.2, 1).item()
        taps = torch.exp(-0.5 * (torch.arange(-3, 4).float() / sigma) ** 2)
        taps = taps / taps.sum()
        chosen = self.chance(0.4, n).view(n) > 0
        soft = F.conv2d(ink[chosen], taps.view(1, 1, 7, 1), padding=(3, 0))
        ink = ink.clone()
        ink[chosen] = F.conv2d(soft, taps.view(1, 1, 1, 7), padding=(0, 3))
        return ink

    def ink_noise(self, ink: Tensor) -> Tensor:
        """A share of all pixels turned to ink (the source article's noise), less often turned to paper."""
        n = ink.shape[0]
        share = self.uniform(0.0, 0.18, n, 1, 1, 1) * self.chance(0.15, n)
        paper = self.uniform(0.0, 0.15, n, 1, 1, 1) * self.chance(0.05, n)
        dice = torch.rand(ink.shape, generator=self.generator)
        return torch.where(dice < share, 1.0, torch.where(dice > 1 - paper, 0.0, ink))

    def light(self, ink: Tensor) -> Tensor:
        """Ink → grey in [0, 1]: contrast, uneven light, paper texture, sensor noise, inverse video."""
        n, side = ink.shape[0], ink.shape[-1]
        plain = 1 - self.chance(0.6, n)
        ground = torch.lerp(self.uniform(0.45, 1.0, n, 1, 1, 1), torch.ones(n, 1, 1, 1), plain)
        contrast = torch.lerp(self.uniform(0.2, 1.0, n, 1, 1, 1), torch.ones(n, 1, 1, 1), plain)
        gray = ground * (1 - ink * contrast)
        ramp = torch.linspace(-1, 1, side)
        slope = self.uniform(-0.15, 0.15, n, 2, 1, 1) * self.chance(0.3, n)
        gray = gray * (1 + slope[:, :1] * ramp.view(1, 1, 1, side) + slope[:, 1:] * ramp.view(1, 1, side, 1))
        texture = F.interpolate(torch.randn(n, 1, 12, 12, generator=self.generator), size=side, mode="bilinear")
        gray = gray + texture * 0.06 * contrast * self.chance(0.2, n)
        grain = torch.randn(gray.shape, generator=self.generator)
        gray = gray + grain * self.uniform(0.0, 0.12, n, 1, 1, 1) * contrast * self.chance(0.4, n)
        return torch.lerp(gray, 1 - gray, self.chance(0.2, n)).clamp(0, 1)

    def frame(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Off-centre: up to an eighth cut from or added to each side."""
        if self.uniform(0, 1, 1).item() > 0.3 * self.level:
            return picture
        side = picture.shape[0]
        top, bottom, left, right = (self.uniform(-0.07, 0.12, 4) * side).round().int().tolist()
        picture = picture[max(0, -top) : side - max(0, -bottom), max(0, -left) : side - max(0, -right)]
        pads = ((max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
        return np.pad(picture, pads, mode="edge")

    def jpeg(self, picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """JPEG's artefacts on some."""
        if self.uniform(0, 1, 1).item() > 0.12 * self.level:
            return picture
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=int(self.uniform(15, 70, 1).item()))
        return np.asarray(Image.open(buffer))


def spread(ink: Tensor) -> Tensor:
    """(N, 1, H, W): the maximum over each pixel's 3×3 neighbours."""
    padded = F.pad(ink, (1, 1, 1, 1))
    rows = torch.maximum(torch.maximum(padded[:, :, :-2], padded[:, :, 2:]), padded[:, :, 1:-1])
    return torch.maximum(torch.maximum(rows[..., :-2], rows[..., 2:]), rows[..., 1:-1])
