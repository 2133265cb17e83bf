"""A scene's ink as a camera, a scanner or a screen shows it: ground, light with edges, focus, grain, JPEG."""

import io
import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from tianzi_training.ocr.data.augment.capture import bilevel

Floats = npt.NDArray[np.float32]
Picture = npt.NDArray[np.uint8]
Rng = np.random.Generator

LIGHT_SHARE = 0.3
"""Of pictures whose ink is the lighter."""


def expose(rng: Rng, ink: Floats, pitch: float, level: float) -> tuple[Picture, bool]:
    """Ink (H, W) → the grey picture, and whether its ink is the lighter.

    pitch: how large characters are, in pixels. level: 0 is a clean print, 1 the hardest.
    """
    light = bool(rng.random() < LIGHT_SHARE)
    if level < 0.15:
        paper, depth = (255.0, 255.0) if rng.random() < 0.6 else (rng.uniform(180, 255), rng.uniform(120, 180))
        gray = paper - ink * depth
        gray = (gray if not light else 255 - gray).clip(0, 255)
        return _jpeg(rng, gray.round().astype(np.uint8), 0.2), light
    gray = _ground(rng, ink, level)
    if light:
        gray = 1 - gray
    gray = gray * _light(rng, ink.shape, level)
    picture = (gray * 255).clip(0, 255).round().astype(np.uint8)
    picture = _focus(rng, picture, pitch, level)
    picture = _noise(rng, picture, level)
    if rng.random() < 0.15 * level:
        picture = _again(rng, picture)
    picture = bilevel(rng, level * 0.7, picture)
    return _jpeg(rng, picture, 0.35 * level), light


def _ground(rng: Rng, ink: Floats, level: float) -> Floats:
    """Grey in [0, 1]: ink on paper of any brightness and contrast, plain, cloudy, striped, patched, or a photograph."""
    shape = ink.shape
    plain = rng.random() < 0.4
    paper = 1.0 if plain else rng.uniform(0.55, 1.0)
    contrast = 1.0 if rng.random() < 0.35 else rng.uniform(max(0.09, 0.5 - 0.45 * level), 1.0)
    ground: Floats = np.full(shape, paper, np.float32)
    dice = rng.random()
    amount = contrast * rng.uniform(0.04, 0.16) * (0.5 + level)
    if dice < 0.15:
        ground = ground + amount * _clouds(rng, shape, int(rng.integers(3, 16)))
    elif dice < 0.22:
        y, x = np.ogrid[: shape[0], : shape[1]]
        turn, wave = rng.uniform(0, math.pi), rng.uniform(2.0, 12.0)
        ground = ground + amount * np.sin((x * math.cos(turn) + y * math.sin(turn)) * (2 * math.pi / wave))
    elif dice < 0.36:
        for _ in range(int(rng.integers(1, 7))):
            y0, x0 = rng.uniform(-0.3, 0.9, 2) * shape
            h, w = rng.uniform(0.2, 1.2, 2) * shape
            rows, columns = slice(max(0, int(y0)), max(0, int(y0 + h))), slice(max(0, int(x0)), max(0, int(x0 + w)))
            ground[rows, columns] += 2 * amount * rng.normal()
    elif dice < 0.44:
        # As over a photograph: clouds of every size, and ink that is the stronger for it.
        for knots in (3, 6, 12, 24):
            ground = ground + rng.uniform(0.04, 0.1) * level * _clouds(rng, shape, knots)
        ground, contrast = ground.clip(0.45, 1.0), max(contrast, 0.75)
    return np.asarray(ground * (1 - ink * contrast), np.float32)


def _light(rng: Rng, shape: tuple[int, ...], level: float) -> Floats:
    """(H, W) factors: lamps that fall off, and shadows whose edges are hard or soft, straight, round or two."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    u, v = (x + 0.5) / shape[1] * 2 - 1, (y + 0.5) / shape[0] * 2 - 1
    light: Floats = np.ones(shape, np.float32)
    if rng.random() < 0.35 * level:
        turn, slope = rng.uniform(0, 2 * math.pi), rng.uniform(0.1, 0.5)
        light = light * (1 - slope / 2 + slope / 2 * (u * math.cos(turn) + v * math.sin(turn)))
    if rng.random() < 0.12 * level:
        cx, cy = rng.uniform(-1.2, 1.2, 2)
        spot = np.exp(-((u - cx) ** 2 + (v - cy) ** 2) / rng.uniform(0.4, 3.0))
        light = light * (1 - rng.uniform(0.2, 0.7) * (1 - spot))
    for _ in range(int(rng.random() < 0.4 * level) + int(rng.random() < 0.15 * level)):
        turn, at = rng.uniform(0, 2 * math.pi), rng.uniform(-0.8, 0.8)
        if rng.random() < 0.75:
            away = u * math.cos(turn) + v * math.sin(turn) - at
            if rng.random() < 0.3:
                away = away + 0.08 * np.sin((u * math.sin(turn) - v * math.cos(turn)) * rng.uniform(2, 9))
        else:
            radius = rng.uniform(0.4, 1.6)
            away = radius - np.hypot(u - math.cos(turn) * radius * 1.1, v - math.sin(turn) * radius * 1.1)
        # Half are as sharp as the picture.
        soft = 0.02 if rng.random() < 0.5 else rng.uniform(0.02, 0.6)
        shade = (away / soft + 0.5).clip(0, 1)
        light = light * (1 - rng.uniform(0.2, 0.75) * shade)
    return light


def _clouds(rng: Rng, shape: tuple[int, ...], knots: int) -> Floats:
    """(H, W): smooth values of about unit variance."""
    small = Image.fromarray(rng.standard_normal((knots, knots), np.float32))
    return np.asarray(small.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _focus(rng: Rng, picture: Picture, pitch: float, level: float) -> Picture:
    """Out of focus, or shaken, by a share of a character's size: 16 px blurred as far as 50 would be a blot."""
    if rng.random() < 0.35 * level:
        radius = rng.uniform(0.25, min(2.4, pitch / 30 + 0.15))
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.GaussianBlur(radius)))
    if rng.random() < 0.06 * level and pitch > 24:
        kernel = np.zeros((5, 5))
        slope = rng.uniform(-1, 1)
        for k in range(-2, 3):
            row, column = (round(2 + slope * k), 2 + k)
            kernel[row, column] = 1
        kernel = kernel.T if rng.random() < 0.5 else kernel
        picture = np.asarray(Image.fromarray(picture).filter(ImageFilter.Kernel((5, 5), kernel.ravel().tolist())))
    return picture


def _noise(rng: Rng, picture: Picture, level: float) -> Picture:
    """A sensor's grain; pixels turned black or white, alone or over the grain."""
    if rng.random() < 0.45 * level:
        low, high = np.percentile(picture, (3, 97))
        # Faint print is not lost in grain: what nobody can read teaches nothing.
        sigma = rng.uniform(0.5, 1.0) * max(2.0, 0.16 * float(high - low)) * level
        grain = rng.standard_normal(picture.shape, np.float32) * sigma
        picture = (picture + grain).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.14 * level:
        dice, share = rng.random(picture.shape, np.float32), rng.uniform(0.005, 0.09)
        kind = rng.random()
        picture = picture.copy()
        if kind < 0.7:
            picture[dice < share] = 0
        if kind > 0.4:
            picture[dice > 1 - share] = 255
    return picture


def _again(rng: Rng, picture: Picture) -> Picture:
    """Drawn smaller or larger, as pictures are that were sent on; sizes in pixels stay."""
    height, width = picture.shape
    zoom = rng.uniform(0.45, 0.95)
    image = Image.fromarray(picture).resize((max(5, round(width * zoom)), max(5, round(height * zoom))))
    return np.asarray(image.resize((width, height), Image.Resampling(int(rng.choice([0, 2, 3])))))


def _jpeg(rng: Rng, picture: Picture, share: float) -> Picture:
    """JPEG's artefacts on a share of pictures, on some of them twice."""
    if rng.random() >= share:
        return picture
    for _ in range(1 + int(rng.random() < 0.3)):
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.uniform(12, 85)))
        picture = np.asarray(Image.open(buffer))
    return picture
