"""What a picture goes through once it is taken: cut off-centre, two levels in the place of grey, JPEG."""

import io

import numpy as np
import numpy.typing as npt
from PIL import Image

Picture = npt.NDArray[np.uint8]

SCATTERED_PX = 40  # of a smaller picture in scattered dots nothing can be read


def scan(rng: np.random.Generator, level: float, picture: Picture) -> Picture:
    """A grey picture (H, W) as it is handed on. level: 0 to 1, scales how likely each change is."""
    return jpeg(rng, level, bilevel(rng, level, frame(rng, level, picture)))


def frame(rng: np.random.Generator, level: float, picture: Picture) -> Picture:
    """Off-centre: up to an eighth cut from or added to each side."""
    if rng.random() > 0.3 * level:
        return picture
    side = picture.shape[0]
    top, bottom, left, right = (int(shift) for shift in np.rint(rng.uniform(-0.07, 0.12, 4) * side))
    picture = picture[max(0, -top) : side - max(0, -bottom), max(0, -left) : side - max(0, -right)]
    pads = ((max(0, top), max(0, bottom)), (max(0, left), max(0, right)))
    return np.pad(picture, pads, mode="edge")


def bilevel(rng: np.random.Generator, level: float, picture: Picture) -> Picture:
    """Black and white on some, as fax and cheap scans are: by a threshold, or by scattered dots."""
    dice = rng.random()
    if dice > 0.09 * level:
        return picture
    if dice < 0.05 * level and len(picture) >= SCATTERED_PX:
        return np.asarray(Image.fromarray(picture).convert("1").convert("L"))
    low, high = np.percentile(picture, (2, 98))
    return np.where(picture < low + (high - low) * rng.uniform(0.35, 0.65), 0, 255).astype(np.uint8)


def jpeg(rng: np.random.Generator, level: float, picture: Picture) -> Picture:
    """JPEG's artefacts on some."""
    if rng.random() > 0.2 * level:
        return picture
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=int(rng.uniform(8, 70)))
    return np.asarray(Image.open(buffer))
