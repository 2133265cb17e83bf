"""Characters as they come from phones, screens and books, for measuring alone: typeset on sheets and then spoiled."""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Rng = np.random.Generator
Face = ImageFont.FreeTypeFont
PINYIN = ("hǎo", "xué", "guó", "míng", "tiān", "zì", "rén", "shuǐ", "dà", "lǜ", "péng", "yǔ")
BY_PLACE = "一。，—〇·"  # only size and place tell them from their look-alikes


@dataclass(frozen=True)
class Type:
    """A face to typeset with. others: characters that may stand beside; drawn: all that it draws."""

    open: Callable[[int], Face]
    others: str
    drawn: frozenset[int]

    def draws(self, text: str) -> bool:
        return all(ord(char) in self.drawn for char in text)

    def sheet(self, char: str, em: int, width: float = 1.3, height: float = 1.3, ink: int = 20) -> Image.Image:
        """The character in the middle of its square on white, width and height in ems."""
        image = Image.new("L", (round(em * width), round(em * height)), 255)
        self.draw(image, char, image.width / 2, image.height / 2, em, ink)
        return image

    def draw(self, image: Image.Image, text: str, x: float, y: float, em: int, ink: int = 20) -> None:
        """Text about a point: its advance is centred on x, and the middle of a full square on y."""
        face = self.open(em)
        top, bottom = face.getbbox("国")[1::2]
        ImageDraw.Draw(image).text((x - face.getlength(text) / 2, y - (top + bottom) / 2), text, ink, face)

    def other(self, rng: Rng) -> str:
        return self.others[int(rng.integers(len(self.others)))]


def _shade(image: Image.Image, mask: npt.NDArray[np.float64], depth: float) -> Image.Image:
    values = np.asarray(image, np.float64) * (1 - depth * mask)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _edge(rng: Rng, size: tuple[int, int], blur: float) -> npt.NDArray[np.float64]:
    """(H, W): 1 on one side of a line through the middle part of a picture."""
    width, height = size
    mask, turn = Image.new("L", (width, height)), rng.uniform(0, 2 * math.pi)
    x, y = width * rng.uniform(0.3, 0.7), height * rng.uniform(0.3, 0.7)
    dx, dy, far = math.cos(turn), math.sin(turn), 4 * max(size)
    corners = [(x - far * dy, y + far * dx), (x + far * dy, y - far * dx)]
    corners += [
        (corners[1][0] + far * dx, corners[1][1] + far * dy),
        (corners[0][0] + far * dx, corners[0][1] + far * dy),
    ]
    ImageDraw.Draw(mask).polygon(corners, fill=255)
    return np.asarray(mask.filter(ImageFilter.GaussianBlur(blur)), np.float64) / 255


def _camera(rng: Rng, image: Image.Image, sigma: float = 3.0, quality: int = 80) -> Image.Image:
    """A response that is no straight line, grain that grows with light, JPEG."""
    light = (np.asarray(image, np.float64) / 255) ** rng.uniform(0.8, 1.25) * 235 + 8
    light += rng.normal(0, 1, light.shape) * sigma * np.sqrt(light / 160)
    return _jpeg(Image.fromarray(light.clip(0, 255).astype(np.uint8)), quality)


def _jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("L")


def _hard_shadow(rng: Rng, face: Type, char: str) -> Image.Image:
    page = face.sheet(char, int(rng.integers(32, 80)), ink=45)
    return _camera(rng, _shade(page, _edge(rng, page.size, 0.6), rng.uniform(0.4, 0.72)), 2)


def _soft_shadow(rng: Rng, face: Type, char: str) -> Image.Image:
    page = face.sheet(char, int(rng.integers(32, 80)), ink=45)
    return _camera(
        rng, _shade(page, _edge(rng, page.size, page.width * rng.uniform(0.05, 0.3)), rng.uniform(0.4, 0.8)), 2
    )


def _dark_corner(rng: Rng, face: Type, char: str) -> Image.Image:
    page = face.sheet(char, int(rng.integers(28, 72)), ink=40)
    y, x = np.mgrid[0 : page.height, 0 : page.width]
    corner = rng.integers(0, 2, 2) * (page.width, page.height)
    away = np.hypot(x - corner[0], y - corner[1]) / page.width
    return _camera(rng, _shade(page, np.exp(-(away**2) / rng.uniform(0.2, 0.9)), rng.uniform(0.6, 0.9)))


def _salt_and_grain(rng: Rng, face: Type, char: str) -> Image.Image:
    page = np.asarray(face.sheet(char, int(rng.integers(28, 64)), ink=30), np.float64) * 0.8 + 20
    page = page + rng.normal(0, rng.uniform(8, 22), page.shape)
    dice = rng.random(page.shape)
    share = rng.uniform(0.01, 0.06)
    return Image.fromarray(
        np.where(dice < share, 0, np.where(dice > 1 - share, 255, page)).clip(0, 255).astype(np.uint8)
    )


def _neighbours(rng: Rng, face: Type, char: str) -> Image.Image:
    """Cut from a line of print a little too wide."""
    em = int(rng.integers(22, 60))
    line = Image.new("L", (5 * em, round(1.4 * em)), 255)
    face.draw(
        line, face.other(rng) + face.other(rng) + char + face.other(rng) + face.other(rng), 2.5 * em, 0.7 * em, em
    )
    left, right = (2 - rng.uniform(0.0, 0.3)) * em, (3 + rng.uniform(0.0, 0.3)) * em
    return _camera(rng, line.crop((round(left), 0, round(right), line.height)), 2, 85)


def _thin_and_small(rng: Rng, face: Type, char: str) -> Image.Image:
    """15 to 26 px: strokes of a pixel, dots of two."""
    return face.sheet(char, int(rng.integers(15, 27)), 1.15, 1.15, ink=int(rng.integers(0, 90)))


def _table_cell(rng: Rng, face: Type, char: str) -> Image.Image:
    em = int(rng.integers(22, 56))
    page = face.sheet(char, em, 1.9, 1.7)
    pen, line = ImageDraw.Draw(page), int(rng.integers(1, 4))
    for x in rng.uniform(0.02, 0.17, 1) * page.width if rng.random() < 0.5 else (1, page.width - 2):
        pen.line((x, 0, x, page.height), fill=30, width=line)
    for y in (rng.uniform(0.0, 0.12) * page.height, rng.uniform(0.9, 1.0) * page.height):
        pen.line((0, y, page.width, y), fill=30, width=line)
    return _camera(rng, page, 3)


def _underlined(rng: Rng, face: Type, char: str) -> Image.Image:
    em = int(rng.integers(22, 56))
    page = face.sheet(char, em, 1.5, 1.5)
    y = page.height / 2 + em * rng.uniform(0.5, 0.6)
    ImageDraw.Draw(page).line((0, y, page.width, y), fill=20, width=max(1, round(em * rng.uniform(0.02, 0.07))))
    return page


def _pinyin_above(rng: Rng, face: Type, char: str) -> Image.Image:
    em = int(rng.integers(30, 64))
    page = Image.new("L", (round(1.4 * em), round(1.8 * em)), 255)
    face.draw(page, char, 0.7 * em, 1.15 * em, em)
    above = [one for one in PINYIN if face.draws(one)] or ["wo"]
    face.draw(page, above[int(rng.integers(len(above)))], 0.7 * em, 0.36 * em, round(0.36 * em))
    return _camera(rng, page, 2)


def _practice_grid(rng: Rng, face: Type, char: str) -> Image.Image:
    em = int(rng.integers(40, 80))
    page = face.sheet(char, em, 1.25, 1.25, ink=20)
    lines = Image.new("L", page.size, 255)
    pen, (w, h), tone = ImageDraw.Draw(lines), page.size, int(rng.integers(110, 190))
    pen.rectangle((1, 1, w - 2, h - 2), outline=tone, width=2)
    ends = [((0, h / 2), (w, h / 2)), ((w / 2, 0), (w / 2, h))]
    if rng.random() < 0.5:
        ends += [((0, 0), (w, h)), ((0, h), (w, 0))]
    for (ax, ay), (bx, by) in ends:
        for k in range(0, 20, 2):
            pen.line((ax + (bx - ax) * k / 20, ay + (by - ay) * k / 20, ax + (bx - ax) * (k + 1) / 20,
                      ay + (by - ay) * (k + 1) / 20), fill=tone)  # fmt: skip
    return _camera(rng, ImageChops.darker(page, lines), 2)


def _small_on_large(rng: Rng, face: Type, char: str) -> Image.Image:
    em, side = int(rng.integers(24, 60)), int(rng.integers(400, 1400))
    page = Image.new("L", (side, round(side * 0.75)), 225)
    x, y = rng.uniform(0.15, 0.85, 2) * page.size
    face.draw(page, char, x, y, em, 30)
    return _camera(rng, page, rng.uniform(1, 6), 88)


def _phone(rng: Rng, face: Type, char: str) -> Image.Image:
    """A sheet held at an angle, on a darker desk, out of focus and lit from one side."""
    em = int(rng.integers(60, 130))
    page = face.sheet(char, em, rng.uniform(1.4, 2.4), rng.uniform(1.4, 2.4), ink=55)
    w, h = page.size
    corners = np.array([[0, 0], [0, h], [w, h], [w, 0]], float)
    corners += rng.normal(0, 0.09, (4, 2)) * em
    page = page.transform(
        (w, h), Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BICUBIC, fillcolor=100
    )
    page = page.resize((round(w * (z := rng.uniform(0.3, 0.7))), round(h * z)), Image.Resampling.BOX)
    page = _shade(page, _edge(rng, page.size, page.width * 0.4), rng.uniform(0.1, 0.5))
    return _camera(rng, page.filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.0))), rng.uniform(2, 7), 70)


def _jpeg_chain(rng: Rng, face: Type, char: str) -> Image.Image:
    page = face.sheet(char, int(rng.integers(26, 60)), ink=30)
    for _ in range(3):
        zoom = rng.uniform(0.75, 1.25)
        page = page.resize((round(page.width * zoom), round(page.height * zoom)), Image.Resampling.BILINEAR)
        page = _jpeg(page, int(rng.integers(18, 60)))
    return page


def _screenshot(rng: Rng, face: Type, char: str) -> Image.Image:
    em, dark = int(rng.integers(13, 32)), rng.random() < 0.5
    page = face.sheet(char, em, rng.uniform(1.05, 1.8), rng.uniform(1.05, 1.8), ink=int(rng.integers(0, 110)))
    values = np.asarray(page)
    return Image.fromarray(255 - values if dark else values)


def _faint(rng: Rng, face: Type, char: str) -> Image.Image:
    page = np.asarray(face.sheet(char, int(rng.integers(28, 64)), ink=0), np.float64)
    values = 170 + (page - 255) * rng.uniform(0.06, 0.11) + rng.normal(0, 2.0, page.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def _on_a_picture(rng: Rng, face: Type, char: str) -> Image.Image:
    """A subtitle: white with a dark rim on a picture."""
    em = int(rng.integers(30, 60))
    page = face.sheet(char, em, 1.3, 1.3, ink=0)
    small = Image.fromarray(rng.integers(30, 230, (7, 7)).astype(np.uint8))
    ground = small.resize(page.size, Image.Resampling.BICUBIC)
    rim = page.filter(ImageFilter.MinFilter(5))
    values = np.minimum(np.asarray(ground, np.float64), np.asarray(rim)) + (255.0 - np.asarray(page))
    return _jpeg(Image.fromarray(values.clip(0, 255).astype(np.uint8)), 75)


def plain_cell(rng: Rng, face: Type, char: str) -> Image.Image:
    """As print sets it, with nothing around."""
    return face.sheet(char, int(rng.integers(24, 72)), 1.15, 1.15, ink=int(rng.integers(0, 60)))


def empty_sheet(rng: Rng) -> Image.Image:
    """Paper with nothing on it: plain, in the shade, with a rule or a fold, grained."""
    width, height = (int(v) for v in rng.integers(30, 160, 2))
    page = Image.new("L", (width, height), int(rng.integers(60, 250)))
    dice = rng.random()
    if dice < 0.3:
        page = _shade(page, _edge(rng, page.size, rng.uniform(0.5, 20)), rng.uniform(0.2, 0.7))
    elif dice < 0.55:
        y = rng.uniform(0, height, 2)
        ImageDraw.Draw(page).line((0, y[0], width, y[0] if dice < 0.45 else y[1]), fill=30, width=2)
    return _camera(rng, page, rng.uniform(0, 8), 75)


KINDS: dict[str, Callable[[Rng, Type, str], Image.Image]] = {
    change.__name__.removeprefix("_"): change
    for change in (
        plain_cell, _screenshot, _thin_and_small, _hard_shadow, _soft_shadow, _dark_corner, _salt_and_grain,
        _neighbours, _table_cell, _underlined, _pinyin_above, _practice_grid, _small_on_large, _phone, _jpeg_chain,
        _faint, _on_a_picture,
    )
}  # fmt: skip
"""Name → a picture of a character."""
