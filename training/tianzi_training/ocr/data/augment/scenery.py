"""What stands around characters on paper and screens, drawn into a scene's ink: rules, frames, grids, pinyin, seals.

None of it is a character that is looked for.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw

from tianzi_training.ocr.data.scenes import Scene

Rng = np.random.Generator
Box = tuple[float, float, float, float]


def add_scenery(rng: Rng, scene: Scene, patches: Sequence[Image.Image | None]) -> None:
    """One or two kinds on most scenes. patches: inks that a watermark or what shines through is made of."""
    if rng.random() < 0.42:
        return
    names = list(KINDS)
    probabilities = np.array([KINDS[name][0] for name in names])
    for name in rng.choice(
        names, 1 if rng.random() < 0.75 else 2, replace=False, p=probabilities / probabilities.sum()
    ):
        KINDS[name][1](rng, scene, patches)


def _around(scene: Scene) -> Box:
    """The box about all characters; the sheet's middle where there is none."""
    if not scene.boxes:
        height, width = scene.ink.shape
        return width * 0.2, height * 0.2, width * 0.8, height * 0.8
    boxes = np.array(scene.boxes)
    return tuple(np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)]).tolist())


def _draw(rng: Rng, scene: Scene, paint: Callable[[ImageDraw.ImageDraw, int], None], over: bool = False) -> None:
    """Lays what paint draws into the ink, as strong as ink or paler. over: also where there is ink."""
    height, width = scene.ink.shape
    layer = Image.new("L", (width, height))
    strength = int(255 * (1.0 if rng.random() < 0.45 else rng.uniform(0.15, 0.9)))
    paint(ImageDraw.Draw(layer), strength)
    drawn = np.asarray(layer, np.float32) / 255
    np.copyto(
        scene.ink, np.where(np.abs(scene.ink) < drawn, drawn, scene.ink) if over else np.maximum(scene.ink, drawn)
    )


def _width(rng: Rng, scene: Scene) -> int:
    return max(1, round(scene.pitch * rng.uniform(0.01, 0.09)))


def _rules(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """Lines of a table near the characters or at the picture's edges, on some of the sides."""
    x0, y0, x1, y1 = _around(scene)
    height, width = scene.ink.shape
    gap = scene.pitch * rng.uniform(0.02, 0.3, 4)
    at_edge = rng.random() < 0.5
    sides = rng.random(4) < rng.choice([0.3, 0.5, 1.0])
    line = _width(rng, scene)

    def paint(draw: ImageDraw.ImageDraw, strength: int) -> None:
        left, right = (0.0, width - 1.0) if at_edge else (x0 - gap[0] - line, x1 + gap[1] + line)
        top, bottom = (0.0, height - 1.0) if at_edge else (y0 - gap[2] - line, y1 + gap[3] + line)
        if at_edge:
            left, right, top, bottom = left + gap[0] / 4, right - gap[1] / 4, top + gap[2] / 4, bottom - gap[3] / 4
        for side, ends in zip(
            sides,
            (((left, 0), (left, height)), ((right, 0), (right, height)), ((0, top), (width, top)),
             ((0, bottom), (width, bottom))),
            strict=True,
        ):  # fmt: skip
            if side:
                draw.line(ends, fill=strength, width=line)

    _draw(rng, scene, paint)


def _underline(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """A line under the characters: straight, wavy, dotted or double."""
    x0, _y0, x1, y1 = _around(scene)
    y, line = y1 + scene.pitch * rng.uniform(0.03, 0.2), _width(rng, scene)
    reach = scene.pitch * rng.uniform(-0.05, 0.8)
    kind = rng.random()

    def paint(draw: ImageDraw.ImageDraw, strength: int) -> None:
        if kind < 0.2:
            xs = np.arange(x0 - reach, x1 + reach, 1.0)
            ys = y + scene.pitch * 0.04 * np.sin(xs * 2 * math.pi / (scene.pitch * 0.25))
            draw.line([(float(a), float(b)) for a, b in zip(xs, ys, strict=True)], fill=strength, width=line)
            return
        draw.line((x0 - reach, y, x1 + reach, y), fill=strength, width=line)
        if kind > 0.85:
            draw.line((x0 - reach, y + 3 * line, x1 + reach, y + 3 * line), fill=strength, width=line)

    _draw(rng, scene, paint)


def _grid(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """A practice grid: a frame with a cross, of dashes or whole, perhaps with diagonals, behind the character."""
    x0, y0, x1, y1 = _around(scene)
    half = max(x1 - x0, y1 - y0) * rng.uniform(0.5, 0.72)
    x, y = (x0 + x1) / 2 + rng.normal(0, 0.02) * half, (y0 + y1) / 2 + rng.normal(0, 0.02) * half
    line, dash = max(1, round(scene.pitch * 0.02)), scene.pitch * rng.uniform(0.03, 0.1)
    diagonals, dashed = rng.random() < 0.5, rng.random() < 0.7

    def paint(draw: ImageDraw.ImageDraw, strength: int) -> None:
        strength = int(strength * 0.7)
        draw.rectangle((x - half, y - half, x + half, y + half), outline=strength, width=line)
        ends = [((x - half, y), (x + half, y)), ((x, y - half), (x, y + half))]
        if diagonals:
            ends += [((x - half, y - half), (x + half, y + half)), ((x - half, y + half), (x + half, y - half))]
        for (ax, ay), (bx, by) in ends:
            steps = max(1, int(math.hypot(bx - ax, by - ay) / dash)) if dashed else 1
            for k in range(0, steps, 2):
                a, b = k / steps, (k + 1) / steps
                draw.line(
                    (ax + (bx - ax) * a, ay + (by - ay) * a, ax + (bx - ax) * b, ay + (by - ay) * b),
                    fill=strength, width=line,
                )  # fmt: skip

    _draw(rng, scene, paint, over=True)


def _ring(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """A circle around the characters, or part of a seal's rim across them, paler."""
    x0, y0, x1, y1 = _around(scene)
    radius = max(x1 - x0, y1 - y0) / 2 * rng.uniform(1.2, 1.7)
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    across = rng.random() < 0.5
    if across:
        x, y = x + rng.normal(0, 0.7) * radius, y + rng.normal(0, 0.7) * radius
    line = _width(rng, scene)

    def paint(draw: ImageDraw.ImageDraw, strength: int) -> None:
        strength = int(strength * 0.6) if across else strength
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=strength, width=line)

    _draw(rng, scene, paint)


def _above(rng: Rng, scene: Scene, patches: Sequence[Image.Image | None]) -> None:
    """Small letters above a character or beside it, as pinyin: three to five inks at a quarter of its size."""
    x0, y0, x1, y1 = _around(scene)
    size, count = scene.pitch * rng.uniform(0.18, 0.34), int(rng.integers(1, 6))
    step, upright = size * rng.uniform(0.6, 1.0), rng.random() < 0.2
    start = ((y0 + y1) if upright else (x0 + x1)) / 2 - count * step / 2
    side = (x1 + size * rng.uniform(0.1, 0.5)) if upright else y0 - size * rng.uniform(1.1, 1.6)
    kept = len(scene.boxes), len(scene.ignored)
    for k in range(count):
        number = int(rng.integers(len(patches)))
        patch = patches[number]
        if patch is not None:
            x, y = (side, start + k * step) if upright else (start + k * step, side)
            scene.put(number, patch, x, y, x + size * 0.65, y + size)
    del scene.boxes[kept[0] :], scene.shown[kept[0] :], scene.ignored[kept[1] :]


def _behind(rng: Rng, scene: Scene, patches: Sequence[Image.Image | None]) -> None:
    """A large pale character behind, as a watermark, or the next page's, mirrored, shining through."""
    height, width = scene.ink.shape
    patch = patches[int(rng.integers(len(patches)))]
    if patch is None:
        return
    size = scene.pitch * rng.uniform(0.8, 3.0)
    image = patch.resize((max(2, round(size)), max(2, round(size))), Image.Resampling.BILINEAR)
    pale = np.maximum(np.asarray(image), 0) * rng.uniform(0.08, 0.35)
    layer = Image.new("F", (width, height))
    layer.paste(Image.fromarray(np.ascontiguousarray(pale[:, ::-1])), tuple(
        int(v) for v in rng.uniform(-size * 0.7, (width, height))))  # fmt: skip
    np.copyto(scene.ink, np.where(np.abs(scene.ink) < np.asarray(layer), np.asarray(layer), scene.ink))


def _marks(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """Specks, scratches and blots."""
    height, width = scene.ink.shape
    count = int(rng.integers(1, 14))
    points, sizes = rng.uniform(0, (width, height), (count, 2)), rng.uniform(0.3, 0.06 * scene.pitch + 0.4, count)
    ends = points + rng.normal(0, scene.pitch * 0.3, (count, 2))

    def paint(draw: ImageDraw.ImageDraw, strength: int) -> None:
        for k, ((x, y), size) in enumerate(zip(points, sizes, strict=True)):
            if k % 5 == 4:
                draw.line((x, y, *ends[k]), fill=strength, width=1)
            else:
                draw.ellipse((x - size, y - size, x + size, y + size), fill=strength)

    _draw(rng, scene, paint)


def _box(rng: Rng, scene: Scene, _: Sequence[Image.Image | None]) -> None:
    """A filled area behind that ends near the characters, as a button's or a heading's."""
    x0, y0, x1, y1 = _around(scene)
    gap = scene.pitch * rng.uniform(0.05, 0.6, 4)
    layer = Image.new("L", scene.ink.shape[::-1])
    corner = (x0 - gap[0], y0 - gap[1], x1 + gap[2], y1 + gap[3])
    ImageDraw.Draw(layer).rounded_rectangle(corner, radius=scene.pitch * rng.uniform(0, 0.4), fill=255)
    inside, tone = np.asarray(layer, np.float32) / 255, rng.uniform(0.1, 0.45)
    ground = inside * tone if rng.random() < 0.6 else (1 - inside) * tone
    np.copyto(scene.ink, np.where(np.abs(scene.ink) < ground, ground, scene.ink))


KINDS: dict[str, tuple[float, Callable[[Rng, Scene, Sequence[Image.Image | None]], None]]] = {
    "rules": (0.22, _rules), "underline": (0.12, _underline), "grid": (0.1, _grid), "ring": (0.12, _ring),
    "above": (0.14, _above), "behind": (0.1, _behind), "marks": (0.12, _marks), "box": (0.08, _box),
}  # fmt: skip
"""Name → how often, and what draws it."""
