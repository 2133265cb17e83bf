"""Thumbnails, the finder's answers as boxes, second looks, and the crop around a box."""

import numpy as np
import pytest

from tianzi_models.ocr.cropping import CONTEXT, PLACES, crop_around, place_of
from tianzi_models.ocr.finding import (
    CELLS,
    FINDER_PX,
    MAX_LOOKS,
    STRIDE,
    Box,
    Floats,
    decode,
    find,
    is_rival,
    thumbnail,
)


def sheet(height: int, width: int, box: tuple[int, int, int, int], ground: int = 230, ink: int = 30) -> np.ndarray:
    """A filled rectangle x0, y0, x1, y1 on plain ground."""
    gray = np.full((height, width), ground, np.uint8)
    gray[box[1] : box[3], box[0] : box[2]] = ink
    return gray


def seeing(thumbnails: np.ndarray) -> Floats:
    """A finder that knows but one thing: the darkest pixels are one character."""
    answer = np.zeros((len(thumbnails), 6, CELLS, CELLS), np.float32)
    for n, (thumb,) in enumerate(thumbnails):
        rows, columns = np.nonzero(thumb < (int(thumb.min()) + int(thumb.max())) / 2)
        x0, y0, x1, y1 = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        row, column = int((y0 + y1) / 2 / STRIDE), int((x0 + x1) / 2 / STRIDE)
        x, y = (column + 0.5) * STRIDE, (row + 0.5) * STRIDE
        answer[n, :, row, column] = [0.9, *(np.array([x - x0, y - y0, x1 - x, y1 - y]) / FINDER_PX), 0.1]
    return answer


def test_the_thumbnail_keeps_the_proportion_and_its_mean_fills_the_rest():
    small, scale = thumbnail(sheet(64, 128, (0, 0, 128, 64), ink=200))
    assert small.shape == (FINDER_PX, FINDER_PX) and scale == 2.0
    assert (small[:32] == 200).all() and (small[32:] == 200).all()


@pytest.mark.parametrize("size", [(1, 1), (1, 900), (700, 3), (64, 64), (5, 4000)])
def test_pictures_of_any_proportion_have_a_thumbnail(size: tuple[int, int]):
    assert thumbnail(np.full(size, 99, np.uint8))[0].shape == (FINDER_PX, FINDER_PX)


def test_boxes_that_overlap_are_one_character_and_the_surest_comes_first():
    answer = np.zeros((6, CELLS, CELLS), np.float32)
    for row, column, score in ((8, 8, 0.7), (8, 9, 0.9), (2, 2, 0.5)):
        answer[:, row, column] = [score, 0.1, 0.1, 0.1, 0.1, 0.0]
    boxes = decode(answer, 1.0, FINDER_PX, FINDER_PX)
    assert [round(box.score, 1) for box in boxes] == [0.9, 0.5]
    assert (boxes[0].x0 + boxes[0].x1) / 2 == pytest.approx(9.5 * STRIDE)


def test_where_nothing_is_sure_the_surest_cell_still_gives_a_box_within_the_picture():
    (box,) = decode(np.zeros((6, CELLS, CELLS), np.float32), 2.0, 100, 128)
    assert (box.x0, box.y0, box.x1, box.y1) == (0.0, 0.0, 100.0, 128.0)


def test_a_small_character_on_a_large_sheet_is_looked_at_from_nearer():
    looks: list[int] = []

    def counting(thumbnails: np.ndarray) -> Floats:
        looks.append(len(thumbnails))
        return seeing(thumbnails)

    main, *others = find(sheet(900, 1200, (803, 402, 840, 451)), counting)
    assert not others and 1 < len(looks) <= MAX_LOOKS
    assert np.allclose([main.x0, main.y0, main.x1, main.y1], [803, 402, 840, 451], atol=3)


def test_a_character_that_fills_its_picture_is_looked_at_once():
    (main,) = find(sheet(60, 60, (5, 6, 55, 50)), seeing)
    assert np.allclose([main.x0, main.y0, main.x1, main.y1], [5, 6, 55, 50], atol=1.5)


def test_a_rival_is_sure_and_large():
    main = Box(0, 0, 40, 40)
    assert is_rival(Box(50, 0, 90, 40, 0.8), main, 0.5, 0.5)
    assert not is_rival(Box(50, 0, 60, 10, 0.8), main, 0.5, 0.5)
    assert not is_rival(Box(50, 0, 90, 40, 0.3), main, 0.5, 0.5)


def test_the_crop_centres_the_box_and_leaves_context():
    crop = crop_around(sheet(100, 100, (30, 40, 72, 60)), Box(30, 40, 72, 60), 48)
    rows, columns = np.nonzero(crop < 128)
    side = 48 / CONTEXT
    assert columns.max() - columns.min() + 1 == pytest.approx(side, abs=1)
    assert rows.max() - rows.min() + 1 == pytest.approx(side * 20 / 42, abs=1.5)
    assert abs((rows.min() + rows.max()) / 2 - 23.5) <= 1 and abs((columns.min() + columns.max()) / 2 - 23.5) <= 1


def test_light_ink_is_turned_dark_and_contrast_is_stretched():
    dark = crop_around(sheet(60, 60, (20, 20, 40, 40), 120, 100), Box(20, 20, 40, 40), 48)
    light = crop_around(sheet(60, 60, (20, 20, 40, 40), 135, 155), Box(20, 20, 40, 40, light=True), 48)
    assert dark.min() == 0 and dark.max() == 255
    assert np.array_equal(dark, light)


def test_what_lies_outside_the_picture_is_white():
    crop = crop_around(sheet(20, 20, (0, 0, 20, 20), ink=40), Box(-20, 0, 20, 20), 48)
    assert (crop[:, :20] == 255).all()


@pytest.mark.parametrize("box", [Box(0, 0, 0.2, 0.2), Box(-9, -9, -1, -1), Box(40, 40, 90, 90), Box(3, 3, 3, 30)])
def test_any_box_gives_a_crop(box: Box):
    assert crop_around(sheet(32, 32, (8, 8, 20, 20)), box, 48).shape == (48, 48)


def test_the_place_tells_a_dash_in_the_middle_from_one_at_the_bottom():
    middle, bottom = (place_of(Box(10, y, 90, y + 6), 100, 100) for y in (47, 90))
    assert middle.shape == (PLACES,) and middle[1] == pytest.approx(0) and bottom[1] > 0.8
    assert np.array_equal(middle[2:], bottom[2:])
