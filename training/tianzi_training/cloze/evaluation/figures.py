"""Pictures of the blank filler: documents with each word shaded by how likely it is for the blank."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from tianzi_models.cloze.types import BlankAnswer
from tianzi_training.ocr.data.glyphs import read_catalogue

WIDTH_PX = 1100
SIZE_PX = 20
LINE_PX = 32
MARGIN_PX = 16


def body_font() -> ImageFont.FreeTypeFont | None:
    """A plain font of the training's catalogue that holds Chinese, None where none is installed."""
    fonts = [font for font in read_catalogue() if font.style == "print" and len(font.files) == 1]
    if not fonts:
        return None
    usual = max(fonts, key=lambda font: font.weight)  # drawn most often in training: it holds most
    return ImageFont.truetype(str(usual.files[0]), SIZE_PX, index=usual.index)


def draw_explanations(
    shown: Sequence[tuple[str, Sequence[str], BlankAnswer]], font: ImageFont.FreeTypeFont, target: Path
) -> None:
    """One above the other: (caption, words, what was answered). The blank is black; a word is the redder, the likelier.

    Shades go with the square root of the confidence: one half is seen beside one hundredth.
    """
    laid_out = [(caption, list(_lines(words, font)), answer) for caption, words, answer in shown]
    height = sum((len(lines) + 2) * LINE_PX for _, lines, _ in laid_out) + MARGIN_PX
    sheet = Image.new("RGB", (WIDTH_PX, height), "white")
    draw = ImageDraw.Draw(sheet)
    top = MARGIN_PX
    for caption, lines, answer in laid_out:
        draw.text((MARGIN_PX, top), caption, fill=(0, 70, 160), font=font, anchor="lm")
        confidence = {place: word.confidence for word in answer.candidates for place, _ in word.positions}
        blank = answer.position[0]
        for line in lines:
            top += LINE_PX
            for place, left, word in line:
                box = (left, top - SIZE_PX * 0.65, left + font.getlength(word), top + SIZE_PX * 0.65)
                is_blank = "XXXXX" in word
                if is_blank:
                    draw.rectangle(box, fill="black")
                elif confidence.get(place, 0.0) >= 0.005 and place != blank:
                    light = round(255 * (1 - confidence[place] ** 0.5))
                    draw.rectangle(box, fill=(255, light, light))
                draw.text((left, top), word, fill="white" if is_blank else "black", font=font, anchor="lm")
        top += 2 * LINE_PX
    sheet.save(target)


def _lines(words: Sequence[str], font: ImageFont.FreeTypeFont) -> Iterator[list[tuple[int, float, str]]]:
    """Lines of (place, left edge, word)."""
    line: list[tuple[int, float, str]] = []
    left = float(MARGIN_PX)
    for place, word in enumerate(words):
        width = font.getlength(word)
        if line and left + width > WIDTH_PX - MARGIN_PX:
            yield line
            line, left = [], float(MARGIN_PX)
        line.append((place, left, word))
        left += width
    yield line
