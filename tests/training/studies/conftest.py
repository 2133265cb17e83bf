"""Small pictures for the studies: idx files and fonts, so that no data folder and no cache is needed."""

import gzip
import hashlib
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw, ImageFont

from studies import images
from studies.report import Options
from tianzi_training.ocr.data import glyphs as glyphs_module
from tianzi_training.ocr.data.glyphs import Font

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"
CATALOGUE = [
    Font(name, (FONTS / f"{name}.ttf",), 0, "print", 1.0, name == "DejaVuSansMono")
    for name in ("DejaVuSans", "DejaVuSerif", "DejaVuSans-Bold", "DejaVuSansMono")
]


def write_idx(path: Path, array: npt.NDArray[np.uint8]) -> str:
    """An idx .gz file of bytes; its MD5."""
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">u4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))
    return hashlib.md5(path.read_bytes()).hexdigest()


def draw_digits(count: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Pictures (count, 28, 28) of printed digits, white on black, moved about and noisy; labels (count,)."""
    rng = np.random.default_rng(seed)
    fonts = [ImageFont.truetype(str(font.files[0]), 20) for font in CATALOGUE]
    labels = rng.integers(0, 10, count).astype(np.uint8)
    pictures = []
    for label in labels:
        canvas = Image.new("L", (28, 28))
        x, y = rng.integers(4, 12), rng.integers(0, 6)
        ImageDraw.Draw(canvas).text((x, y), str(label), font=fonts[rng.integers(len(fonts))], fill=255)
        pictures.append(np.asarray(canvas))
    noise = rng.integers(0, 60, (count, 28, 28))
    return np.clip(np.stack(pictures) + noise, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[str, ...]]]:
    """A folder with t10k files as MNIST has them, and their MD5 sums."""
    folder = tmp_path_factory.mktemp("digits")
    pictures, labels = draw_digits(1000, 0)
    names = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
    return folder, {name: (write_idx(folder / name, a),) for name, a in zip(names, (pictures, labels), strict=True)}


@pytest.fixture(scope="session")
def glyph_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("glyphs")


@pytest.fixture
def options(
    digits: tuple[Path, dict[str, tuple[str, ...]]],
    glyph_cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    one_thread: None,
) -> Options:
    """A quick run's options, with data that the tests have made."""
    monkeypatch.setattr(images, "MNIST", digits[1])
    monkeypatch.setattr(glyphs_module, "CACHE", glyph_cache)
    monkeypatch.setattr(images, "read_catalogue", lambda: CATALOGUE)
    return Options(out=tmp_path / "out", quick=True, seeds=2, digits=digits[0])
