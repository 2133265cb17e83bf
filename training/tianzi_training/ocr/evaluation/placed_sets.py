"""Test sets of characters where people meet them: typeset with held-out fonts, kind by kind; real crops; strangers."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont
from PIL import Image, ImageFont

from tianzi_models.ocr.types import GrayArray
from tianzi_training.ocr.data.charset import level1_hanzi
from tianzi_training.ocr.data.glyphs import Font, read_catalogue
from tianzi_training.ocr.data.outsiders import outsiders
from tianzi_training.ocr.evaluation.corruptions.photographed import BY_PLACE, KINDS, Type, empty_sheet, plain_cell
from tianzi_training.ocr.evaluation.test_sets import EvalSet

FACES = ("wqy-microhei", "droid-fallback", "cns11643-sung", "cns11643-kai")
"""Held-out fonts that draw simplified hanzi, each in one file."""
SEED = 11
STRANGER_FACES = ("noto-sans-regular", "babelstone-han")
"""Held-out fonts draw few characters outside the list: the characters are held out, the fonts are not."""
PHOTOS = Path("data/photo_dev")


def placed_sets(charset: Sequence[str], per_kind: int) -> dict[str, EvalSet]:
    """Kind → set. Those of characters outside the list and of quarter turns have no truth: they must be rejected."""
    fonts = {font.name: font for font in read_catalogue()}
    faces = [open_type(fonts[name]) for name in FACES if name in fonts]
    forms_of = {form: forms for forms in charset for form in forms}
    sets: dict[str, EvalSet] = {}
    for number, (kind, draw) in enumerate(KINDS.items()):
        rng = np.random.default_rng((SEED, number))
        chars = rng.choice(level1_hanzi(), per_kind)
        pictures = [np.asarray(draw(rng, faces[i % len(faces)], char)) for i, char in enumerate(chars)]
        sets[kind] = EvalSet(pictures, [forms_of[char] for char in chars])
    rng = np.random.default_rng(SEED)
    marks = [(char, face) for char in BY_PLACE for face in faces if face.draws(char)] * max(1, per_kind // 24)
    pictures = [np.asarray(plain_cell(rng, face, char)) for char, face in marks]
    sets["told by place"] = EvalSet(pictures, [forms_of[char] for char, _ in marks])
    strange = [open_type(fonts[name]) for name in STRANGER_FACES if name in fonts]
    drawn = [char for char in outsiders(charset, held_out=True) if all(face.draws(char) for face in strange)]
    chars = rng.choice(drawn, per_kind) if strange else []
    unknown = [np.asarray(plain_cell(rng, strange[i % len(strange)], char)) for i, char in enumerate(chars)]
    sets["outside the list"] = EvalSet(unknown, [""] * len(unknown))
    pairs = ["".join(pair) for pair in rng.choice(level1_hanzi(), (per_kind, 2))]
    side_by_side = [two_characters(rng, faces[i % len(faces)], pair) for i, pair in enumerate(pairs)]
    sets["two characters"] = EvalSet(side_by_side, [""] * per_kind)
    empty = [np.asarray(empty_sheet(rng)) for _ in range(per_kind)]
    sets["empty sheets"] = EvalSet(empty, [""] * len(empty))
    turned = [np.rot90(p, int(rng.integers(1, 4))).copy() for p in sets["plain_cell"].pictures]
    sets["turned"] = EvalSet(turned, [""] * len(turned))
    if PHOTOS.is_dir():
        sets["photographs"] = photographs(PHOTOS, forms_of)
    return sets


def two_characters(rng: np.random.Generator, face: Type, pair: str) -> GrayArray:
    """Side by side or below each other, as print sets them."""
    em = int(rng.integers(20, 50))
    wide = rng.random() < 0.7
    image = Image.new("L", (round(2.3 * em), round(1.3 * em)) if wide else (round(1.3 * em), round(2.3 * em)), 240)
    for k, char in enumerate(pair):
        along = (0.65 + k) * em
        face.draw(image, char, along if wide else 0.65 * em, 0.65 * em if wide else along, em, 30)
    return np.asarray(image)


def open_type(font: Font) -> Type:
    """A font to typeset with."""
    common = "".join(level1_hanzi()[:1500])
    file = font.files[0]
    with TTFont(file, fontNumber=font.index if file.suffix == ".ttc" else -1, lazy=True) as face:
        drawn = frozenset(face.getBestCmap() or {})
    return Type(lambda em: ImageFont.truetype(str(file), em, index=font.index), common, drawn)


def photographs(folder: Path, forms_of: dict[str, str]) -> EvalSet:
    """Crops of real pictures, never trained on. folder/truth.tsv names files and characters."""
    pictures: list[GrayArray] = []
    truth: list[str] = []
    with (folder / "truth.tsv").open(encoding="utf-8") as table:
        for row in csv.DictReader(table, delimiter="\t"):
            with Image.open(folder / row["file"]) as image:
                pictures.append(np.asarray(image.convert("L")))
            truth.append(forms_of.get(row["truth"], row["truth"]))
    return EvalSet(pictures, truth)
