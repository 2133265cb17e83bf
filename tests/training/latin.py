"""The one font that every development environment has, and the classes that it draws."""

from pathlib import Path

import matplotlib

from tianzi_training.ocr.data.charset import build_charset
from tianzi_training.ocr.data.glyphs import Font

DEJAVU = Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
FONT = Font("dejavu", (DEJAVU,), 0, "print", 1.0, False)
LATIN = build_charset()[:94]
